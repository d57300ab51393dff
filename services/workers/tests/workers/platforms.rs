//! Devices and the accounts that serve their platforms: iPhones through APNs, all others through FCM.

use std::sync::Arc;

use carillon_domain::{
    Channel, ContactPointId, Delivery, DeliveryId, EventId, NotificationId, Platform, Target, TenantId,
};
use carillon_providers::Scope;
use carillon_store::users::{Device, UserPut};
use carillon_testkit::eventually;
use carillon_workers::{Account, Sender};
use serde_json::json;

use crate::{
    apple::{Answer, Apple, refuse},
    provider::{Provider, config, config_of},
    support::{START, Setting, on_workers},
};

const PUSH: Channel = Channel::Push;

fn account(name: &str, sender: Arc<dyn Sender>, platforms: &[Platform]) -> Arc<Account> {
    Account::for_platforms(name, PUSH, sender, None, Some(platforms.to_vec()))
}

fn apns(sender: Arc<dyn Sender>) -> Arc<Account> {
    account("apns", sender, &[Platform::Ios])
}

fn fcm(sender: Arc<dyn Sender>) -> Arc<Account> {
    account("fcm", sender, &[Platform::Android, Platform::Web])
}

/// A device of a user of its own.
async fn register(setting: &Setting, platform: Platform, token: &str) {
    let put = UserPut {
        devices: Some(vec![Device {
            platform,
            token: token.to_owned(),
        }]),
        ..UserPut::default()
    };
    let (users, user) = (setting.env.store.users(), format!("owner of {token}"));
    users
        .put(&TenantId::default(), &user.into(), &put, None)
        .await
        .unwrap();
}

/// A push message to a registered device. `platform` is the router's knowledge of it.
fn to_device(event: &str, token: &str, platform: Option<Platform>) -> Delivery {
    let user = format!("owner of {token}");
    let (tenant, id) = (TenantId::default(), EventId::from(event));
    let contact = ContactPointId::device(&tenant, &user.clone().into(), token);
    let notification = NotificationId::derive(&tenant, "/shop", &id, &user);
    let json = json!({
        "v": 1, "tenant": "default", "notification_id": notification,
        "delivery_id": DeliveryId::derive(notification, PUSH, &contact.to_string()),
        "event_id": event, "source": "/shop", "type": "OrderShipped", "category": "transactional",
        "event_time": START, "accepted_at": START, "user_id": user, "channel": "push",
        "target": Target::ContactPoint { id: contact }, "locale": "en", "priority": "normal",
        "data": {"order_id": event, "carrier": "DHL"},
    });
    Delivery {
        platform,
        ..serde_json::from_value(json).unwrap()
    }
}

async fn until_sent(setting: &Setting, event: &str) {
    eventually(&format!("{event} is sent"), || async {
        setting.advance(100);
        let steps = setting.written.steps(event);
        steps.iter().any(|step| step.ends_with(" sent"))
    })
    .await;
}

#[tokio::test]
async fn a_device_gets_its_message_through_the_account_of_its_platform() {
    on_workers(async |setting| {
        let (apple, google) = (setting.provider(), setting.provider());
        let mut expected = Vec::new();
        for (event, platform, known) in [
            ("iphone", Platform::Ios, Some(Platform::Ios)),
            ("pixel", Platform::Android, Some(Platform::Android)),
            ("browser", Platform::Web, Some(Platform::Web)),
            ("unknown iphone", Platform::Ios, None),
            ("iphone that was a pixel", Platform::Ios, Some(Platform::Android)),
        ] {
            register(setting, platform, event).await;
            expected.push(to_device(event, event, known));
        }
        setting.publish(&expected).await;
        let accounts = vec![fcm(Arc::clone(&google) as _), apns(Arc::clone(&apple) as _)];
        let worker = setting.start_for(PUSH, accounts, |_| {});
        for delivery in &expected {
            setting
                .written
                .reaches(delivery.event_id.as_str(), "1 sent")
                .await;
        }
        worker.end().await;
        let asked = |provider: &Provider| {
            let mut asked = provider.asked();
            asked.sort();
            asked
        };
        assert_eq!(
            asked(&apple),
            ["iphone", "iphone that was a pixel", "unknown iphone"]
        );
        assert_eq!(asked(&google), ["browser", "pixel"]);
    })
    .await;
}

#[tokio::test]
async fn messages_of_other_platforms_go_on_while_the_account_of_one_is_parked() {
    for (parked, other) in [
        (Platform::Ios, Platform::Android),
        (Platform::Android, Platform::Ios),
    ] {
        on_workers(async |setting| {
            let (apple, google) = (setting.provider(), setting.provider());
            let [broken, working] = match parked {
                Platform::Ios => [&apple, &google],
                _ => [&google, &apple],
            };
            register(setting, parked, "held").await;
            register(setting, other, "free").await;
            broken.answers_everything(Some(config("revoked")));
            let accounts = vec![apns(Arc::clone(&apple) as _), fcm(Arc::clone(&google) as _)];
            setting.publish(&[to_device("h-1", "held", Some(parked))]).await;
            let worker = setting.start_for(PUSH, accounts, |_| {});
            setting.written.reaches("h-1", "1 retrying revoked").await;
            // More messages of the parked platform than records may be in flight.
            let held: Vec<Delivery> = (0..40)
                .map(|n| to_device(&format!("held-{n}"), "held", Some(parked)))
                .collect();
            setting.publish(&held).await;
            for n in 0..10 {
                let event = format!("f-{n}");
                setting.publish(&[to_device(&event, "free", Some(other))]).await;
                setting.written.reaches(&event, "1 sent").await;
            }
            setting
                .written
                .reaches("held-0", "1 retrying account-closed")
                .await;
            assert_eq!(working.asked().len(), 10);
            assert!(
                broken.asked().len() <= 3,
                "a parked account is asked by probes only"
            );

            broken.answers_everything(None);
            for event in ["h-1", "held-0", "held-39"] {
                until_sent(setting, event).await;
            }
            worker.end().await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_device_that_no_account_serves_is_a_dead_letter_that_names_its_platform() {
    on_workers(async |setting| {
        let google = setting.provider();
        register(setting, Platform::Ios, "iphone").await;
        let deliveries = [Some(Platform::Ios), None]
            .into_iter()
            .enumerate()
            .map(|(n, known)| to_device(&format!("e-{n}"), "iphone", known));
        setting.publish(&deliveries.collect::<Vec<_>>()).await;
        let worker = setting.start_for(PUSH, vec![fcm(Arc::clone(&google) as _)], |_| {});
        setting.written.until_dead(2).await;
        for event in ["e-0", "e-1"] {
            setting
                .written
                .reaches(event, "1 dead_lettered no-account-for-platform")
                .await;
            let updates = setting.written.updates(event);
            let detail = updates[0].steps.last().unwrap().detail.clone().unwrap();
            assert_eq!(detail, "no provider account of the channel serves ios devices");
        }
        worker.end().await;
        assert!(google.asked().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_expired_message_to_a_parked_platform_ends_as_expired() {
    on_workers(async |setting| {
        let (apple, google) = (setting.provider(), setting.provider());
        register(setting, Platform::Ios, "iphone").await;
        apple.answers_everything(Some(config_of(Scope::Account, "revoked")));
        let accounts = vec![apns(Arc::clone(&apple) as _), fcm(Arc::clone(&google) as _)];
        setting
            .publish(&[to_device("e-1", "iphone", Some(Platform::Ios))])
            .await;
        let worker = setting.start_for(PUSH, accounts, |_| {});
        setting.written.reaches("e-1", "1 retrying revoked").await;
        let short = Delivery {
            expires_at: Some(setting.env.clock.now() + chrono::TimeDelta::milliseconds(500)),
            ..to_device("e-2", "iphone", Some(Platform::Ios))
        };
        setting.publish(&[short]).await;
        eventually("it expires", || async {
            setting.advance(100);
            let steps = setting.written.steps("e-2");
            steps.iter().any(|step| step.ends_with(" expired expired"))
        })
        .await;
        worker.end().await;
    })
    .await;
}

#[tokio::test]
async fn messages_under_way_at_a_goaway_are_delivered_once_each() {
    on_workers(async |setting| {
        let apple = Apple::start().await;
        register(setting, Platform::Ios, "00fc").await;
        let publish = async |range: std::ops::Range<u32>| {
            let deliveries: Vec<Delivery> = range
                .map(|n| to_device(&format!("e-{n}"), "00fc", Some(Platform::Ios)))
                .collect();
            setting.publish(&deliveries).await;
        };
        let sender = apple.sender(Arc::clone(&setting.env.clock));
        let worker = setting.start_for(PUSH, vec![apns(sender)], |_| {});
        publish(0..1).await;
        setting.written.reaches("e-0", "1 sent").await;
        for round in 0..3 {
            publish(1 + round * 30..31 + round * 30).await;
            eventually("some have arrived", || async { apple.pushed().len() > 10 }).await;
            apple.goes_away();
        }
        for n in 0..91 {
            setting.written.reaches(&format!("e-{n}"), "1 sent").await;
        }
        worker.end().await;
        let mut ids: Vec<String> = apple
            .pushed()
            .iter()
            .map(|pushed| pushed.header("apns-id").to_owned())
            .collect();
        ids.sort();
        ids.dedup();
        assert_eq!((ids.len(), apple.pushed().len()), (91, 91));
    })
    .await;
}

#[tokio::test]
async fn a_token_is_dead_only_if_apple_found_it_so_after_its_registration() {
    on_workers(async |setting| {
        let apple = Apple::start().await;
        let now = setting.env.clock.now();
        let dead = |seconds: i64| {
            let at = now + chrono::TimeDelta::seconds(seconds);
            Answer::Status(
                410,
                json!({"reason": "Unregistered", "timestamp": at.timestamp_millis()}),
            )
        };
        register(setting, Platform::Ios, "00aa").await;
        register(setting, Platform::Ios, "00bb").await;
        // The time of the second answer is before the registration.
        setting.advance(10_000);
        apple.answers_devices([("00aa", dead(5)), ("00bb", dead(-5))]);
        let worker = setting.start_for(
            PUSH,
            vec![apns(apple.sender(Arc::clone(&setting.env.clock)))],
            |_| {},
        );
        for (event, token) in [("a", "00aa"), ("b", "00bb")] {
            setting
                .publish(&[to_device(event, token, Some(Platform::Ios))])
                .await;
            setting.written.reaches(event, "1 failed Unregistered").await;
        }
        // The first is not asked again, and the second is.
        for (event, token) in [("a-2", "00aa"), ("b-2", "00bb")] {
            setting
                .publish(&[to_device(event, token, Some(Platform::Ios))])
                .await;
        }
        setting.written.reaches("b-2", "1 sent").await;
        eventually("the first is refused", || async {
            !setting.written.steps("a-2").is_empty()
        })
        .await;
        worker.end().await;
        let devices: Vec<String> = apple.pushed().into_iter().map(|pushed| pushed.device).collect();
        assert_eq!(devices, ["00aa", "00bb", "00bb"]);
    })
    .await;
}

#[tokio::test]
async fn a_refused_key_parks_the_account_and_no_message_ends_for_it() {
    on_workers(async |setting| {
        let apple = Apple::start().await;
        register(setting, Platform::Ios, "00fc").await;
        apple.answers_devices([("00fc", refuse(403, "InvalidProviderToken"))]);
        let worker = setting.start_for(
            PUSH,
            vec![apns(apple.sender(Arc::clone(&setting.env.clock)))],
            |_| {},
        );
        setting
            .publish(&[to_device("e-1", "00fc", Some(Platform::Ios))])
            .await;
        setting
            .written
            .reaches("e-1", "1 retrying InvalidProviderToken")
            .await;
        until_sent(setting, "e-1").await;
        worker.end().await;
        assert_eq!(apple.pushed().len(), 2);
        assert_ne!(
            apple.pushed()[0].header("apns-id"),
            apple.pushed()[1].header("apns-id")
        );
    })
    .await;
}

#[tokio::test]
async fn a_parked_platform_stays_parked_over_a_restart_and_one_message_goes_first() {
    on_workers(async |setting| {
        let google = setting.provider();
        let events: Vec<String> = (0..6).map(|n| format!("e-{n}")).collect();
        let mut deliveries = Vec::new();
        for event in &events {
            register(setting, Platform::Web, event).await;
            deliveries.push(to_device(event, event, Some(Platform::Web)));
        }
        google.answers("e-0", [config_of(Scope::Platform, "revoked")]);
        let accounts = || vec![fcm(Arc::clone(&google) as _)];
        setting.publish(&deliveries[..1]).await;
        let worker = setting.start_for(PUSH, accounts(), |_| {});
        setting.written.reaches("e-0", "1 retrying revoked").await;
        worker.end().await;
        let holds = setting.env.store.account_part_holds();
        let told = holds.all().await.unwrap();
        assert_eq!((told.len(), &*told[0].part), (1, "platform:web"), "{told:?}");
        assert!(
            told[0].cause.contains("fcm is parked for the platform web"),
            "{told:?}"
        );

        google.holds_everything();
        setting.publish(&deliveries[1..]).await;
        let worker = setting.start_for(PUSH, accounts(), |_| {});
        eventually("the probe", || async { google.calls().len() == 2 }).await;
        eventually("the next process holds the platform too", || async {
            holds.all().await.unwrap().len() == 2
        })
        .await;
        let waits = |event: &String| {
            let steps = setting.written.steps(event);
            steps.iter().any(|step| step.ends_with("retrying part-paused"))
        };
        eventually("the others wait for the probe", || async {
            events[1..].iter().filter(|event| waits(event)).count() == 4
        })
        .await;
        assert_eq!(google.calls().len(), 2);
        google.lets_go();
        for event in &events {
            until_sent(setting, event).await;
        }
        eventually("only the row of the ended process is left", || async {
            holds.all().await.unwrap().len() == 1
        })
        .await;
        worker.end().await;
    })
    .await;
}
