//! Limits per user and channel: two e-mails an hour for reminders.

use std::time::Duration;

use serde_json::json;

use crate::support::{event, on_router, with};

fn reminder(id: &str) -> serde_json::Value {
    event(id, "CartReminder", &json!({}))
}

#[tokio::test]
async fn what_is_over_a_limit_is_dropped_and_read_again_it_is_decided_the_same() {
    on_router(async |setting| {
        let records: Vec<_> = (0..4)
            .map(|n| setting.record(&reminder(&format!("e-{n}"))))
            .collect();
        let first = setting.route(&records).await;
        assert_eq!(
            first.decisions(),
            [
                "email send allowed",
                "sms send allowed",
                "email send allowed",
                "sms send allowed",
                "email drop over_limit",
                "sms send allowed",
                "email drop over_limit",
                "sms send allowed",
            ]
        );
        assert_eq!(first.deliveries.len(), 6);
        let dropped = &first.decided[2].decisions[0];
        let last = dropped.steps.list().pop().unwrap();
        assert_eq!((&*last.rule, &*last.result), ("limit", "stop"));
        assert_eq!(last.inputs, json!({"channel": "email", "max": 2, "per": "1h"}));

        // As after an aborted transaction: in one batch, and record by record from the last to the first.
        let again = setting.route(&records).await;
        assert_eq!(again.decisions(), first.decisions());
        assert_eq!(again.bytes(), first.bytes());
        for (record, decided) in records.iter().zip(&first.decided).rev() {
            let again = setting.route(std::slice::from_ref(record)).await;
            assert_eq!(again.only().decisions, decided.decisions);
        }
    })
    .await;
}

#[tokio::test]
async fn a_limit_has_room_again_when_its_window_has_passed() {
    on_router(async |setting| {
        let outcome = async |id: &str| setting.route_event(&reminder(id)).await.decisions().remove(0);
        assert_eq!(outcome("e-1").await, "email send allowed");
        setting.clock.advance(Duration::from_mins(30));
        assert_eq!(outcome("e-2").await, "email send allowed");
        setting.clock.advance(Duration::from_mins(29));
        assert_eq!(outcome("e-3").await, "email drop over_limit");
        setting.clock.advance(Duration::from_mins(2));
        assert_eq!(outcome("e-4").await, "email send allowed");
        assert_eq!(outcome("e-5").await, "email drop over_limit");
    })
    .await;
}

#[tokio::test]
async fn each_recipient_has_limits_of_their_own() {
    on_router(async |setting| {
        setting.put_reader("reader").await;
        for id in ["e-1", "e-2"] {
            setting.route_event(&reminder(id)).await;
        }
        let both = json!([{"user_id": "u-42"}, {"user_id": "reader"}, {"email": "guest@example.com"}]);
        let emails = async |id: &str| -> Vec<String> {
            let routed = setting
                .route_event(&with(reminder(id), "recipients", both.clone()))
                .await;
            let said = routed.decisions().into_iter();
            said.filter(|said| said.starts_with("email")).collect()
        };
        assert_eq!(
            emails("e-3").await,
            [
                "email drop over_limit",
                "email send allowed",
                "email send allowed"
            ]
        );
        assert_eq!(
            emails("e-4").await,
            [
                "email drop over_limit",
                "email send allowed",
                "email send allowed"
            ]
        );
        assert_eq!(emails("e-5").await, ["email drop over_limit"; 3]);
    })
    .await;
}

#[tokio::test]
async fn a_critical_type_passes_the_limits_and_takes_nothing_from_them() {
    on_router(async |setting| {
        let reset = |id| event(id, "PasswordReset", &json!({}));
        let routed = setting.route_event(&reset("e-1")).await;
        assert_eq!(routed.decisions(), ["email send critical"]);
        for id in ["e-2", "e-3"] {
            assert_eq!(
                setting.route_event(&reminder(id)).await.decisions()[0],
                "email send allowed"
            );
        }
        assert_eq!(
            setting.route_event(&reminder("e-4")).await.decisions()[0],
            "email drop over_limit"
        );
        let routed = setting.route_event(&reset("e-5")).await;
        assert_eq!(routed.decisions(), ["email send critical"]);
    })
    .await;
}

#[tokio::test]
async fn what_a_preference_stops_takes_nothing_from_the_limits() {
    on_router(async |setting| {
        setting
            .prefer("u-42", json!({"types": {"CartReminder": {"email": false}}}))
            .await;
        for id in ["e-1", "e-2", "e-3"] {
            setting.route_event(&reminder(id)).await;
        }
        setting.prefer("u-42", json!({})).await;
        let routed = setting.route_event(&reminder("e-4")).await;
        assert_eq!(routed.decisions()[0], "email send allowed");
    })
    .await;
}
