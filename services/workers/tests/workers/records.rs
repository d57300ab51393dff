//! Records that cannot be sent: they are no delivery, or have no address or no content.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use carillon_bus::{BusError, OutRecord, Queue, dead_letter};
use carillon_domain::{Channel, Delivery, Lane, dead_letter::FailureClass};
use carillon_render::{
    InProcess, Parts, RenderError, RenderRequest, Rendered, Renderer, TemplateDef, TemplateSet,
};
use serde_json::json;

use crate::provider::retry;
use crate::support::{PHONE, bytes_of, on_workers, phone_of, to_guest, to_user, with_data};

#[tokio::test]
async fn a_record_that_is_no_delivery_of_the_channel_is_a_dead_letter_and_its_neighbours_are_delivered() {
    on_workers(async |setting| {
        let topic = setting.env.bus.topics().channel(Channel::Sms, Lane::Normal);
        let push = bytes_of(&Delivery {
            channel: Channel::Push,
            ..to_guest("e-9")
        });
        let junk = b"\x00{not json".to_vec();
        let newer = String::from_utf8(bytes_of(&to_guest("e-9"))).unwrap();
        let newer = newer.replacen("\"v\":1", "\"v\":2", 1).into_bytes();
        // The same key for all, so that they lie in one partition in this order.
        let out = |value: Vec<u8>| OutRecord::new(Arc::clone(&topic), "k", value);
        let records = vec![
            out(bytes_of(&to_guest("e-1"))),
            out(junk.clone()),
            out(bytes_of(&to_guest("e-2"))),
            out(push.clone()),
            out(bytes_of(&to_guest("e-3"))),
            out(b"{}".to_vec()),
            out(newer.clone()),
            OutRecord {
                key: None,
                ..out(Vec::new())
            },
        ];
        let positions = setting.env.bus.publish(records).await.unwrap();
        let provider = setting.provider();
        let worker = setting.start(&provider);
        let dead = setting.written.until_dead(5).await;
        for event in ["e-1", "e-2", "e-3"] {
            setting.written.reaches(event, "1 sent").await;
        }
        setting.until_committed().await;
        worker.end().await;
        setting.written.settle().await;
        assert_eq!(setting.written.dead().len(), 5);
        assert_eq!(provider.asked(), ["e-1", "e-2", "e-3"]);
        assert!(setting.written.updates("e-9").is_empty());

        for (value, code, says, position) in [
            (junk, "not-a-delivery", "expected", &positions[1]),
            (push, "wrong-channel", "another channel", &positions[3]),
            (
                b"{}".to_vec(),
                "not-a-delivery",
                "expected a delivery: expected the field ",
                &positions[5],
            ),
            (newer, "unknown-version", "not 2", &positions[6]),
            (Vec::new(), "not-a-delivery", "the text is empty", &positions[7]),
        ] {
            let value = Bytes::from(value);
            let record = dead.iter().find(|record| record.value == value).unwrap();
            let entry = dead_letter::parse(record, Queue::Channel(Channel::Sms));
            assert_eq!(
                (entry.letter.class, &*entry.letter.code),
                (FailureClass::Unparseable, code)
            );
            assert!(entry.letter.reason.contains(says), "{}", entry.letter.reason);
            assert_eq!(
                (entry.source_partition, entry.source_offset),
                (Some(position.partition), Some(position.offset))
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_delivery_to_an_address_that_was_removed_is_suppressed() {
    on_workers(async |setting| {
        setting.put_user("u-42", Some(PHONE)).await;
        setting
            .publish(&[to_user("e-1", "u-42"), to_user("e-2", "nobody")])
            .await;
        setting.put_user("u-42", None).await;
        let provider = setting.provider();
        let worker = setting.start(&provider);
        for event in ["e-1", "e-2"] {
            setting.written.reaches(event, "1 suppressed no-address").await;
        }
        // An address is looked up when the message is sent, so the next delivery goes to the new one.
        setting.put_user("u-42", Some("+4915187654321")).await;
        setting.publish(&[to_user("e-3", "u-42")]).await;
        setting.written.reaches("e-3", "1 sent").await;
        setting.until_committed().await;
        worker.end().await;
        setting.written.settle().await;
        assert!(setting.written.dead().is_empty());
        assert_eq!(provider.asked(), ["e-3"]);
        assert_eq!(provider.calls()[0].to, "+4915187654321");
        let contacts = setting
            .env
            .store
            .users()
            .resolve(&"default".into(), &[phone_of("u-42")])
            .await
            .unwrap();
        assert!(contacts[&phone_of("u-42")].suppressed.is_none());
    })
    .await;
}

#[tokio::test]
async fn a_template_that_misses_a_variable_makes_a_dead_letter_that_names_it() {
    on_workers(async |setting| {
        let poor = with_data(to_guest("e-1"), &json!({"order_id": "1001"}));
        let nameless = Delivery {
            event_type: "NobodyKnows".into(),
            ..to_guest("e-2")
        };
        setting
            .publish(&[poor.clone(), nameless.clone(), to_guest("e-3")])
            .await;
        let provider = setting.provider();
        let worker = setting.start(&provider);
        let dead = setting.written.until_dead(2).await;
        setting.written.reaches("e-3", "1 sent").await;
        setting.until_committed().await;
        worker.end().await;
        for (delivery, code, says) in [
            (&poor, "template-missing-variable", "carrier"),
            (&nameless, "template-missing", "NobodyKnows/sms"),
        ] {
            let event = delivery.event_id.as_str();
            let record = dead
                .iter()
                .find(|record| record.value == bytes_of(delivery))
                .unwrap();
            let letter = dead_letter::parse(record, Queue::Channel(Channel::Sms)).letter;
            assert_eq!((letter.class, &*letter.code), (FailureClass::Render, code));
            assert!(letter.reason.contains(says), "{}", letter.reason);
            assert_eq!((letter.attempts, letter.provider), (1, None));
            assert_eq!(setting.written.steps(event), [format!("1 dead_lettered {code}")]);
        }
        assert_eq!(provider.asked(), ["e-3"]);
    })
    .await;
}

/// A renderer that cannot be reached for its first calls.
#[derive(Debug)]
struct Away {
    left: AtomicUsize,
    then: Arc<dyn Renderer>,
}

#[async_trait]
impl Renderer for Away {
    async fn render(&self, batch: Vec<RenderRequest>) -> Vec<Result<Rendered, RenderError>> {
        let is_away = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_ok();
        if !is_away {
            return self.then.render(batch).await;
        }
        let away = RenderError::Unavailable {
            detail: "connection refused".to_owned(),
        };
        batch.iter().map(|_| Err(away.clone())).collect()
    }
}

#[tokio::test]
async fn while_templates_cannot_be_reached_a_delivery_waits_and_counts_no_attempt() {
    on_workers(async |setting| {
        let provider = setting.provider();
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start_with(vec![provider.account("p")], |deps| {
            deps.renderer = Arc::new(Away {
                left: AtomicUsize::new(4),
                then: Arc::clone(&deps.renderer),
            });
        });
        // One attempt more than the policy allows.
        for attempt in 1..=4 {
            let step = format!("{attempt} retrying template-unavailable");
            setting.written.reaches("e-1", &step).await;
            setting.advance(1_000);
        }
        setting.written.reaches("e-1", "5 sent").await;
        worker.end().await;
        assert_eq!(provider.calls().len(), 1);
        assert!(setting.written.dead().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_template_over_its_budget_is_a_dead_letter_at_once_and_others_are_sent() {
    on_workers(async |setting| {
        let provider = setting.provider();
        let heavy = "{{#each a}}{{#each ../a}}{{#each ../../a}}{{/each}}{{/each}}{{/each}}";
        let templates = TemplateSet {
            templates: vec![TemplateDef {
                event_type: "OrderShipped".to_owned(),
                channel: Channel::Sms,
                locale: None,
                version: 1,
                parts: Parts::from([("text".to_owned(), format!("{{{{#if a}}}}{heavy}{{{{/if}}}}x"))]),
            }],
            ..TemplateSet::default()
        };
        setting
            .publish(&[
                with_data(
                    to_guest("e-1"),
                    &json!({"order_id": "1", "carrier": "DHL", "a": vec![1; 4_000]}),
                ),
                to_guest("e-2"),
            ])
            .await;
        let worker = setting.start_with(vec![provider.account("p")], |deps| {
            deps.renderer = Arc::new(InProcess::new(Arc::new(templates)));
        });
        let dead = setting.written.until_dead(1).await.remove(0);
        setting
            .written
            .reaches("e-1", "1 dead_lettered template-budget")
            .await;
        setting.written.reaches("e-2", "1 sent").await;
        worker.end().await;
        let letter = dead_letter::parse(&dead, Queue::Channel(Channel::Sms)).letter;
        assert_eq!(
            (letter.class, &*letter.code),
            (FailureClass::Render, "template-budget")
        );
        assert_eq!(provider.calls().len(), 1);
    })
    .await;
}

/// Only Kafka refuses a record for its size.
#[tokio::test]
async fn a_delivery_that_fits_its_topic_and_not_the_retry_topic_is_a_dead_letter() {
    if carillon_testkit::kafka_brokers().is_none() {
        return;
    }
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers("e-1", [retry("503")]);
        // The largest record that the topic takes; the headers of a retry would exceed the limit.
        let mut padding = carillon_bus::MAX_MESSAGE_BYTES as usize;
        loop {
            let data = json!({"order_id": "1", "carrier": "DHL", "x": "x".repeat(padding)});
            let record = setting.record(&with_data(to_guest("e-1"), &data));
            match setting.env.bus.publish(vec![record]).await {
                Ok(_) => break,
                Err(BusError::TooLarge { .. }) => padding -= 32,
                Err(error) => panic!("{error}"),
            }
        }
        setting.publish(&[to_guest("e-2")]).await;
        let worker = setting.start(&provider);
        let dead = setting.written.until_dead(1).await.remove(0);
        setting.written.reaches("e-1", "1 dead_lettered too-large").await;
        setting.written.reaches("e-2", "1 sent").await;
        setting.until_committed().await;
        worker.end().await;
        let letter = dead_letter::parse(&dead, Queue::Channel(Channel::Sms)).letter;
        assert_eq!(
            (letter.class, &*letter.code),
            (FailureClass::Invalid, "too-large")
        );
    })
    .await;
}
