//! From statuses to the read model.

use carillon_bus::OutRecord;
use carillon_domain::{
    Channel, DeliveryStatus, StatusRecord,
    decide::Outcome,
    status::{EventVerdict, TemplateRef},
};
use carillon_store::read_model::{DeliveryFilter, DeliveryView};
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use crate::{
    statuses::{NEXT_ATTEMPT, at, decided, delivery_id, event_id, life, routed, said},
    support::on_tracker,
};

#[tokio::test]
async fn a_step_that_waits_for_another_attempt_has_its_due_time_in_any_order_of_the_records() {
    use DeliveryStatus::{Retrying, Sending};

    on_tracker(async |setting| {
        let retrying = said(1, Channel::Email, (0, 1), &[(1, Sending), (2, Retrying)]);
        let sending = said(1, Channel::Email, (0, 2), &[(3, Sending)]);
        setting
            .track(&[sending, retrying.clone(), routed(1), retrying])
            .await;
        let timeline = setting.timeline(delivery_id(1, Channel::Email)).await;
        let due: Vec<_> = timeline.iter().map(|step| (step.status, step.due_at)).collect();
        let expected = [
            (DeliveryStatus::Queued, None),
            (Sending, None),
            (Retrying, Some(at(NEXT_ATTEMPT))),
            (Sending, None),
        ];
        assert_eq!(due, expected);
    })
    .await;
}

#[tokio::test]
async fn a_decided_event_can_be_seen_with_its_decisions_and_the_deliveries_on_their_way() {
    on_tracker(async |setting| {
        setting.track(&[routed(1)]).await;
        let model = setting.env.store.read_model();
        let views = model.event(&setting.tenant, &event_id(1), None).await.unwrap();
        let [event] = views.as_slice() else {
            panic!("{views:?}")
        };
        assert_eq!(
            (event.source.as_str(), event.verdict),
            ("/shop", EventVerdict::Routed)
        );
        assert_eq!(
            event.event.as_ref().unwrap().get(),
            r#"{"specversion":"1.0","id":"e-1","data":{"b": 1.50}}"#
        );
        let outcomes: Vec<_> = event
            .decisions
            .iter()
            .map(|decision| (decision.channel, decision.outcome))
            .collect();
        assert_eq!(
            outcomes,
            [
                (Channel::Email, Outcome::Send),
                (Channel::Push, Outcome::Suppress),
                (Channel::Sms, Outcome::Send)
            ]
        );

        let ids = event.decisions.iter().filter_map(|decision| decision.delivery_id);
        let deliveries = model.by_ids(&setting.tenant, ids).await.unwrap();
        assert_eq!(deliveries.len(), 2, "nothing was made of what is suppressed");
        let email = setting.delivery(delivery_id(1, Channel::Email)).await;
        assert!(deliveries.contains(&email));
        assert_eq!(
            (email.status, email.attempt, email.generation),
            (DeliveryStatus::Queued, 0, 0)
        );
        assert_eq!(
            (email.reason.as_deref(), email.to_masked.as_deref()),
            (Some("allowed"), Some("a…@example.com"))
        );
        assert_eq!((email.created_at, email.updated_at), (at(0), at(0)));
        let timeline = setting.timeline(email.id).await;
        assert_eq!(timeline.len(), 1);
        assert_eq!(
            (timeline[0].code.as_deref(), timeline[0].detail.as_deref()),
            (Some("allowed"), Some("send by email"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_delivery_shows_the_latest_of_its_states_and_its_timeline_all_of_them() {
    on_tracker(async |setting| {
        setting.track(&life(1)).await;
        let email = setting.delivery(delivery_id(1, Channel::Email)).await;
        let expected = DeliveryView {
            id: delivery_id(1, Channel::Email),
            event_id: event_id(1),
            source: "/shop".to_owned(),
            event_type: "OrderShipped".to_owned(),
            category: "transactional".to_owned(),
            user_id: Some("u-42".into()),
            channel: Channel::Email,
            to_masked: Some("a…@example.com".to_owned()),
            status: DeliveryStatus::Opened,
            reason: None,
            detail: None,
            provider: Some("account-2".to_owned()),
            provider_message_id: Some("message-7".to_owned()),
            error_code: None,
            attempt: 2,
            attempts: 1,
            generation: 0,
            template: Some(TemplateRef {
                id: "OrderShipped/email".into(),
                version: 3,
                locale: "en".into(),
            }),
            next_attempt_at: None,
            created_at: at(0),
            updated_at: at(60),
        };
        assert_eq!(email, expected);
        let timeline = setting.timeline(email.id).await;
        let steps: Vec<_> = timeline
            .iter()
            .map(|step| (step.status.as_str(), step.attempt, step.attempts, step.at))
            .collect();
        assert_eq!(
            steps,
            [
                ("queued", 0, 0, at(0)),
                ("sending", 1, 0, at(1)),
                ("retrying", 1, 0, at(2)),
                ("sending", 2, 1, at(20)),
                ("sent", 2, 1, at(21)),
                ("delivered", 2, 1, at(30)),
                ("opened", 2, 1, at(60)),
            ]
        );
        assert_eq!(
            (timeline[2].code.as_deref(), timeline[2].provider.as_deref()),
            (Some("429"), Some("account-1"))
        );
    })
    .await;
}

/// The records in any order, some of them several times.
fn any_course(records: Vec<StatusRecord>) -> impl Strategy<Value = Vec<StatusRecord>> {
    let times = proptest::collection::vec(1..3_usize, records.len());
    times.prop_flat_map(move |times| {
        let repeated = records.iter().zip(times);
        let all = repeated.flat_map(|(record, times)| vec![record.clone(); times]);
        Just(all.collect::<Vec<_>>()).prop_shuffle()
    })
}

#[tokio::test]
async fn statuses_in_any_order_and_any_number_give_the_same_state_and_timeline() {
    const COURSES: u32 = 60;
    on_tracker(async |setting| {
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let mut records: Vec<OutRecord> = life(0).iter().map(|status| setting.record(status)).collect();
        for event in 1..=COURSES {
            let course = any_course(life(event)).new_tree(&mut runner).unwrap().current();
            let course = course.iter().enumerate().map(|(place, status)| {
                // Keys are spread over all partitions, so that the tracker reads the records in other orders and
                // batches.
                let mut record = setting.record(status);
                record.key = Some(format!("{event}-{place}").into());
                record
            });
            records.extend(course);
        }
        let written = setting.publish(records).await;
        let tracker = setting.start();
        setting.caught_up(&written).await;
        tracker.end().await;

        for channel in [Channel::Email, Channel::Sms] {
            let straight = setting.delivery(delivery_id(0, channel)).await;
            let timeline = setting.timeline(straight.id).await;
            for event in 1..=COURSES {
                let id = delivery_id(event, channel);
                let expected = DeliveryView {
                    id,
                    event_id: event_id(event),
                    ..straight.clone()
                };
                assert_eq!(setting.delivery(id).await, expected);
                assert_eq!(setting.timeline(id).await, timeline);
            }
        }
        let counts = setting.counts().await;
        let events = u64::from(COURSES) + 1;
        assert_eq!((counts.routed, counts.deliveries_produced), (events, 2 * events));
        assert_eq!((counts.ended, counts.pending), (events, events));
    })
    .await;
}

#[tokio::test]
async fn a_status_that_cannot_be_read_is_left_out_and_its_neighbours_are_applied() {
    on_tracker(async |setting| {
        let foreign = |value: &str| {
            let record = setting.record(&routed(1));
            OutRecord::new(record.topic, record.key.unwrap(), value.to_owned())
        };
        let later = String::from_utf8(routed(3).to_wire()).unwrap();
        let later = later.replacen("\"v\":1", "\"v\":1,\"unheard\":{\"of\":[1e400]}", 1);
        let newer = String::from_utf8(routed(4).to_wire()).unwrap();
        let newer = newer.replacen("\"v\":1", "\"v\":2", 1);
        let records = vec![
            setting.record(&routed(1)),
            foreign("this is no status"),
            foreign(""),
            foreign(r#"{"kind":"something.else","v":1}"#),
            foreign(r#"{"kind":"delivery.status","v":1}"#),
            foreign(&later),
            foreign(&newer),
            setting.record(&routed(2)),
        ];
        let written = setting.publish(records).await;
        let tracker = setting.start();
        setting.caught_up(&written).await;
        tracker.end().await;
        let counts = setting.counts().await;
        assert_eq!((counts.routed, counts.pending), (3, 6));
        for event in [1, 2, 3] {
            setting.delivery(delivery_id(event, Channel::Sms)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_event_that_was_decided_in_parts_is_one_event_with_all_decisions() {
    on_tracker(async |setting| {
        let first = decided(1, EventVerdict::Routed);
        let mut second = first.clone();
        (second.part, second.event) = (1, None);
        for decision in &mut second.decisions {
            let of_another = decision.delivery_id.map(|_| delivery_id(100, decision.channel));
            decision.delivery_id = of_another;
        }
        let parts = [second, first].map(StatusRecord::EventDecided);
        setting.track(&parts).await;
        let model = setting.env.store.read_model();
        let views = model.event(&setting.tenant, &event_id(1), None).await.unwrap();
        assert_eq!((views.len(), views[0].decisions.len()), (1, 6));
        assert!(views[0].event.is_some());
        let counts = setting.counts().await;
        assert_eq!(
            (counts.routed, counts.deliveries_produced, counts.pending),
            (1, 4, 4)
        );
    })
    .await;
}

#[tokio::test]
async fn a_tenant_sees_only_its_own_rows() {
    on_tracker(async |setting| {
        let mut other = decided(1, EventVerdict::Routed);
        other.tenant = "acme".into();
        other.origin.offset = 7;
        for decision in &mut other.decisions {
            decision.delivery_id = decision.delivery_id.map(|_| delivery_id(7, decision.channel));
        }
        setting
            .track(&[routed(1), StatusRecord::EventDecided(other)])
            .await;
        let model = setting.env.store.read_model();
        let all = DeliveryFilter::default();
        for (tenant, event) in [("default", 1), ("acme", 7)] {
            let page = carillon_store::Page::default();
            let list = model.deliveries(&tenant.into(), &all, page).await.unwrap();
            let mut ids: Vec<_> = list.items.iter().map(|delivery| delivery.id).collect();
            ids.sort_unstable();
            let mut expected = [Channel::Email, Channel::Sms].map(|channel| delivery_id(event, channel));
            expected.sort_unstable();
            assert_eq!(ids, expected);
            let views = model.event(&tenant.into(), &event_id(1), None).await.unwrap();
            assert_eq!((views.len(), views[0].decisions.len()), (1, 3));
        }
    })
    .await;
}

#[tokio::test]
async fn a_replay_begins_a_delivery_anew_and_late_statuses_of_the_old_generation_are_ignored() {
    on_tracker(async |setting| {
        use DeliveryStatus::{DeadLettered, Delivered, Queued, Sending, Sent};
        let email = Channel::Email;
        setting
            .track(&[
                routed(1),
                said(1, email, (0, 3), &[(5, Sending), (6, DeadLettered)]),
            ])
            .await;
        assert_eq!(setting.counts().await.ended, 1);
        setting
            .track(&[
                said(1, email, (1, 0), &[(100, Queued)]),
                said(1, email, (0, 3), &[(101, Delivered)]),
            ])
            .await;
        let delivery = setting.delivery(delivery_id(1, email)).await;
        assert_eq!((delivery.status, delivery.generation), (Queued, 1));
        assert_eq!(setting.counts().await.ended, 0);
        setting
            .track(&[said(1, email, (1, 1), &[(102, Sending), (103, Sent)])])
            .await;
        let delivery = setting.delivery(delivery_id(1, email)).await;
        assert_eq!((delivery.status, delivery.generation), (Sent, 1));
        assert_eq!(setting.counts().await.ended, 1);
        assert_eq!(setting.timeline(delivery.id).await.len(), 7);
    })
    .await;
}
