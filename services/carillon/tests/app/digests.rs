//! Digests, from the events to one message, over a kill.

use std::time::Duration;

use carillon_domain::{Clock as _, SystemClock};
use carillon_testkit::{eventually, installation::Installation, wait_for};
use serde_json::{Value, json};

use crate::with_installation;

/// The length of the windows, in seconds.
const EVERY: i64 = 12;

fn price_drop(id: &str, product: &str) -> Value {
    json!({"id": id, "source": "/shop/prices", "type": "WishlistPriceDrop", "recipients": [{"user_id": "u-42"}], "data": {
        "product": product, "product_url": "https://shop.example/p", "old_price": "10.00", "new_price": "8.00", "currency": "EUR"}})
}

/// Sets windows of seconds, and waits until one begins.
async fn at_the_start_of_a_window(carillon: &Installation) {
    let mut catalog = carillon.get("/v1/catalog").await;
    catalog["categories"]["wishlist"]["digest"] =
        json!({"type": "WishlistDigest", "every": format!("{EVERY}s"), "max": 20});
    assert_eq!(carillon.put("/v1/catalog", &catalog).await, 200);
    wait_for("a window begins", Duration::from_secs(30), || async {
        // One second later, all processes know the catalog.
        SystemClock.now().timestamp() % EVERY == 1
    })
    .await;
}

async fn decision(carillon: &Installation, id: &str) -> Value {
    eventually("the event is decided", || async {
        carillon.get(&format!("/v1/events/{id}")).await["status"] == "routed"
    })
    .await;
    carillon.get(&format!("/v1/events/{id}")).await["decisions"][0].clone()
}

#[test]
fn the_members_of_a_window_are_one_message_even_over_a_kill_and_a_cancelled_one_is_not_in_it() {
    with_installation(|mut carillon| async move {
        at_the_start_of_a_window(&carillon).await;
        for (id, product) in [
            ("p-1", "Oak desk"),
            ("p-2", "Wool blanket"),
            ("p-3", "Brass lamp"),
        ] {
            carillon.post_until_accepted(&price_drop(id, product)).await;
        }
        let joined = decision(&carillon, "p-1").await;
        assert_eq!(
            (&joined["outcome"], &joined["reason"]),
            (&json!("digest"), &json!("digest")),
            "{joined}"
        );
        let digest = joined["digest_id"].as_str().unwrap().to_owned();
        assert!(
            joined["sentence"]
                .as_str()
                .unwrap()
                .ends_with(&format!("in digest {digest}.")),
            "{joined}"
        );
        for id in ["p-2", "p-3"] {
            assert_eq!(decision(&carillon, id).await["digest_id"], json!(digest));
        }
        let said = carillon.cli(&["events", "cancel", "p-2"]);
        assert!(said.contains("cancelled"), "{said}");
        carillon.kill_and_restart();

        wait_for("the digest is sent", Duration::from_mins(1), || async {
            !carillon.messages("").await.is_empty()
        })
        .await;
        carillon.settle(4).await;
        let [message] = &carillon.messages("").await[..] else {
            panic!()
        };
        let text = message["text"].as_str().unwrap();
        assert!(text.contains("Oak desk") && text.contains("Brass lamp"), "{text}");
        assert!(!text.contains("Wool blanket"), "{text}");
        assert_eq!(message["event_id"], json!(digest));

        let event = carillon.get(&format!("/v1/events/{digest}")).await;
        assert_eq!(
            (&event["type"], &event["source"]),
            (&json!("WishlistDigest"), &json!("/carillon/digests"))
        );
        assert_eq!(event["event"]["data"]["count"], json!(2));
        for (id, status) in [("p-1", "digested"), ("p-2", "cancelled"), ("p-3", "digested")] {
            let event = carillon.get(&format!("/v1/events/{id}")).await;
            assert_eq!(event["deliveries"][0]["status"], json!(status), "{id}");
        }
        eventually("the books balance", || async {
            let books = carillon.get("/v1/stats").await;
            ["events_difference", "pending"].map(|term| books[term].as_i64().unwrap()) == [0, 0]
        })
        .await;
    });
}
