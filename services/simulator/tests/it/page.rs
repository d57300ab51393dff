//! The page: its content, and that no content can execute.

use lettre::AsyncTransport as _;
use serde_json::json;

use crate::support::{Running, mail, start};

const ATTACK: &str = "<script>alert(1)</script>\"'&";

async fn page(running: &Running, path: &str) -> String {
    let response = running.http.get(running.url(path)).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    response.text().await.unwrap()
}

#[tokio::test]
async fn every_channel_is_shown_as_its_receiver_would_see_it() {
    let running = start().await;
    running
        .mailer(None)
        .send(mail("ann@example.com", "d-mail"))
        .await
        .unwrap();
    running
        .sms(&[("To", "+4915112345678"), ("From", "Shop"), ("Body", "Unterwegs")])
        .await;
    running
        .push(json!({ "token": "device-1", "notification": { "title": "Shipped", "body": "On its way" } }))
        .await;
    let html = page(&running, "/").await;
    for shown in [
        "Votre commande est expédiée",
        "Shop &#60;shop@example.com&#62;",
        "d-mail",
        "class=\"bubble\">Unterwegs<",
        "<h2>Shipped</h2>",
        "On its way",
    ] {
        assert!(html.contains(shown), "{shown} is not shown");
    }
    assert!(html.contains("<iframe sandbox=\"\""));
    assert!(html.contains("http-equiv=\"refresh\""));
}

#[tokio::test]
async fn no_text_of_a_sender_becomes_markup_of_the_page() {
    let running = start().await;
    running
        .push(json!({
            "token": format!("t{ATTACK}"),
            "notification": { "title": ATTACK, "body": ATTACK },
            "data": { ATTACK: ATTACK, "carillon_delivery_id": ATTACK, "carillon_event_id": ATTACK },
        }))
        .await;
    running
        .sms(&[
            ("To", "+4915112345678"),
            ("MessagingServiceSid", ATTACK),
            ("Body", ATTACK),
        ])
        .await;
    let raw = format!(
        "From: \"{ATTACK}\" <a@b.example>\r\nSubject: {ATTACK}\r\nX-Evil: {ATTACK}\r\nContent-Type: text/html\r\n\r\n\
         <p>\"></iframe>{ATTACK}</p>\r\n"
    );
    let envelope = lettre::address::Envelope::new(None, vec!["ann@example.com".parse().unwrap()]).unwrap();
    running
        .mailer(None)
        .send_raw(&envelope, raw.as_bytes())
        .await
        .unwrap();
    assert_eq!(running.all().await.len(), 3);
    let html = page(&running, "/?to=&channel=").await;
    assert!(!html.contains("<script"), "a script got onto the page");
    assert!(!html.contains("\"></iframe>&#60;script"), "the frame was left");
    assert_eq!(html.matches("</iframe>").count(), 1);
    let searched = page(&running, "/?to=%22%3E%3Cscript%3E&channel=%22%3E%3Cscript%3E").await;
    assert!(!searched.contains("<script"));
}

#[tokio::test]
async fn the_policy_forbids_scripts_and_everything_from_elsewhere() {
    let running = start().await;
    let response = running.http.get(running.url("/")).send().await.unwrap();
    let policy = response.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(policy.starts_with("default-src 'none'"));
    assert!(
        !policy.contains("script-src") && !policy.contains("http"),
        "{policy}"
    );
    let html = response.text().await.unwrap();
    assert!(
        !html.contains("http://") && !html.contains("https://"),
        "something is loaded from elsewhere"
    );
    let style = running.http.get(running.url("/page.css")).send().await.unwrap();
    assert_eq!(style.headers()["content-type"], "text/css; charset=utf-8");
}

#[tokio::test]
async fn the_page_is_filtered_by_channel_and_part_of_the_receiver() {
    let running = start().await;
    running
        .mailer(None)
        .send(mail("ann@example.com", "d-1"))
        .await
        .unwrap();
    running
        .mailer(None)
        .send(mail("bob@example.com", "d-2"))
        .await
        .unwrap();
    running
        .sms(&[("To", "+4915112345678"), ("From", "Shop"), ("Body", "x")])
        .await;
    let cards = async |path: &str| page(&running, path).await.matches("<article").count();
    assert_eq!(cards("/").await, 3);
    assert_eq!(cards("/?channel=email").await, 2);
    assert_eq!(cards("/?to=BOB").await, 1);
    assert_eq!(cards("/?channel=sms&to=bob").await, 0);
    assert_eq!(cards("/?channel=nonsense&cursor=nonsense").await, 3);
}

#[tokio::test]
async fn older_messages_are_a_page_away_and_do_not_refresh() {
    let running = start().await;
    for number in 0..31 {
        running
            .sms(&[
                ("To", "+4915112345678"),
                ("From", "Shop"),
                ("Body", &format!("n{number}.")),
            ])
            .await;
    }
    let first = page(&running, "/").await;
    assert_eq!(first.matches("<article").count(), 30);
    let place = first.split_once("cursor=").unwrap().1.split_once('"').unwrap().0;
    let second = page(&running, &format!("/?cursor={place}")).await;
    assert_eq!(second.matches("<article").count(), 1);
    assert!(second.contains("n0."));
    assert!(!second.contains("http-equiv=\"refresh\""));
    assert!(
        !page(&running, "/?paused=1")
            .await
            .contains("http-equiv=\"refresh\"")
    );
}

#[tokio::test]
async fn a_delivery_received_twice_says_so() {
    let running = start().await;
    for _ in 0..2 {
        running
            .push(json!({ "token": "d", "data": { "carillon_delivery_id": "d-1" } }))
            .await;
    }
    assert!(page(&running, "/").await.contains("received 2 times"));
}
