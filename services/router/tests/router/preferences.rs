//! Users' preferences.

use serde_json::{Value, json};

use crate::support::{event, on_router, shipped};

/// Preferences, and the decision about `OrderShipped` by e-mail under them.
fn cases() -> [(Value, &'static str); 7] {
    [
        (json!({}), "send allowed"),
        (json!({"global": {"email": false}}), "suppress opted_out_channel"),
        (
            json!({"categories": {"transactional": {"email": false}}}),
            "suppress opted_out_category",
        ),
        (
            json!({"types": {"OrderShipped": {"email": false}}}),
            "suppress opted_out_type",
        ),
        (
            json!({"global": {"email": false}, "categories": {"transactional": {"email": true}}}),
            "send allowed",
        ),
        (
            json!({"categories": {"transactional": {"email": true}}, "types": {"OrderShipped": {"email": false}}}),
            "suppress opted_out_type",
        ),
        (
            json!({"global": {"email": false}, "categories": {"transactional": {"email": false}},
                "types": {"OrderShipped": {"email": true}, "Note": {"email": false}}}),
            "send allowed",
        ),
    ]
}

#[tokio::test]
async fn the_most_specific_preference_decides_and_the_other_channels_are_left_alone() {
    on_router(async |setting| {
        for (number, (preferences, expected)) in cases().into_iter().enumerate() {
            setting.prefer("u-42", preferences.clone()).await;
            let routed = setting.route_event(&shipped(&format!("e-{number}"))).await;
            assert_eq!(
                routed.decisions(),
                [
                    format!("email {expected}"),
                    "sms send allowed".to_owned(),
                    "push send allowed".to_owned()
                ],
                "{preferences}"
            );
            let sent = usize::from(expected.starts_with("send"));
            assert_eq!(routed.deliveries.len(), 2 + sent, "{preferences}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_steps_and_the_sentence_name_the_preference_that_decided() {
    on_router(async |setting| {
        setting
            .prefer("u-42", json!({"categories": {"transactional": {"sms": false}}}))
            .await;
        let routed = setting.route_event(&shipped("e-1")).await;
        let sms = &routed.only().decisions[1];
        let last = sms.steps.list().pop().unwrap();
        assert_eq!((&*last.rule, &*last.result), ("preference", "stop"));
        assert_eq!(last.inputs, json!({"level": "category", "wanted": false}));
        assert_eq!(
            sms.sentence,
            "Not sent: the user turned off the category transactional by sms."
        );
        assert_eq!((sms.delivery_id, sms.to_masked.as_deref()), (None, None));
    })
    .await;
}

#[tokio::test]
async fn a_category_that_needs_an_opt_in_is_sent_only_to_users_who_opted_in() {
    on_router(async |setting| {
        let letter = |id| event(id, "Newsletter", &json!({}));
        let routed = setting.route_event(&letter("e-1")).await;
        assert_eq!(routed.decisions(), ["email suppress not_opted_in"]);
        setting.prefer("u-42", json!({"global": {"email": true}})).await;
        let routed = setting.route_event(&letter("e-2")).await;
        assert_eq!(routed.decisions(), ["email send allowed"]);
    })
    .await;
}

#[tokio::test]
async fn a_critical_type_passes_preferences_and_not_the_lack_of_an_address() {
    on_router(async |setting| {
        let no = json!({"global": {"email": false}, "categories": {"reminders": {"email": false}},
            "types": {"PasswordReset": {"email": false}}});
        setting.prefer("u-42", no).await;
        let routed = setting
            .route_event(&event("e-1", "PasswordReset", &json!({})))
            .await;
        assert_eq!(routed.decisions(), ["email send critical"]);
        assert_eq!(routed.deliveries.len(), 1);
        let routed = setting
            .route_event(&event("e-2", "CartReminder", &json!({})))
            .await;
        assert_eq!(
            routed.decisions(),
            ["email suppress opted_out_category", "sms send allowed"]
        );

        let unreachable = carillon_store::users::UserPut::default();
        setting.put_user("u-42", &unreachable).await;
        let routed = setting
            .route_event(&event("e-3", "PasswordReset", &json!({})))
            .await;
        assert_eq!(routed.decisions(), ["email suppress no_address"]);
    })
    .await;
}
