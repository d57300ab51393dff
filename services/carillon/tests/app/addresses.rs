use std::time::Duration;

use carillon_testkit::wait_for;
use serde_json::json;

use crate::with_installation;

#[test]
fn two_spellings_of_an_address_get_one_mail_and_the_books_balance() {
    with_installation(|carillon| async move {
        let event = json!({"id": "spelled", "source": "/shop", "type": "OrderShipped", "channels": ["email"],
            "recipients": [{"email": "Ada@example.org"}, {"email": "ada@example.org"}, {"user_id": "u-42"},
                {"email": "ADA@example.com"}],
            "data": {"order_id": "1001", "carrier": "DHL"}});
        assert_eq!(carillon.post(&event).await.0, 202);
        carillon.settle(1).await;
        let messages = carillon.messages("channel=email").await;
        let mut receivers: Vec<_> = messages.iter().map(|mail| mail["to"].as_str().unwrap()).collect();
        receivers.sort_unstable();
        assert_eq!(receivers, ["Ada@example.org", "ada@example.com"]);
        let event = carillon.get("/v1/events/spelled").await;
        assert_eq!(event["deliveries"].as_array().unwrap().len(), 2, "{event}");
        let mut reasons: Vec<_> = event["decisions"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|decision| decision["channel"] == "email")
            .map(|decision| decision["reason"].as_str().unwrap())
            .collect();
        reasons.sort_unstable();
        assert_eq!(
            reasons,
            ["allowed", "allowed", "repeated_address", "repeated_recipient"]
        );
    });
}

#[test]
fn internationalised_addresses_arrive_in_the_form_that_smtp_knows() {
    with_installation(|carillon| async move {
        let event = json!({"id": "idn", "source": "/shop", "type": "OrderShipped", "channels": ["email"],
            "recipients": [{"email": "ada@bücher.example"}, {"email": "jörg@bücher.example"}],
            "data": {"order_id": "1001", "carrier": "DHL"}});
        assert_eq!(carillon.post(&event).await.0, 202);
        wait_for("two mails", Duration::from_secs(30), || async {
            carillon.messages("channel=email").await.len() == 2
        })
        .await;
        carillon.settle(1).await;
        let messages = carillon.messages("channel=email").await;
        let mut receivers: Vec<_> = messages.iter().map(|mail| mail["to"].as_str().unwrap()).collect();
        receivers.sort_unstable();
        assert_eq!(
            receivers,
            ["ada@xn--bcher-kva.example", "jörg@xn--bcher-kva.example"]
        );
    });
}
