//! Limits per user and channel: two e-mails an hour for reminders.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use carillon_bus::OutRecord;
use carillon_domain::{
    Lane, Timestamp,
    decide::{LimitCheck, LimitVerdict},
};
use carillon_router::{RouterConfig, RouterDeps};
use carillon_runtime::Shutdown;
use carillon_store::quota::{InProcessQuotas, Quotas, RedisFault};
use serde_json::json;

use crate::{
    reader::Reader,
    support::{Setting, event, on_router, with},
};

fn reminder(id: &str) -> serde_json::Value {
    event(id, "CartReminder", &json!({}))
}

#[tokio::test]
async fn a_message_over_a_limit_is_dropped_and_a_second_reading_gives_the_same_decision() {
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

        // Read again as after an aborted transaction: in one batch, and record by record from the last to the first.
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
async fn a_critical_type_passes_limits_and_does_not_count_against_them() {
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
async fn a_message_that_a_preference_stops_does_not_count_against_limits() {
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

/// Limits that fail while they are switched off.
#[derive(Debug)]
struct Switched {
    quotas: InProcessQuotas,
    is_on: AtomicBool,
}

#[async_trait]
impl Quotas for Switched {
    async fn take(&self, checks: &[LimitCheck], now: Timestamp) -> Vec<LimitVerdict> {
        if self.is_on.load(Ordering::SeqCst) {
            self.quotas.take(checks, now).await
        } else {
            vec![LimitVerdict::Unavailable; checks.len()]
        }
    }

    async fn look(&self, checks: &[LimitCheck], at: Timestamp) -> Vec<LimitVerdict> {
        self.quotas.look(checks, at).await
    }

    async fn check(&self) -> Result<(), RedisFault> {
        Ok(())
    }

    fn name(&self) -> &'static str {
        "switched"
    }
}

/// Runs a router whose limits cannot be counted, until the test ends.
async fn without_limits(setting: &Setting, test: impl AsyncFn(&Switched, &mut Reader)) {
    let quotas = Arc::new(Switched {
        quotas: InProcessQuotas::new(Duration::from_hours(1)),
        is_on: AtomicBool::new(false),
    });
    let deps = RouterDeps {
        quotas: Arc::clone(&quotas) as _,
        config: RouterConfig {
            limits_patience: Duration::from_mins(10),
        },
        ..setting.deps(&setting.env.bus, setting.clock.clone())
    };
    let mut reader = Reader::new(&setting.env.bus);
    let shutdown = Shutdown::new();
    let router = tokio::spawn(carillon_router::run(deps, shutdown.clone()));
    test(&quotas, &mut reader).await;
    shutdown.begin();
    router.await.unwrap().unwrap();
}

/// Publishes all events to the same partition, in order.
async fn publish(setting: &Setting, lane: Lane, events: &[serde_json::Value]) {
    let topic = setting.topics().events(lane);
    let records = events
        .iter()
        .map(|event| OutRecord::new(Arc::clone(&topic), "default|u-42", event.to_string()));
    setting.env.bus.publish(records.collect()).await.unwrap();
}

/// The decisions about each event, by the event's id.
fn decisions(reader: &Reader) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::<_, Vec<String>>::new();
    for decided in reader.decided() {
        let said = decided.decisions.iter().map(|decision| {
            let (outcome, reason): (&str, &str) = (decision.outcome.into(), decision.reason.into());
            format!("{} {outcome} {reason}", decision.channel)
        });
        all.entry(decided.event_id.to_string()).or_default().extend(said);
    }
    all
}

#[tokio::test]
async fn while_limits_cannot_be_counted_limited_events_wait_and_critical_or_unlimited_ones_are_sent() {
    on_router(async |setting| {
        without_limits(setting, async |quotas, reader| {
            for lane in Lane::ALL {
                let id = |name: &str| format!("{name}-{lane}");
                let limited = (0..3).map(|n| reminder(&id(&format!("limited-{n}"))));
                let others = [
                    event(&id("reset"), "PasswordReset", &json!({})),
                    event(&id("note"), "Note", &json!({})),
                ];
                publish(setting, lane, &limited.chain(others).collect::<Vec<_>>()).await;
            }
            reader
                .until("what is not limited", |reader| reader.routed() == 6)
                .await;
            let so_far = decisions(reader);
            assert!(
                so_far
                    .keys()
                    .all(|id| id.starts_with("reset") || id.starts_with("note")),
                "{so_far:?}"
            );

            quotas.is_on.store(true, Ordering::SeqCst);
            reader.until("all", |reader| reader.routed() == 15).await;
            reader.drain().await;
            let all = decisions(reader);
            let emails: Vec<&String> = all
                .values()
                .flatten()
                .filter(|said| said.starts_with("email"))
                .collect();
            let count = |what: &str| emails.iter().filter(|said| said.ends_with(what)).count();
            assert_eq!(
                (
                    count("send allowed") - 3,
                    count("drop over_limit"),
                    count("send critical")
                ),
                (2, 7, 3)
            );
            assert_eq!(all.len(), 15, "each event was decided");
            assert_eq!(reader.routed(), 15, "each event was decided once");
            assert!(
                reader
                    .decided()
                    .iter()
                    .all(|decided| decided.origin.topic.contains(".events"))
            );
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_held_event_is_sent_without_limits_after_the_limits_patience_and_its_decision_says_so() {
    on_router(async |setting| {
        without_limits(setting, async |_, reader| {
            publish(
                setting,
                Lane::Normal,
                &[reminder("e-1"), event("e-2", "Note", &json!({}))],
            )
            .await;
            reader.until("the note", |reader| reader.routed() == 1).await;
            setting.clock.advance(Duration::from_mins(11));
            reader.until("the reminder", |reader| reader.routed() == 2).await;
            let decided = reader.decided();
            let late = decided
                .iter()
                .find(|decided| decided.event_id.as_str() == "e-1")
                .unwrap();
            let email = &late.decisions[0];
            assert_eq!(decisions(reader)["e-1"][0], "email send limit_unknown");
            assert!(email.delivery_id.is_some());
        })
        .await;
    })
    .await;
}
