use lettre::AsyncTransport as _;

use carillon_simulator::{Channel, MessageFilter, Provider, SimulatorConfig};

use crate::support::{RawSmtp, config, mail, start, start_with};

#[tokio::test]
async fn a_mail_is_received_with_its_parts_its_headers_and_its_ids() {
    let running = start().await;
    let response = running
        .mailer(None)
        .send(mail("ann@example.com", "d-1"))
        .await
        .unwrap();
    let messages = running.all().await;
    let message = &messages[0];
    assert_eq!(messages.len(), 1);
    assert_eq!(
        (message.provider, message.channel, message.to.as_str()),
        (Provider::Smtp, Channel::Email, "ann@example.com")
    );
    assert_eq!(message.subject.as_deref(), Some("Votre commande est expédiée"));
    assert_eq!(message.html.as_deref().map(str::trim_end), Some("<p>Bonjour</p>"));
    assert_eq!(
        (message.delivery_id.as_deref(), message.event_id.as_deref()),
        (Some("d-1"), Some("order-1001-shipped"))
    );
    assert_eq!(message.datum("from"), Some("Shop <shop@example.com>"));
    assert!(
        message
            .header("content-type")
            .unwrap()
            .starts_with("multipart/alternative")
    );
    let reply = response.message().collect::<String>();
    assert!(reply.contains(&message.provider_message_id), "{reply}");
}

#[tokio::test]
async fn lines_that_start_with_a_dot_arrive_as_they_were_written() {
    let running = start().await;
    running
        .mailer(None)
        .send(mail("ann@example.com", "d-1"))
        .await
        .unwrap();
    let text = running.all().await.remove(0).text.unwrap();
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        ["Bonjour", ".une ligne", "..deux points"]
    );
}

#[tokio::test]
async fn a_dot_that_ends_a_packet_neither_ends_the_message_nor_is_lost() {
    let running = start().await;
    let mut client = RawSmtp::connect(running.simulator.smtp_addr()).await;
    client.envelope("ann@example.com").await;
    for part in ["Subject: x\r\n\r\none\r\n.", ".two\r\n", ".", "\r", "\n"] {
        client.say(part).await;
    }
    assert!(client.reply().await.starts_with("250 2.0.0"));
    let text = running.all().await.remove(0).text.unwrap();
    assert_eq!(text.lines().collect::<Vec<_>>(), ["one", ".two"]);
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_order_and_two_mails_can_follow_each_other() {
    let running = start().await;
    let mut client = RawSmtp::connect(running.simulator.smtp_addr()).await;
    assert!(client.ask("EHLO t").await.starts_with("250 "));
    client.say("MAIL FROM:<a@b.example>\r\nRCPT TO:<one@example.com>\r\nRCPT TO:<no-such-user@example.com>\r\nDATA\r\n").await;
    for code in ["250 2.1.0", "250 2.1.5", "550 5.1.1", "354"] {
        let reply = client.reply().await;
        assert!(reply.starts_with(code), "{code}: {reply}");
    }
    client
        .say("Subject: 1\r\n\r\nx\r\n.\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<two@example.com>\r\nDATA\r\nSubject: 2\r\n\r\ny\r\n.\r\nQUIT\r\n")
        .await;
    for code in [
        "250 2.0.0",
        "250 2.1.0",
        "250 2.1.5",
        "354",
        "250 2.0.0",
        "221 2.0.0",
    ] {
        let reply = client.reply().await;
        assert!(reply.starts_with(code), "{code}: {reply}");
    }
    assert_eq!(client.line().await, "", "the server stays after QUIT");
    let subjects: Vec<_> = running
        .all()
        .await
        .into_iter()
        .map(|message| (message.to, message.subject.unwrap()))
        .collect();
    assert_eq!(
        subjects,
        [
            ("two@example.com".into(), "2".into()),
            ("one@example.com".into(), "1".into())
        ]
    );
}

#[tokio::test]
async fn with_a_configured_user_mail_needs_authentication_by_either_mechanism() {
    let user = Some(("carillon".to_owned(), "secret".to_owned()));
    let running = start_with(SimulatorConfig {
        smtp_user: user,
        ..config()
    })
    .await;
    running
        .mailer(Some(("carillon", "secret")))
        .send(mail("ann@example.com", "d-1"))
        .await
        .unwrap();
    let refused = running
        .mailer(Some(("carillon", "wrong")))
        .send(mail("ann@example.com", "d-2"))
        .await;
    assert_eq!(refused.unwrap_err().status().map(u16::from), Some(535));

    let mut client = RawSmtp::connect(running.simulator.smtp_addr()).await;
    client.ask("EHLO t").await;
    assert!(
        client
            .ask("MAIL FROM:<a@b.example>")
            .await
            .starts_with("530 5.7.0")
    );
    assert_eq!(client.ask("AUTH LOGIN").await, "334 VXNlcm5hbWU6");
    assert_eq!(client.ask("Y2FyaWxsb24=").await, "334 UGFzc3dvcmQ6");
    assert!(client.ask("c2VjcmV0").await.starts_with("235 2.7.0"));
    assert!(
        client
            .ask("MAIL FROM:<a@b.example>")
            .await
            .starts_with("250 2.1.0")
    );
    assert!(client.ask("AUTH PLAIN").await.starts_with("503"));
    assert_eq!(running.list(MessageFilter::delivery("d-2")).await, []);
}

#[tokio::test]
async fn each_failure_of_an_authentication_dialogue_has_its_reply() {
    let user = Some(("carillon".to_owned(), "secret".to_owned()));
    let running = start_with(SimulatorConfig {
        smtp_user: user,
        ..config()
    })
    .await;
    let mut client = RawSmtp::connect(running.simulator.smtp_addr()).await;
    assert!(client.ask("AUTH PLAIN").await.starts_with("503"));
    client.ask("EHLO t").await;
    assert!(client.ask("AUTH CRAM-MD5").await.starts_with("504"));
    assert_eq!(client.ask("AUTH PLAIN").await, "334");
    assert!(client.ask("*").await.starts_with("501 5.7.0"));
    assert!(client.ask("AUTH PLAIN !!!").await.starts_with("501 5.5.2"));
    assert!(
        client
            .ask("AUTH PLAIN AGNhcmlsbG9uAHNlY3JldA==")
            .await
            .starts_with("235")
    );
}

#[tokio::test]
async fn an_address_that_is_not_ascii_is_refused_unless_smtputf8_was_asked_for() {
    let running = start().await;
    let mut client = RawSmtp::connect(running.simulator.smtp_addr()).await;
    for (command, code) in [
        ("EHLO t", "250 "),
        ("MAIL FROM:<jörg@example.com>", "553 5.6.7"),
        ("MAIL FROM:<a@b.example>", "250"),
        ("RCPT TO:<jörg@example.com>", "553 5.6.7"),
        ("RCPT TO:<ada@bücher.example>", "553 5.6.7"),
        ("RCPT TO:<ada@xn--bcher-kva.example>", "250"),
        ("RSET", "250"),
        ("MAIL FROM:<a@b.example> BODY=8BITMIME SMTPUTF8", "250"),
        ("RCPT TO:<jörg@xn--bcher-kva.example>", "250"),
    ] {
        let reply = client.ask(command).await;
        assert!(reply.starts_with(code), "{command}: {reply}");
    }
}

#[tokio::test]
async fn smtputf8_can_be_left_out_of_the_offered_extensions() {
    let running = start_with(SimulatorConfig {
        smtp_utf8: false,
        ..config()
    })
    .await;
    let mut client = RawSmtp::connect(running.simulator.smtp_addr()).await;
    client.say("EHLO t\r\n").await;
    loop {
        let line = client.line().await;
        assert!(!line.contains("SMTPUTF8"), "{line}");
        if line.starts_with("250 ") {
            break;
        }
    }
    assert!(
        client
            .ask("MAIL FROM:<a@b.example> SMTPUTF8")
            .await
            .starts_with("555 5.5.4")
    );
}

#[tokio::test]
async fn a_message_that_breaks_the_rules_of_its_form_is_refused_and_the_session_goes_on() {
    let running = start().await;
    let mut client = RawSmtp::connect(running.simulator.smtp_addr()).await;
    client.ask("EHLO t").await;
    let long = "x".repeat(999);
    for (parameters, message, code) in [
        (
            "",
            format!("Subject: {}\r\n\r\ny\r\n", "x".repeat(990)),
            "550 5.6.0",
        ),
        ("", format!("Subject: x\r\n\r\n{long}\r\n"), "550 5.6.0"),
        (
            "",
            format!("Subject: x\r\n\r\n{}\r\n", "x".repeat(998)),
            "250 2.0.0",
        ),
        ("", "Subject: x\r\n\r\none\ntwo\r\n".to_owned(), "550 5.6.11"),
        ("", "Subject: x\r\n\r\none\rtwo\r\n".to_owned(), "550 5.6.11"),
        ("", "Subject: x\0\r\n\r\none\r\n".to_owned(), "550 5.6.0"),
        ("", "Subject: Grüße\r\n\r\none\r\n".to_owned(), "550 5.6.7"),
        (
            " BODY=8BITMIME",
            "Subject: Grüße\r\n\r\none\r\n".to_owned(),
            "550 5.6.7",
        ),
        (
            " SMTPUTF8",
            "Subject: Grüße\r\n\r\none\r\n".to_owned(),
            "250 2.0.0",
        ),
        ("", "Subject: x\r\n\r\nGrüße\r\n".to_owned(), "550 5.6.3"),
        (
            " BODY=8BITMIME",
            "Subject: x\r\n\r\nGrüße\r\n".to_owned(),
            "250 2.0.0",
        ),
    ] {
        let replies = [
            client.ask(&format!("MAIL FROM:<a@b.example>{parameters}")).await,
            client.ask("RCPT TO:<ann@example.com>").await,
            client.ask("DATA").await,
        ];
        assert!(replies[2].starts_with("354"), "{replies:?}");
        client.say(&message).await;
        let reply = client.ask(".").await;
        assert!(reply.starts_with(code), "{parameters} {message:?}: {reply}");
    }
    assert_eq!(running.all().await.len(), 3);
}

#[tokio::test]
async fn commands_out_of_order_or_out_of_shape_are_refused_and_the_session_goes_on() {
    let running = start().await;
    let mut client = RawSmtp::connect(running.simulator.smtp_addr()).await;
    let conversation = [
        ("MAIL FROM:<a@b.example>", "503"),
        ("HELO t", "250"),
        ("RCPT TO:<a@b.example>", "503"),
        ("DATA", "503"),
        ("HELLO", "500"),
        ("MAIL FROM:<a@b.example> SIZE=99999999", "552 5.3.4"),
        ("MAIL FROM:<a@b.example> SIZE=1000 BODY=8BITMIME", "250"),
        ("MAIL FROM:<a@b.example>", "503"),
        ("DATA", "554"),
        ("RCPT TO:<mailbox-full@b.example>", "452 4.2.2"),
        ("RCPT TO:<Greylisted.ann@b.example>", "451 4.7.1"),
        ("RCPT TO:<blocked@b.example>", "550 5.7.1"),
        ("RSET", "250"),
        ("RCPT TO:<a@b.example>", "503"),
        ("NOOP", "250"),
        ("STARTTLS", "502"),
        ("QUIT", "221"),
    ];
    for (command, code) in conversation {
        let reply = client.ask(command).await;
        assert!(reply.starts_with(code), "{command}: {reply}");
    }
}

#[tokio::test]
async fn a_line_without_end_and_a_message_that_is_too_big_are_cut_while_they_arrive() {
    let running = start().await;
    let mut client = RawSmtp::connect(running.simulator.smtp_addr()).await;
    // Longer than one read, so that the line is cut before its end has arrived.
    let long = "x".repeat(20_000);
    assert!(
        client.ask(&format!("NOOP {long}")).await.starts_with("500"),
        "a long line was taken"
    );
    client.envelope("ann@example.com").await;
    let line = format!("{}\r\n", "x".repeat(998));
    for _ in 0..11_000 {
        client.say(&line).await;
    }
    assert!(client.ask(".").await.starts_with("552 5.3.4"));
    assert!(client.ask("NOOP").await.starts_with("250"));
    assert!(running.all().await.is_empty());
}

#[tokio::test]
async fn many_clients_are_served_at_once() {
    let running = start().await;
    let mailer = running.mailer(None);
    let sends = (0..100).map(|number| mailer.send(mail("ann@example.com", &format!("d-{number}"))));
    for sent in futures::future::join_all(sends).await {
        sent.unwrap();
    }
    let stats = running.simulator.messages().stats().await.unwrap();
    assert_eq!((stats.received[&Provider::Smtp], stats.delivery_ids), (100, 100));
}

#[tokio::test]
async fn an_open_session_gets_a_421_when_the_simulator_stops() {
    let running = start().await;
    let mut client = RawSmtp::connect(running.simulator.smtp_addr()).await;
    running.stop().await;
    assert!(client.line().await.starts_with("421"));
}
