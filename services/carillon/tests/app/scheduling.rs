//! Events with a `sendat`, from the post to the message, over a kill; and their cancellation.

use std::time::Duration;

use carillon_domain::{Clock as _, SystemClock, Timestamp};
use carillon_testkit::{eventually, installation::Installation, wait_for};
use serde_json::{Value, json};

use crate::with_installation;

fn order(id: &str, sendat: Timestamp) -> Value {
    json!({"id": id, "source": "/shop", "type": "OrderShipped", "recipients": [{"user_id": "u-42"}], "sendat": sendat,
        "data": {"order_id": "1001", "carrier": "DHL"}})
}

async fn until_status(carillon: &Installation, id: &str, status: &str) -> Value {
    eventually("the event's status", || async {
        carillon.get(&format!("/v1/events/{id}")).await["status"] == status
    })
    .await;
    carillon.get(&format!("/v1/events/{id}")).await
}

#[test]
fn an_event_with_a_sendat_is_sent_once_and_not_before_its_time_even_over_a_kill() {
    with_installation(|mut carillon| async move {
        let sendat = SystemClock.now() + Duration::from_secs(8);
        let (status, answer) = carillon.post(&order("o-1", sendat)).await;
        assert_eq!((status, &answer["status"]), (202, &json!("accepted")), "{answer}");
        let event = until_status(&carillon, "o-1", "scheduled").await;
        let time: Timestamp = event["scheduled_for"].as_str().unwrap().parse().unwrap();
        assert_eq!(time, sendat);
        assert_eq!(event["deliveries"], json!([]));
        let shown = carillon.cli(&["events", "get", "o-1"]);
        assert!(shown.contains(": scheduled for 20"), "{shown}");
        eventually("the auditor counts it as waiting", || async {
            let books = carillon.get("/v1/stats").await;
            (&books["waiting"], &books["events_difference"]) == (&json!(1), &json!(0))
        })
        .await;

        carillon.kill_and_restart();
        wait_for("three messages", Duration::from_mins(1), || async {
            carillon.messages("").await.len() == 3
        })
        .await;
        for message in carillon.messages("").await {
            let received: Timestamp = message["received_at"].as_str().unwrap().parse().unwrap();
            assert!(received >= sendat, "{message}");
        }
        carillon.settle(1).await;
        let event = until_status(&carillon, "o-1", "routed").await;
        assert_eq!(event["deliveries"].as_array().unwrap().len(), 3);
        assert_eq!(event["scheduled_for"], Value::Null);
        let (status, answer) = carillon.post(&order("o-1", sendat)).await;
        assert_eq!((status, &answer["status"]), (200, &json!("duplicate")));
        assert_eq!(carillon.messages("").await.len(), 3);
    });
}

#[test]
fn a_scheduled_event_is_cancelled_from_the_command_line_and_the_books_balance() {
    with_installation(|carillon| async move {
        let sendat = SystemClock.now() + Duration::from_hours(1);
        for id in ["o-1", "o-2"] {
            assert_eq!(carillon.post(&order(id, sendat)).await.0, 202);
        }
        until_status(&carillon, "o-1", "scheduled").await;
        let said = carillon.cli(&["events", "cancel", "o-1"]);
        assert!(said.contains("cancelled: the event is cancelled"), "{said}");
        until_status(&carillon, "o-1", "cancelled").await;
        let again = carillon.cli(&["events", "cancel", "o-1", "--json"]);
        let again: Value = serde_json::from_str(&again).unwrap();
        assert_eq!(
            (&again["result"], &again["status"]),
            (&json!("already_final"), &json!("cancelled"))
        );
        let past = SystemClock.now() - Duration::from_secs(1);
        carillon.post_until_accepted(&order("o-3", past)).await;
        wait_for("three messages", Duration::from_secs(30), || async {
            carillon.messages("").await.len() == 3
        })
        .await;
        eventually("the books balance", || async {
            let books = carillon.get("/v1/stats").await;
            let terms = [
                "acknowledged",
                "routed",
                "cancelled",
                "waiting",
                "events_difference",
                "pending",
            ];
            terms.map(|term| books[term].as_i64().unwrap()) == [3, 1, 1, 1, 0, 0]
        })
        .await;
        let event = carillon.get("/v1/events/o-3").await;
        let id = event["deliveries"][0]["id"].as_str().unwrap();
        let said = carillon.cli(&["deliveries", "cancel", id]);
        assert!(said.contains("already_final: the delivery is sent"), "{said}");
    });
}
