use serde_json::Value;

use carillon_simulator::{Channel, Provider};

use crate::support::{Running, TWILIO_SID, TWILIO_TOKEN, answer, start};

const FROM: &str = "+15005550006";
const TO: &str = "+4915112345678";

async fn list(running: &Running, query: &str) -> Value {
    let path = format!("/2010-04-01/Accounts/{TWILIO_SID}/Messages.json?{query}");
    let request = running
        .http
        .get(running.url(&path))
        .basic_auth(TWILIO_SID, Some(TWILIO_TOKEN));
    let (status, body) = answer(request).await;
    assert_eq!(status, 200, "{body}");
    body
}

#[tokio::test]
async fn a_text_message_is_received_with_the_ids_of_its_callback() {
    let running = start().await;
    let callback = "https://carillon.example/v1/receipts/twilio?delivery_id=d-1&event_id=order%201";
    let fields = [
        ("To", TO),
        ("From", FROM),
        ("Body", "Unterwegs 🚚"),
        ("StatusCallback", callback),
    ];
    let (status, body) = running.sms(&fields).await;
    assert_eq!(status, 201, "{body}");
    assert!(
        body["sid"]
            .as_str()
            .is_some_and(|sid| sid.starts_with("SM") && sid.len() == 34)
    );
    assert_eq!(
        (body["status"].as_str(), body["num_segments"].as_str()),
        (Some("queued"), Some("1"))
    );
    assert_eq!(body["date_sent"], Value::Null);
    let messages = running.all().await;
    let message = &messages[0];
    assert_eq!(
        (message.provider, message.channel, message.to.as_str()),
        (Provider::Twilio, Channel::Sms, TO)
    );
    assert_eq!(message.text.as_deref(), Some("Unterwegs 🚚"));
    assert_eq!(
        (message.delivery_id.as_deref(), message.event_id.as_deref()),
        (Some("d-1"), Some("order 1"))
    );
    assert_eq!(message.datum("status_callback"), Some(callback));
    assert_eq!(Some(message.provider_message_id.as_str()), body["sid"].as_str());
}

#[tokio::test]
async fn a_messaging_service_can_send_too() {
    let running = start().await;
    let (status, body) = running
        .sms(&[("To", TO), ("MessagingServiceSid", "MG1"), ("Body", "x")])
        .await;
    assert_eq!((status, body["status"].as_str()), (201, Some("accepted")));
    assert_eq!(running.all().await[0].datum("messaging_service_sid"), Some("MG1"));
}

#[tokio::test]
async fn requests_that_twilio_refuses_get_its_codes() {
    let running = start().await;
    let long = "x".repeat(1_601);
    let cases: [(&[(&str, &str)], u64); 14] = [
        (&[("From", FROM), ("Body", "x")], 21_604),
        (&[("To", TO), ("Body", "x")], 21_603),
        (&[("To", TO), ("From", FROM)], 21_602),
        (&[("To", TO), ("From", FROM), ("Body", &long)], 21_617),
        (
            &[
                ("To", TO),
                ("From", FROM),
                ("Body", "x"),
                ("StatusCallback", "not a url"),
            ],
            21_609,
        ),
        (&[("To", "0151"), ("From", FROM), ("Body", "x")], 21_211),
        (&[("To", "+15005550001"), ("From", FROM), ("Body", "x")], 21_211),
        (&[("To", "+15005550002"), ("From", FROM), ("Body", "x")], 21_612),
        (&[("To", "+15005550003"), ("From", FROM), ("Body", "x")], 21_408),
        (&[("To", "+15005550004"), ("From", FROM), ("Body", "x")], 21_610),
        (&[("To", "+15005550009"), ("From", FROM), ("Body", "x")], 21_614),
        (&[("To", TO), ("From", "+15005550001"), ("Body", "x")], 21_212),
        (&[("To", TO), ("From", "+15005550007"), ("Body", "x")], 21_606),
        (&[("To", TO), ("From", "+15005550008"), ("Body", "x")], 21_611),
    ];
    for (fields, code) in cases {
        let (status, body) = running.sms(fields).await;
        assert_eq!(
            (status, body["code"].as_u64(), body["status"].as_u64()),
            (400, Some(code), Some(400))
        );
        assert_eq!(
            body["more_info"].as_str(),
            Some(format!("https://www.twilio.com/docs/errors/{code}").as_str())
        );
    }
    assert!(running.all().await.is_empty());
}

#[tokio::test]
async fn requests_without_the_accounts_credentials_are_refused() {
    let running = start().await;
    let path = |sid: &str| running.url(&format!("/2010-04-01/Accounts/{sid}/Messages.json"));
    let (status, body) = answer(
        running
            .http
            .get(path(TWILIO_SID))
            .basic_auth(TWILIO_SID, Some("wrong")),
    )
    .await;
    assert_eq!((status, body["code"].as_u64()), (401, Some(20_003)));
    let fields = [("To", TO), ("From", FROM), ("Body", "x")];
    let (status, body) = answer(running.http.post(path(TWILIO_SID)).form(&fields)).await;
    assert_eq!((status, body["code"].as_u64()), (401, Some(20_003)));
    let other = running
        .http
        .post(path("ACother"))
        .basic_auth(TWILIO_SID, Some(TWILIO_TOKEN))
        .form(&fields);
    let (status, body) = answer(other).await;
    assert_eq!((status, body["code"].as_u64()), (404, Some(20_404)));
}

#[tokio::test]
async fn messages_to_a_number_since_a_day_can_be_listed() {
    let running = start().await;
    for (to, body) in [(TO, "one"), ("+33612345678", "two"), (TO, "three")] {
        assert_eq!(
            running.sms(&[("To", to), ("From", FROM), ("Body", body)]).await.0,
            201
        );
    }
    let bodies = |page: &Value| -> Vec<String> {
        page["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["body"].as_str().unwrap().to_owned())
            .collect()
    };
    let to = "To=%2B4915112345678";
    assert_eq!(bodies(&list(&running, to).await), ["three", "one"]);
    assert_eq!(
        bodies(&list(&running, &format!("{to}&DateSent>=2020-01-01")).await),
        ["three", "one"]
    );
    assert!(bodies(&list(&running, &format!("{to}&DateSent>=2999-01-01T00:00:00Z")).await).is_empty());
    assert!(bodies(&list(&running, &format!("{to}&DateSent<=2020-01-01")).await).is_empty());
    assert!(bodies(&list(&running, "From=%2B15005550000").await).is_empty());

    let first = list(&running, "PageSize=2").await;
    assert_eq!(bodies(&first), ["three", "two"]);
    let next = first["next_page_uri"].as_str().unwrap();
    let second = list(&running, next.split_once('?').unwrap().1).await;
    assert_eq!(bodies(&second), ["one"]);
    assert_eq!(second["next_page_uri"], Value::Null);
    assert_eq!(second["messages"][0]["status"].as_str(), Some("sent"));
}

#[tokio::test]
async fn a_list_parameter_that_cannot_be_read_is_a_bad_request() {
    let running = start().await;
    let path = format!("/2010-04-01/Accounts/{TWILIO_SID}/Messages.json?DateSent=yesterday");
    let (status, body) = answer(
        running
            .http
            .get(running.url(&path))
            .basic_auth(TWILIO_SID, Some(TWILIO_TOKEN)),
    )
    .await;
    assert_eq!((status, body["code"].as_u64()), (400, Some(20_001)));
}

#[tokio::test]
async fn a_validity_period_is_from_1_to_36000_seconds() {
    let running = start().await;
    let send = async |validity: &'static str| {
        let form = [
            ("To", "+4915112345678"),
            ("From", "+15005550006"),
            ("Body", "x"),
            ("ValidityPeriod", validity),
        ];
        let (status, body) = running.sms(&form).await;
        (status, body["code"].as_u64())
    };
    for validity in ["0", "-1", "36001", "1.5", "soon"] {
        assert_eq!(send(validity).await, (400, Some(21_624)), "{validity}");
    }
    for validity in ["1", "36000"] {
        assert_eq!(send(validity).await.0, 201, "{validity}");
    }
}

#[tokio::test]
async fn a_number_does_not_send_to_itself() {
    let running = start().await;
    let (status, body) = running
        .sms(&[("To", "+15005550006"), ("From", "+15005550006"), ("Body", "x")])
        .await;
    assert_eq!((status, body["code"].as_u64()), (400, Some(21_266)));
}
