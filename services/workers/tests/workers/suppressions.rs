//! The suppression list at the send: it holds for the address, of a user or a guest, as it is right before the send.

use carillon_domain::{
    Channel, Delivery, DeliveryId, Timestamp, contact::mask, suppression::SuppressionReason,
};
use carillon_store::suppressions::{Strike, SuppressionPut};
use carillon_testkit::eventually;

use crate::{
    provider::{address_dead, retry, stopped},
    support::{PHONE, Setting, on_workers, operator, to_guest, to_user},
};

fn now(setting: &Setting) -> Timestamp {
    carillon_domain::Clock::now(&*setting.clock)
}

/// Puts the number of all guests on the suppression list, as another process does after a STOP.
async fn stop_elsewhere(setting: &Setting) {
    let strike = Strike {
        tenant: "default".into(),
        channel: Channel::Sms,
        address_hash: setting.env.store.address_key().hash(Channel::Sms, PHONE),
        masked: mask(Channel::Sms, PHONE),
        reason: SuppressionReason::OptedOut,
        code: "21610".to_owned(),
        provider: "other".into(),
        delivery_id: DeliveryId(uuid::Uuid::from_u128(9)),
        seen_at: now(setting),
    };
    setting.env.store.suppressions().strike(&[strike]).await.unwrap();
}

#[tokio::test]
async fn after_a_guests_stop_neither_the_guest_nor_a_user_with_that_number_gets_a_text() {
    on_workers(async |setting| {
        setting.put_user("u-42", Some(PHONE)).await;
        let provider = setting.provider();
        provider.answers("e-1", [stopped("21610")]);
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 failed 21610").await;
        setting.publish(&[to_guest("e-2"), to_user("e-3", "u-42")]).await;
        for event in ["e-2", "e-3"] {
            setting.written.reaches(event, "1 suppressed opted_out").await;
            let detail = setting.written.updates(event)[0].steps[0].detail.clone().unwrap();
            assert!(
                detail.contains("since 2024-11-24 10:00:0") && detail.contains("STOP"),
                "{detail}"
            );
        }
        worker.end().await;
        assert_eq!(provider.asked(), ["e-1"]);
        let entry = setting
            .env
            .store
            .suppressions()
            .get(&"default".into(), Channel::Sms, PHONE)
            .await
            .unwrap()
            .unwrap()
            .value;
        assert_eq!(
            (entry.reason, entry.code.as_deref()),
            (SuppressionReason::OptedOut, Some("21610"))
        );
        assert_eq!(
            (entry.provider.as_deref(), entry.delivery_id),
            (Some("p"), Some(to_guest("e-1").delivery_id))
        );
    })
    .await;
}

#[tokio::test]
async fn an_opt_out_that_arrives_while_a_delivery_waits_in_a_retry_topic_stops_it_at_the_send() {
    on_workers(async |setting| {
        setting.put_user("u-42", Some(PHONE)).await;
        let provider = setting.provider();
        for event in ["e-1", "e-2"] {
            provider.answers(event, [retry("503")]);
        }
        setting.publish(&[to_guest("e-1"), to_user("e-2", "u-42")]).await;
        let worker = setting.start(&provider);
        for event in ["e-1", "e-2"] {
            setting.written.reaches(event, "1 retrying 503").await;
        }
        stop_elsewhere(setting).await;
        setting.advance(1_100);
        for event in ["e-1", "e-2"] {
            setting.written.reaches(event, "2 suppressed opted_out").await;
        }
        worker.end().await;
        assert_eq!(provider.calls().len(), 2, "the first attempts alone");
        assert!(setting.written.dead().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_address_that_a_person_lifts_is_sent_to_again_and_one_that_a_person_enters_is_not() {
    on_workers(async |setting| {
        let provider = setting.provider();
        let (suppressions, who) = (setting.env.store.suppressions(), operator());
        let put = SuppressionPut::default();
        suppressions
            .put(&who, Channel::Sms, PHONE, &put, None)
            .await
            .unwrap();
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 suppressed manual").await;
        assert!(suppressions.lift(&who, Channel::Sms, PHONE, None).await.unwrap());
        setting.publish(&[to_guest("e-2")]).await;
        setting.written.reaches("e-2", "1 sent").await;
        worker.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_guests_refused_number_is_struck_and_revived_when_a_user_registers_it() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers("e-1", [address_dead("21211")]);
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 failed 21211").await;
        setting.publish(&[to_guest("e-2")]).await;
        setting.written.reaches("e-2", "1 suppressed hard_bounce").await;
        setting.put_user("u-42", Some(PHONE)).await;
        setting.publish(&[to_guest("e-3")]).await;
        setting.written.reaches("e-3", "1 sent").await;
        worker.end().await;
    })
    .await;
}

/// A message to a guest with a number of its own.
fn guest(n: u128) -> Delivery {
    let mut delivery = to_guest(&format!("e-{n}"));
    delivery.target = carillon_domain::Target::Inline {
        address: format!("+4915112345{n:03}"),
    };
    delivery.delivery_id = DeliveryId(uuid::Uuid::from_u128(1_000 + n));
    delivery.notification_id = carillon_domain::NotificationId(uuid::Uuid::from_u128(2_000 + n));
    delivery
}

#[tokio::test]
async fn deliveries_that_failed_by_strikes_of_an_account_at_fault_are_sent_once_it_works() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers_everything(Some(address_dead("21211")));
        let first: Vec<_> = (0..3).map(guest).collect();
        setting.publish(&first).await;
        let worker = setting.start(&provider);
        // Three refused addresses are believed: nothing contradicts it.
        for n in 0..3 {
            setting.written.reaches(&format!("e-{n}"), "1 failed 21211").await;
        }
        let others: Vec<_> = (3..15).map(guest).collect();
        setting.publish(&others).await;
        for n in 0..3 {
            setting
                .written
                .reaches(&format!("e-{n}"), "2 retrying strike-revoked")
                .await;
        }
        provider.answers_everything(None);
        eventually("everything is sent", || async {
            setting.advance(100);
            (0..15).all(|n| {
                let steps = setting.written.steps(&format!("e-{n}"));
                steps.iter().any(|step| step.ends_with(" sent"))
            })
        })
        .await;
        worker.end().await;
        let steps = setting.written.steps("e-0");
        assert_eq!(
            steps[..3],
            ["1 sending", "1 failed 21211", "2 retrying strike-revoked"]
        );
        let told = setting.written.updates("e-0")[1].steps[0].detail.clone().unwrap();
        assert!(
            told.starts_with("the provider account p refused many addresses in a row"),
            "{told}"
        );
        let filter = carillon_store::suppressions::SuppressionFilter::default();
        let page = carillon_store::Page::default();
        let suppressions = setting.env.store.suppressions();
        let list = suppressions.list(&"default".into(), &filter, page).await.unwrap();
        assert!(list.items.is_empty(), "{:?}", list.items);
        assert!(setting.written.dead().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_account_at_fault_leaves_no_guest_on_the_list() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers_everything(Some(address_dead("21211")));
        let guests: Vec<_> = (0..50).map(guest).collect();
        setting.publish(&guests).await;
        let worker = setting.start(&provider);
        eventually("all wait", || async {
            (0..50).all(|n| {
                let steps = setting.written.steps(&format!("e-{n}"));
                steps.iter().any(|step| step.contains(" retrying "))
            })
        })
        .await;
        worker.end().await;
        let filter = carillon_store::suppressions::SuppressionFilter::default();
        let page = carillon_store::Page::default();
        let suppressions = setting.env.store.suppressions();
        let list = suppressions.list(&"default".into(), &filter, page).await.unwrap();
        assert!(list.items.is_empty(), "{:?}", list.items);
    })
    .await;
}
