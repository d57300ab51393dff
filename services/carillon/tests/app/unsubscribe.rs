//! Unsubscribing, from the mail to the next decision.

use serde_json::{Value, json};

use crate::with_installation;

fn event(id: &str, event_type: &str, data: &Value) -> Value {
    json!({"id": id, "source": "/shop", "type": event_type, "recipients": [{"user_id": "u-42"}],
        "channels": ["email"], "data": data})
}

#[test]
fn the_link_in_a_mail_ends_the_mails_of_its_category_and_a_mail_that_must_come_has_none() {
    with_installation(|carillon| async move {
        let shipped = json!({"order_id": "1001", "carrier": "DHL"});
        let reset = json!({"reset_url": "https://shop.example/r", "valid_minutes": 5});
        assert_eq!(
            carillon.post(&event("e-1", "OrderShipped", &shipped)).await.0,
            202
        );
        assert_eq!(carillon.post(&event("e-2", "PasswordReset", &reset)).await.0, 202);
        carillon.settle(2).await;
        let messages = carillon.messages("channel=email").await;
        let of = |id: &str| messages.iter().find(|message| message["event_id"] == id).unwrap();
        assert_eq!(of("e-2")["headers"]["List-Unsubscribe"], Value::Null);
        let mail = of("e-1");
        assert_eq!(
            mail["headers"]["List-Unsubscribe-Post"], "List-Unsubscribe=One-Click",
            "{mail}"
        );
        let link = mail["headers"]["List-Unsubscribe"].as_str().unwrap();
        let link = link.strip_prefix('<').unwrap().strip_suffix('>').unwrap();
        let answer = carillon
            .post_form(link, &[("List-Unsubscribe", "One-Click")])
            .await;
        assert_eq!(answer, 200);
        let preferences = carillon.get("/v1/users/u-42/preferences").await;
        assert_eq!(
            preferences["categories"]["transactional"],
            json!({"email": false}),
            "{preferences}"
        );
        assert_eq!(
            carillon.post(&event("e-3", "OrderShipped", &shipped)).await.0,
            202
        );
        carillon.settle(3).await;
        let decided = carillon.get("/v1/events/e-3").await["decisions"][0].take();
        assert_eq!(decided["reason"], "opted_out_category", "{decided}");
    });
}
