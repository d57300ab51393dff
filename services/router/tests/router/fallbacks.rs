//! Fallbacks that wait: a message that follows an earlier channel waits by itself. It is sent unless the earlier
//! message has reached the recipient.

use std::time::Duration;

use carillon_bus::{OutRecord, headers};
use carillon_domain::{
    Catalog, Channel, DeliveryId, DeliveryState, DeliveryStatus, Platform, Timestamp,
    status::TimelineStep,
    waiting::{Waiting, WaitingContent, WaitingPart},
};
use carillon_store::{
    api_keys::{Principal, Role},
    fallbacks::Acknowledging,
    read_model::{AttemptRow, DeliveryRow, Projection},
    users::{Device, UserPut},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    routed::Routed,
    scheduled::release_after,
    support::{START, Setting, event, on_router, with},
};

const MINUTE: Duration = Duration::from_mins(1);

/// A catalog of one type: a push, an e-mail half an hour later, and a text message an hour after that.
async fn put_catalog(setting: &Setting, limits: &Value) {
    let catalog = json!({
        "types": {"Invite": {"category": "invites", "channels":
            {"mode": "fallback", "order": ["push", "email", "sms"], "wait": {"email": "30m", "sms": "1h"}}}},
        "categories": {"invites": {"overflow": "defer", "limits": limits}},
    });
    let catalog: Catalog = serde_json::from_value(catalog).unwrap();
    assert_eq!(catalog.validate(), []);
    let catalogs = setting.env.store.catalog();
    catalogs.put(&setting.tenant, &catalog, None).await.unwrap();
}

fn invite(id: &str) -> Value {
    event(id, "Invite", &json!({}))
}

fn waiting(record: &OutRecord) -> Waiting {
    Waiting::parse(record.headers.get(headers::WAITS).unwrap()).unwrap()
}

fn part(record: &OutRecord) -> WaitingPart {
    match waiting(record).release.content {
        WaitingContent::Deliveries { mut parts, .. } if parts.len() == 1 => parts.remove(0),
        other => panic!("{other:?}"),
    }
}

/// The record that waits for a channel.
fn of(routed: &Routed, channel: Channel) -> &OutRecord {
    let mut records = routed.waiting.iter();
    records.find(|record| part(record).channel == channel).unwrap()
}

fn ids(routed: &Routed, channel: Channel) -> Vec<DeliveryId> {
    let decisions = routed.decided.iter().flat_map(|decided| &decided.decisions);
    let own = decisions.filter(|decision| decision.channel == channel);
    own.filter_map(|decision| decision.delivery_id).collect()
}

/// Writes the present status of a delivery into the read model, as a tracker does.
async fn project(setting: &Setting, id: DeliveryId, statuses: &[DeliveryStatus]) {
    let created_at: Timestamp = START.parse().unwrap();
    let row = |status: DeliveryStatus| DeliveryRow {
        id,
        tenant: setting.tenant.clone(),
        event_id: "e".into(),
        source: "/shop/orders".into(),
        event_type: "Invite".into(),
        category: "invites".into(),
        user_id: Some("u-42".into()),
        channel: Channel::Push,
        state: DeliveryState {
            generation: 0,
            attempt: 1,
            status,
        },
        created_at,
        at: created_at,
        reason: None,
        error_code: None,
        to_masked: None,
        provider: None,
        provider_message_id: None,
        template: None,
        queued: None,
    };
    let step = |status: DeliveryStatus| AttemptRow {
        delivery_id: id,
        created_at,
        generation: 0,
        attempt: 1,
        counted: None,
        provider: None,
        due_at: None,
        steps: vec![TimelineStep {
            at: created_at,
            status,
            code: None,
            detail: None,
        }],
        receipt_id: None,
    };
    let projection = Projection {
        deliveries: statuses.iter().copied().map(row).collect(),
        attempts: statuses.iter().copied().map(step).collect(),
        ..Projection::default()
    };
    setting.env.store.read_model().apply(&projection).await.unwrap();
}

/// The app says that the recipient has seen the push.
async fn acknowledge(setting: &Setting, delivery_id: DeliveryId) {
    let who = Principal {
        key_id: Uuid::nil(),
        name: "app".to_owned(),
        tenant: setting.tenant.clone(),
        role: Role::Operator,
    };
    let said = Acknowledging {
        delivery_id,
        channel: Channel::Push,
        generation: 0,
        attempt: 1,
        who: &who,
        route: "/v1/deliveries/x/acknowledge",
    };
    setting.env.store.fallbacks().acknowledge(said).await.unwrap();
}

#[tokio::test]
async fn a_following_delivery_waits_as_a_row_for_each_recipient_and_names_the_deliveries_before_it() {
    on_router(async |setting| {
        put_catalog(setting, &json!([])).await;
        let grace = UserPut {
            email: Some("grace@example.com".to_owned()),
            devices: Some(vec![Device {
                platform: Platform::Android,
                token: "device-of-grace".to_owned(),
            }]),
            ..UserPut::default()
        };
        setting.put_user("u-43", &grace).await;
        let both = json!([{"user_id": "u-42"}, {"user_id": "u-43"}]);
        let record = setting.record(&with(invite("e-1"), "recipients", both));
        let routed = setting.route(std::slice::from_ref(&record)).await;
        assert_eq!(
            routed.decisions(),
            [
                "push send allowed",
                "email defer fallback_waits",
                "sms defer fallback_waits",
                "push send allowed",
                "email defer fallback_waits",
                "sms suppress no_address",
            ]
        );
        let decision = &routed.only().decisions[1];
        assert_eq!(
            decision.sentence,
            "Held back until 11:30, 24 Nov (Europe/Berlin): sent then unless the message by push is delivered, opened or acknowledged before."
        );
        assert_eq!(decision.until.unwrap().to_rfc3339(), "2026-11-24T10:30:00+00:00");
        let push = ids(&routed, Channel::Push);
        assert_eq!(decision.after, push[..1]);
        let steps = decision.steps.list();
        let step = steps.iter().find(|step| step.rule == "follow").unwrap();
        assert_eq!(
            (&*step.result, &step.inputs),
            ("wait", &json!({"after": ["push"], "wait": "30m", "until": "2026-11-24T10:30:00Z"}))
        );

        let parts: Vec<WaitingPart> = routed.waiting.iter().map(part).collect();
        let email = ids(&routed, Channel::Email);
        let after: Vec<&[DeliveryId]> = parts.iter().map(|part| &part.after[..]).collect();
        assert_eq!(after, [&push[..1], &[push[0], email[0]], &push[1..]]);
        for (record, user) in routed.waiting.iter().zip(["u-42", "u-42", "u-43"]) {
            let event: Value = serde_json::from_slice(&record.value).unwrap();
            assert_eq!(event["recipients"].as_array().unwrap().len(), 1);
            assert_eq!(event["recipients"][0]["user_id"], json!(user));
            assert_eq!(&*waiting(record).reason, "fallback_waits");
        }

        // Read again, as after an aborted transaction, it is the same wait.
        setting.clock.advance(MINUTE);
        let again = setting.route(&[record]).await;
        let waits = |routed: &Routed| -> Vec<Uuid> {
            routed
                .waiting
                .iter()
                .map(|record| waiting(record).release.id)
                .collect()
        };
        assert_eq!(waits(&again), waits(&routed));
    })
    .await;
}

#[tokio::test]
async fn at_its_time_it_is_sent_unless_the_earlier_message_has_reached_the_recipient() {
    use DeliveryStatus::{
        Bounced, Cancelled, Clicked, DeadLettered, Delivered, Failed, Opened, Sent, Uncertain,
    };
    on_router(async |setting| {
        put_catalog(setting, &json!([])).await;
        let sent = |sentence: &str| ("email send fallback_used", sentence.to_owned());
        let open = || sent("To be sent by email: there was no sign in time that the message by push was delivered or seen.");
        let failed = || sent("To be sent by email: the message by push has failed.");
        let reached = |how: &str| {
            let sentence = format!("Not sent by email: the message by push was {how}.");
            ("email suppress fallback_reached", sentence)
        };
        let cases: Vec<(&[DeliveryStatus], _)> = vec![
            (&[Sent], open()),
            (&[Uncertain], open()),
            (&[Cancelled], open()),
            (&[Failed], failed()),
            (&[DeadLettered], failed()),
            (&[Sent, Bounced], failed()),
            (&[Sent, Delivered], reached("delivered")),
            (&[Sent, Opened], reached("opened")),
            (&[Sent, Clicked, Opened], reached("clicked")),
        ];
        for (number, (statuses, (decision, sentence))) in cases.into_iter().enumerate() {
            let routed = setting.route_event(&invite(&format!("e-{number}"))).await;
            project(setting, ids(&routed, Channel::Push)[0], statuses).await;
            let released = release_after(setting, of(&routed, Channel::Email), MINUTE * 30).await;
            // Read again, it is decided again and the same message.
            for _ in 0..2 {
                let routed_again = setting.route(std::slice::from_ref(&released)).await;
                assert_eq!(routed_again.decisions(), [decision], "{statuses:?}");
                assert_eq!(routed_again.only().decisions[0].sentence, sentence);
                assert!(routed_again.waiting.is_empty());
                let own = ids(&routed, Channel::Email);
                if decision.contains("send") {
                    assert_eq!(ids(&routed_again, Channel::Email), own);
                    assert!(routed_again.updates.is_empty());
                } else {
                    assert!(routed_again.deliveries.is_empty());
                    let [update] = &routed_again.updates[..] else { panic!() };
                    assert_eq!(update.delivery_id, own[0]);
                    let step = &update.steps[0];
                    assert_eq!(
                        (step.status, step.code.as_deref()),
                        (DeliveryStatus::Suppressed, Some("fallback_reached"))
                    );
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_acknowledgement_counts_although_the_read_model_does_not_show_it() {
    on_router(async |setting| {
        put_catalog(setting, &json!([])).await;
        let routed = setting.route_event(&invite("e-1")).await;
        acknowledge(setting, ids(&routed, Channel::Push)[0]).await;
        let email = release_after(setting, of(&routed, Channel::Email), MINUTE * 30).await;
        let decided = setting.route(&[email]).await;
        assert_eq!(decided.decisions(), ["email suppress fallback_reached"]);
        assert_eq!(
            decided.only().decisions[0].sentence,
            "Not sent by email: the message by push was acknowledged."
        );
        // The third channel follows both.
        let sms = release_after(setting, of(&routed, Channel::Sms), MINUTE * 60).await;
        assert_eq!(
            setting.route(&[sms]).await.decisions(),
            ["sms suppress fallback_reached"]
        );
    })
    .await;
}

#[tokio::test]
async fn a_message_that_waits_again_at_its_time_still_follows_the_earlier_one() {
    on_router(async |setting| {
        put_catalog(setting, &json!([{"channel": "email", "max": 1, "per": "2h"}])).await;
        let first = setting.route_event(&invite("e-0")).await;
        let routed = setting.route_event(&invite("e-1")).await;
        let push = ids(&routed, Channel::Push);
        let one = release_after(setting, of(&first, Channel::Email), MINUTE * 30).await;
        let two = release_after(setting, of(&routed, Channel::Email), Duration::ZERO).await;
        assert_eq!(
            setting.route(&[one]).await.decisions(),
            ["email send fallback_used"]
        );
        let over = setting.route(&[two]).await;
        assert_eq!(over.decisions(), ["email defer over_limit"]);
        let again = of(&over, Channel::Email);
        assert_eq!(part(again).after, push);
        assert_eq!(waiting(again).release.number, 2);
        assert_ne!(
            waiting(again).release.id,
            waiting(of(&routed, Channel::Email)).release.id
        );

        project(setting, push[0], &[DeliveryStatus::Delivered]).await;
        let released = release_after(setting, again, MINUTE * 120).await;
        let decided = setting.route(&[released]).await;
        assert_eq!(decided.decisions(), ["email suppress fallback_reached"]);
        assert_eq!(decided.updates.len(), 1);
    })
    .await;
}
