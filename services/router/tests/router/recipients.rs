//! The recipients of an event.

use carillon_domain::{Channel, ContactPointId, Target, suppression::SuppressionReason};
use carillon_store::{
    suppressions::Strike,
    users::{Device, UserPut},
};
use serde_json::json;

use crate::support::{event, on_router, shipped, with};

#[tokio::test]
async fn an_unknown_user_among_known_ones_is_listed_in_the_decisions() {
    on_router(async |setting| {
        let recipients = json!([{"user_id": "stranger"}, {"user_id": "u-42"}]);
        let routed = setting
            .route_event(&with(event("e-1", "Note", &json!({})), "recipients", recipients))
            .await;
        assert_eq!(routed.places(), [("email", "default|u-42")]);
        let decisions = &routed.only().decisions;
        let said: Vec<_> = decisions
            .iter()
            .map(|decision| (decision.recipient.as_str(), decision.reason.as_ref()))
            .collect();
        assert_eq!(said, [("stranger", "unknown_user"), ("u-42", "allowed")]);
        assert_eq!(decisions[0].sentence, "Not sent: no user of this id is known.");
        assert_eq!(decisions[0].delivery_id, None);
        let steps = decisions[1].steps.list();
        let steps: Vec<_> = steps.iter().map(|step| &*step.rule).collect();
        assert_eq!(steps, ["address", "suppression", "preference"]);
    })
    .await;
}

#[tokio::test]
async fn an_event_that_names_only_unknown_users_leads_to_no_delivery() {
    on_router(async |setting| {
        let strangers = json!([{"user_id": "stranger"}]);
        let routed = setting
            .route_event(&with(shipped("e-1"), "recipients", strangers))
            .await;
        assert!(routed.deliveries.is_empty() && routed.dead.is_empty());
        assert_eq!(
            routed.decisions(),
            ["email", "sms", "push"].map(|channel| format!("{channel} suppress unknown_user"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_recipient_that_is_named_twice_is_sent_one_message() {
    on_router(async |setting| {
        let recipients = json!([
            {"user_id": "u-42"}, {"email": "guest@example.com"}, {"user_id": "u-42", "locale": "fr"},
            {"email": "guest@example.com"},
        ]);
        let routed = setting
            .route_event(&with(event("e-1", "Note", &json!({})), "recipients", recipients))
            .await;
        assert_eq!(
            routed.decisions(),
            [
                "email send allowed",
                "email send allowed",
                "email suppress repeated_recipient",
                "email suppress repeated_recipient",
            ]
        );
        assert_eq!(routed.deliveries.len(), 2);
        assert_ne!(
            routed.deliveries[0].delivery.delivery_id,
            routed.deliveries[1].delivery.delivery_id
        );
    })
    .await;
}

#[tokio::test]
async fn two_spellings_of_a_guests_address_in_one_event_lead_to_one_delivery() {
    on_router(async |setting| {
        for (event_id, one, other) in [
            ("e-1", "Ada@example.com", "ada@example.com"),
            ("e-2", "ada@b\u{fc}cher.example", "ada@xn--bcher-kva.example"),
            ("e-3", "j\u{f6}rg@example.com", "Jo\u{308}rg@Example.com"),
        ] {
            let recipients = json!([{"email": one}, {"email": other}]);
            let routed = setting
                .route_event(&with(
                    event(event_id, "Note", &json!({})),
                    "recipients",
                    recipients,
                ))
                .await;
            assert_eq!(
                routed.decisions(),
                ["email send allowed", "email suppress repeated_recipient"],
                "{one} {other}"
            );
            assert_eq!(routed.deliveries.len(), 1);
            let address = one.to_owned();
            assert_eq!(routed.deliveries[0].delivery.target, Target::Inline { address });
        }
    })
    .await;
}

#[tokio::test]
async fn a_guest_gets_no_second_message_at_the_address_of_another_recipient() {
    on_router(async |setting| {
        // u-42 is ada@example.com and +4915112345678.
        let recipients = json!([
            {"email": "ADA@example.com", "phone": "+4915199999999"},
            {"user_id": "u-42"},
            {"email": "guest@example.com", "phone": "+4915112345678"},
            {"email": "Guest@example.com"},
        ]);
        let routed = setting
            .route_event(&with(shipped("e-1"), "recipients", recipients))
            .await;
        assert_eq!(
            routed.decisions(),
            [
                "email suppress repeated_address",
                "sms send allowed",
                "push suppress no_address",
                "email send allowed",
                "sms send allowed",
                "push send allowed",
                "email send allowed",
                "sms suppress repeated_address",
                "push suppress no_address",
                "email suppress repeated_address",
                "sms suppress no_address",
                "push suppress no_address",
            ]
        );
        let sent = &routed.only().decisions;
        let sent = sent.iter().filter(|decision| decision.delivery_id.is_some());
        assert_eq!(sent.count(), routed.deliveries.len());
        let decision = &routed.only().decisions[0];
        assert_eq!(
            decision.sentence,
            "Not sent: another recipient of the event is reached at this address."
        );
        assert_eq!(decision.steps.list().last().unwrap().result, "stop");
    })
    .await;
}

#[tokio::test]
async fn a_guest_gets_a_message_at_an_address_whose_user_has_opted_out() {
    on_router(async |setting| {
        setting.prefer("u-42", json!({"global": {"email": false}})).await;
        let recipients = json!([{"user_id": "u-42"}, {"email": "ada@example.com"}]);
        let routed = setting
            .route_event(&with(event("e-1", "Note", &json!({})), "recipients", recipients))
            .await;
        assert_eq!(
            routed.decisions(),
            ["email suppress opted_out_channel", "email send allowed"]
        );
    })
    .await;
}

#[tokio::test]
async fn users_who_share_an_address_get_a_message_each() {
    on_router(async |setting| {
        let put = UserPut {
            email: Some("Ada@example.com".to_owned()),
            ..UserPut::default()
        };
        setting.put_user("u-43", &put).await;
        let recipients = json!([{"user_id": "u-42"}, {"user_id": "u-43"}]);
        let routed = setting
            .route_event(&with(event("e-1", "Note", &json!({})), "recipients", recipients))
            .await;
        assert_eq!(routed.decisions(), ["email send allowed", "email send allowed"]);
        assert_eq!(routed.deliveries.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_guests_message_goes_to_the_address_in_the_event_which_is_shown_masked() {
    on_router(async |setting| {
        let recipients = json!([
            {"email": "guest@example.com", "phone": "+4915112345678", "locale": "fr-CA", "timezone": "America/Toronto"},
        ]);
        let routed = setting
            .route_event(&with(shipped("e-1"), "recipients", recipients))
            .await;
        assert_eq!(
            routed.decisions(),
            ["email send allowed", "sms send allowed", "push suppress no_address"]
        );
        for (channel, address) in [
            (Channel::Email, "guest@example.com"),
            (Channel::Sms, "+4915112345678"),
        ] {
            let delivery = &routed.on(channel).delivery;
            let address = address.to_owned();
            assert_eq!(delivery.target, Target::Inline { address });
            assert_eq!(delivery.user_id, None);
            assert_eq!(
                (delivery.locale.as_deref(), delivery.timezone.as_deref()),
                (Some("fr-CA"), Some("America/Toronto"))
            );
        }
        let key = format!("default|{}", routed.deliveries[0].delivery.notification_id);
        assert_eq!(routed.places(), [("email", key.as_str()), ("sms", key.as_str())]);

        let decisions = &routed.only().decisions;
        let masked: Vec<_> = decisions
            .iter()
            .map(|decision| decision.to_masked.as_deref())
            .collect();
        assert_eq!(masked, [Some("g…@example.com"), Some("+49…78"), None]);
        assert!(
            decisions
                .iter()
                .all(|decision| decision.recipient == "g…@example.com, +49…78")
        );
    })
    .await;
}

#[tokio::test]
async fn all_spellings_of_a_guests_address_give_the_same_delivery_id() {
    on_router(async |setting| {
        let of = async |id: &str, email: &str| {
            let guest = with(
                event(id, "Note", &json!({})),
                "recipients",
                json!([{"email": email}]),
            );
            let routed = setting.route_event(&guest).await;
            routed.deliveries[0].delivery.clone()
        };
        let delivery = of("e-1", "Guest@Example.com").await;
        let hash = setting
            .env
            .store
            .address_key()
            .hash(Channel::Email, "guest@example.com");
        let expected =
            carillon_domain::DeliveryId::derive(delivery.notification_id, Channel::Email, &hash.to_string());
        assert_eq!(delivery.delivery_id, expected);
        assert_ne!(
            of("e-2", "Guest@Example.com").await.delivery_id,
            delivery.delivery_id
        );
    })
    .await;
}

#[tokio::test]
async fn every_live_device_gets_a_message_of_its_own() {
    on_router(async |setting| {
        let device = |token: &str| Device {
            platform: carillon_domain::Platform::Ios,
            token: token.to_owned(),
        };
        let put = UserPut {
            devices: Some(["phone", "tablet", "lost"].map(device).to_vec()),
            ..UserPut::default()
        };
        setting.put_user("many", &put).await;
        let id = |token: &str| ContactPointId::device(&setting.tenant, &"many".into(), token);
        let lose = async |token: &str| {
            let strike = Strike {
                tenant: setting.tenant.clone(),
                channel: Channel::Push,
                address_hash: setting.env.store.address_key().hash(Channel::Push, token),
                masked: "…".to_owned(),
                reason: SuppressionReason::DeadToken,
                provider: "fcm".into(),
                delivery_id: carillon_domain::DeliveryId(uuid::Uuid::nil()),
                code: "UNREGISTERED".to_owned(),
                seen_at: "2026-11-24T11:00:00Z".parse().unwrap(),
            };
            setting.env.store.suppressions().strike(&[strike]).await.unwrap();
        };
        lose("lost").await;
        let to_many = |event_id| with(shipped(event_id), "recipients", json!([{"user_id": "many"}]));
        let routed = setting.route_event(&to_many("e-1")).await;
        assert_eq!(
            routed.decisions(),
            [
                "email suppress no_address",
                "sms suppress no_address",
                "push send allowed",
                "push send allowed"
            ]
        );
        let mut targets: Vec<_> = routed
            .deliveries
            .iter()
            .map(|sent| match sent.delivery.target {
                Target::ContactPoint { id } => id,
                Target::Inline { .. } => panic!("the address of a user does not travel"),
            })
            .collect();
        targets.sort_unstable();
        let mut expected = [id("phone"), id("tablet")];
        expected.sort_unstable();
        assert_eq!(targets, expected);

        lose("phone").await;
        lose("tablet").await;
        let routed = setting.route_event(&to_many("e-2")).await;
        assert_eq!(routed.decisions()[2..], ["push suppress address_dead"]);
        assert!(routed.deliveries.is_empty());
    })
    .await;
}

#[tokio::test]
async fn recipients_are_found_at_the_places_of_the_type_if_the_event_names_none() {
    on_router(async |setting| {
        let mut order = shipped("e-1");
        order.as_object_mut().unwrap().remove("recipients");
        order["data"]["customer_id"] = json!("u-42");
        let routed = setting.route_event(&order).await;
        assert_eq!(routed.deliveries.len(), 3);
        // The facts behind the decision are stored with the event.
        let kept: serde_json::Value =
            serde_json::from_str(routed.only().event.as_ref().unwrap().get()).unwrap();
        assert_eq!(kept["recipients"], json!([{"user_id": "u-42"}]));
    })
    .await;
}
