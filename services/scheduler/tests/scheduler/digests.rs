//! Digests: members are stored from their topic, and at the end of the window those that are still wanted are sent as one event.

use std::{collections::BTreeSet, time::Duration};

use carillon_bus::{OutRecord, Record, headers};
use carillon_domain::{
    Catalog, Channel, ContactPointId, DeliveryId, DigestId, Event, Lane, NotificationId, Recipient,
    StatusRecord, TenantId, Timestamp, UserId,
    conclusion::Conclusion,
    event::Defaults,
    status::{DeliveryUpdate, Origin},
    waiting::{DigestMembership, Release, WAITING_VERSION, Waiting, WaitingContent, WaitingPart},
};
use carillon_scheduler::{Closer, Collector, Looked};
use carillon_store::{
    send_ledger::{ClaimVerdict, SendKey},
    users::UserPut,
};
use carillon_testkit::eventually;
use serde_json::{Value, json};

use crate::support::{Setting, killed_after, on_scheduler, start, who};

const HOUR: Duration = Duration::from_hours(1);

fn tenant() -> TenantId {
    TenantId::default()
}

/// The user's digest whose window ends this many hours after the start.
fn digest_id(user: &str, hours: u32) -> DigestId {
    let identity = format!("user:{user}");
    DigestId::derive(
        &tenant(),
        &identity,
        "alerts",
        None,
        Channel::Email,
        start() + HOUR * hours,
    )
}

fn notification(user: &str, number: u32) -> NotificationId {
    NotificationId::derive(
        &tenant(),
        "/shop",
        &event_id(number).into(),
        &format!("user:{user}"),
    )
}

fn event_id(number: u32) -> String {
    format!("e-{number}")
}

fn delivery_id(user: &str, number: u32) -> DeliveryId {
    let address = ContactPointId::primary(&tenant(), &user.into(), Channel::Email);
    DeliveryId::derive(notification(user, number), Channel::Email, &address.to_string())
}

fn key(user: &str, number: u32) -> SendKey {
    SendKey {
        accepted_at: accepted_at(number),
        delivery_id: delivery_id(user, number),
        generation: 0,
        attempt: 1,
    }
}

fn accepted_at(number: u32) -> Timestamp {
    start() + Duration::from_secs(u64::from(number))
}

/// The record that a router writes for a member of the digest that ends at this hour.
fn member(setting: &Setting, user: &str, hours: u32, number: u32) -> OutRecord {
    let (id, event_type) = (
        digest_id(user, hours),
        if number == 9 { "Rumour" } else { "PriceDrop" },
    );
    let part = WaitingPart {
        notification_id: notification(user, number),
        user_id: Some(user.into()),
        channel: Channel::Email,
        deliveries: vec![delivery_id(user, number)],
        after: Vec::new(),
    };
    let waiting = Waiting {
        tenant: tenant(),
        event_id: event_id(number).into(),
        source: "/shop".into(),
        event_type: event_type.into(),
        user_id: Some(user.into()),
        due: start() + HOUR * hours,
        reason: "digest".into(),
        digest: Some(DigestMembership {
            id,
            event_type: "PriceDropDigest".into(),
            category: "alerts".into(),
            channel: Channel::Email,
            recipient: Recipient::user(user),
            max: 3,
        }),
        release: Release {
            v: WAITING_VERSION,
            id: Waiting::id_of_member(id, notification(user, number), None),
            number: 1,
            origin: Origin {
                topic: setting.env.bus.topics().events(Lane::Normal),
                partition: 0,
                offset: i64::from(number),
            },
            written_at: accepted_at(number),
            content: WaitingContent::Deliveries {
                accepted_at: accepted_at(number),
                event_type: event_type.into(),
                category: "alerts".into(),
                parts: vec![part],
            },
        },
    };
    let event = json!({
        "specversion": "1.0", "id": event_id(number), "source": "/shop", "type": event_type, "time": accepted_at(number),
        "recipients": [{"user_id": user}], "data": {"product": number},
    });
    OutRecord::new(
        setting.env.bus.topics().scheduled(),
        format!("default|{user}"),
        event.to_string(),
    )
    .with(headers::TENANT, "default")
    .with(headers::VIA, "gateway")
    .with(headers::WAITS, waiting.to_wire())
}

impl Setting {
    async fn prepare(&self, user: &str) {
        let catalog = json!({
            "types": {
                "PriceDrop": {"category": "alerts", "channels": {"order": ["email"]}},
                "Rumour": {"category": "alerts", "channels": {"order": ["email"]}},
                "PriceDropDigest": {"category": "alerts", "priority": "bulk", "channels": {"order": ["email"]}},
            },
            "categories": {"alerts": {"digest": {"type": "PriceDropDigest", "every": "1h", "max": 3}}},
        });
        let catalog: Catalog = serde_json::from_value(catalog).unwrap();
        assert_eq!(catalog.validate(), []);
        self.env
            .store
            .catalog()
            .put(&tenant(), &catalog, None)
            .await
            .unwrap();
        let put = UserPut {
            email: Some(format!("{user}@example.com")),
            ..UserPut::default()
        };
        self.env
            .store
            .users()
            .put(&tenant(), &user.into(), &put, None)
            .await
            .unwrap();
    }

    /// Writes members and collects them.
    async fn collect_members(&self, records: Vec<OutRecord>) {
        let before = self.members().await;
        let count = records.len() as u64;
        self.env.bus.publish(records).await.unwrap();
        let mut collector = Collector::new(self.deps()).unwrap();
        while self.members().await < before + count {
            collector.step().await.unwrap();
        }
    }

    async fn members(&self) -> u64 {
        self.env.store.digests().depth().await.unwrap().members
    }

    async fn close_all(&self) {
        let closer = Closer::new(self.deps());
        while let Looked::Released(_) = Box::pin(closer.step()).await.unwrap() {}
        self.publish_all().await;
    }

    /// The events by which digests were sent, each as often as it was published.
    async fn digests(&self) -> Vec<(Record, Event)> {
        let records = self.published(&self.env.bus.topics().events(Lane::Bulk)).await;
        let read = |record: Record| {
            let event = Event::from_cloudevent(&record.value, Defaults::at(start())).unwrap();
            (record, event)
        };
        records.into_iter().map(read).collect()
    }

    /// Status and code of the deliveries that have ended, by the number of their event.
    async fn ended(&self) -> Vec<String> {
        let mut ended: Vec<String> = Vec::new();
        for status in self.statuses().await {
            let StatusRecord::Delivery(DeliveryUpdate { event_id, steps, .. }) = status else {
                panic!("{status:?}")
            };
            let step = &steps[0];
            ended.push(format!(
                "{event_id} {} {}",
                step.status,
                step.code.as_deref().unwrap()
            ));
        }
        ended.sort();
        ended
    }
}

fn products(event: &Event) -> (u64, Vec<u64>) {
    let data: Value = serde_json::from_str(event.data.get()).unwrap();
    let items = data["items"].as_array().unwrap();
    let numbers = items.iter().map(|item| item["data"]["product"].as_u64().unwrap());
    (data["count"].as_u64().unwrap(), numbers.collect())
}

#[tokio::test]
async fn the_members_of_a_window_are_sent_as_one_event_at_its_end() {
    on_scheduler(async |setting| {
        setting.prepare("u-1").await;
        let closer = Closer::new(setting.deps());
        assert_eq!(
            closer.step().await.unwrap(),
            Looked::Wait(Duration::from_millis(250)),
            "nothing is collected"
        );
        setting
            .collect_members(vec![member(setting, "u-1", 1, 2), member(setting, "u-1", 1, 1)])
            .await;
        setting.clock.advance(Duration::from_millis(3_599_980));
        assert_eq!(
            closer.step().await.unwrap(),
            Looked::Wait(Duration::from_millis(21))
        );
        setting.clock.advance(Duration::from_millis(20));
        assert_eq!(closer.step().await.unwrap(), Looked::Released(1));
        setting.close_all().await;

        let [(record, event)] = &setting.digests().await[..] else {
            panic!()
        };
        assert_eq!(event.id.to_string(), digest_id("u-1", 1).to_string());
        assert_eq!(&*event.source, "/carillon/digests");
        assert_eq!(
            (&*event.event_type, event.time),
            ("PriceDropDigest", start() + HOUR)
        );
        assert_eq!(event.recipients, [Recipient::user("u-1")]);
        assert_eq!(event.channels, [Channel::Email]);
        assert_eq!(
            serde_json::from_str::<Value>(event.data.get()).unwrap(),
            json!({"count": 2, "items": [
                {"type": "PriceDrop", "time": "2026-11-24T10:00:01Z", "data": {"product": 1}},
                {"type": "PriceDrop", "time": "2026-11-24T10:00:02Z", "data": {"product": 2}},
            ]})
        );
        assert_eq!(record.key.as_deref(), Some(&b"default|u-1"[..]));
        assert_eq!(record.headers.get_str(headers::TENANT), Some("default"));
        assert!(record.headers.get(headers::RELEASE).is_none());
        assert_eq!(
            setting.ended().await,
            ["e-1 digested digest", "e-2 digested digest"]
        );
        assert_eq!(setting.members().await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_digest_has_the_latest_items_and_counts_all_members() {
    on_scheduler(async |setting| {
        setting.prepare("u-1").await;
        setting
            .collect_members((1..=5).map(|number| member(setting, "u-1", 1, number)).collect())
            .await;
        setting.clock.advance(HOUR);
        setting.close_all().await;
        assert_eq!(products(&setting.digests().await[0].1), (5, vec![3, 4, 5]));
    })
    .await;
}

async fn cancel(setting: &Setting, user: &str, number: u32) -> Vec<ClaimVerdict> {
    let outcome = serde_json::value::to_raw_value(&Conclusion::cancelled(start(), "ada")).unwrap();
    let ledger = setting.env.store.send_ledger();
    ledger
        .cancel(&who(), "/", &[(key(user, number), outcome)])
        .await
        .unwrap()
}

#[tokio::test]
async fn a_member_that_was_cancelled_or_whose_user_has_opted_out_is_not_in_the_digest() {
    on_scheduler(async |setting| {
        setting.prepare("u-1").await;
        let numbers = [1, 2, 9];
        setting
            .collect_members(numbers.map(|number| member(setting, "u-1", 1, number)).into())
            .await;
        assert_eq!(cancel(setting, "u-1", 1).await, [ClaimVerdict::Claimed]);
        let preferences = serde_json::from_value(json!({"types": {"Rumour": {"email": false}}})).unwrap();
        setting
            .env
            .store
            .preferences()
            .put(&tenant(), &"u-1".into(), &preferences, None)
            .await
            .unwrap();
        setting.clock.advance(HOUR);
        setting.close_all().await;
        assert_eq!(products(&setting.digests().await[0].1), (1, vec![2]));
        // The status of the cancellation is published here if the gateway could not.
        assert_eq!(
            setting.ended().await,
            [
                "e-1 cancelled cancelled",
                "e-2 digested digest",
                "e-9 suppressed opted_out_type"
            ]
        );
        // A message in the digest cannot be cancelled any more.
        assert!(matches!(
            &cancel(setting, "u-1", 2).await[..],
            [ClaimVerdict::Taken(_)]
        ));
    })
    .await;
}

#[tokio::test]
async fn a_window_whose_members_are_not_wanted_any_more_sends_nothing() {
    on_scheduler(async |setting| {
        for user in ["u-1", "u-2", "u-3"] {
            setting.prepare(user).await;
            setting.collect_members(vec![member(setting, user, 1, 1)]).await;
        }
        cancel(setting, "u-1", 1).await;
        let preferences =
            serde_json::from_value(json!({"categories": {"alerts": {"email": false}}})).unwrap();
        setting
            .env
            .store
            .preferences()
            .put(&tenant(), &"u-2".into(), &preferences, None)
            .await
            .unwrap();
        // An erased user's digests end at once, and their content is gone.
        let erased: UserId = "u-3".into();
        assert!(
            setting
                .env
                .store
                .users()
                .delete(&tenant(), &erased, None)
                .await
                .unwrap()
        );
        setting
            .env
            .store
            .digests()
            .end_of_user(&tenant(), &erased)
            .await
            .unwrap();
        setting.close_all().await;
        assert_eq!(setting.ended().await, ["e-1 suppressed unknown_user"]);
        setting.clock.advance(HOUR);
        setting.close_all().await;
        assert!(setting.digests().await.is_empty());
        assert_eq!(
            setting.ended().await,
            [
                "e-1 cancelled cancelled",
                "e-1 suppressed opted_out_category",
                "e-1 suppressed unknown_user"
            ]
        );
        assert_eq!(setting.members().await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_member_that_comes_after_its_digest_is_released_to_be_decided_again() {
    on_scheduler(async |setting| {
        setting.prepare("u-1").await;
        setting.collect_members(vec![member(setting, "u-1", 1, 1)]).await;
        setting.clock.advance(HOUR);
        setting.close_all().await;
        // One record is read again, another one comes late.
        let records = vec![member(setting, "u-1", 1, 1), member(setting, "u-1", 1, 2)];
        setting.env.bus.publish(records).await.unwrap();
        let mut collector = Collector::new(setting.deps()).unwrap();
        while setting.env.store.waiting().depth().await.unwrap().deliveries == 0 {
            collector.step().await.unwrap();
        }
        let releaser = carillon_scheduler::Releaser::new(setting.deps());
        assert_eq!(releaser.step().await.unwrap(), Looked::Released(1));
        setting.publish_all().await;
        let topic = setting.env.bus.topics().events(Lane::Normal);
        let [record] = &setting.published(&topic).await[..] else {
            panic!()
        };
        let release = Release::parse(record.headers.get(headers::RELEASE).unwrap()).unwrap();
        assert_eq!(release.content.parts()[0].deliveries, [delivery_id("u-1", 2)]);
        assert_eq!(setting.digests().await.len(), 1);
        assert_eq!(setting.members().await, 0);
    })
    .await;
}

#[tokio::test]
async fn there_is_one_digest_a_window_wherever_the_closer_dies() {
    on_scheduler(async |setting| {
        setting.prepare("u-1").await;
        let mut rounds: u32 = 0;
        loop {
            setting
                .collect_members(vec![member(setting, "u-1", rounds + 1, rounds * 10 + 1)])
                .await;
            setting.clock.advance(HOUR);
            let closer = Closer::new(setting.deps());
            let survived = killed_after(rounds as usize, Box::pin(closer.step()))
                .await
                .is_some();
            rounds += 1;
            // The next process completes the work once the lease has ended.
            let expected = rounds as usize;
            let sent = async || -> BTreeSet<String> {
                let digests = setting.digests().await;
                digests.iter().map(|(_, event)| event.id.to_string()).collect()
            };
            eventually("the digest is sent", || async {
                setting.close_all().await;
                if setting.members().await > 0 {
                    setting.clock.advance(Duration::from_secs(61));
                    return false;
                }
                sent().await.len() == expected
            })
            .await;
            if survived && rounds > 3 {
                break;
            }
        }
        let digests = setting.digests().await;
        assert_eq!(digests.len(), rounds as usize, "each was published once");
        for (_, event) in &digests {
            assert_eq!(products(event).0, 1);
        }
    })
    .await;
}
