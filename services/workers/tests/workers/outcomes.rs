//! The consequences of a provider's answer for the delivery: statuses and dead letters.

use carillon_bus::{Queue, dead_letter, headers};
use carillon_domain::Content;
use carillon_domain::{
    Channel, Delivery, catalog::OnUncertain, dead_letter::FailureClass, suppression::SuppressionReason,
};
use carillon_workers::group;

use crate::{
    provider::{address_dead, retry, terminal, uncertain},
    support::{PHONE, START, bytes_of, on_workers, phone_of, to_guest, to_user},
};

#[tokio::test]
async fn a_delivery_that_the_provider_accepts_is_sent_and_its_offset_is_committed() {
    on_workers(async |setting| {
        let delivery = to_guest("e-1");
        setting.publish(std::slice::from_ref(&delivery)).await;
        let provider = setting.provider();
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 sent").await;
        setting.until_committed().await;
        worker.end().await;

        let calls = provider.calls();
        assert_eq!(calls.len(), 1);
        assert_eq!(
            (calls[0].delivery_id, &*calls[0].to),
            (delivery.delivery_id, PHONE)
        );
        let Content::Sms { text } = &calls[0].content else {
            panic!("a text message")
        };
        assert!(text.contains("your order e-1 is on its way with DHL"), "{text}");

        assert_eq!(setting.written.steps("e-1"), ["1 sending", "1 sent"]);
        let update = setting.written.updates("e-1").remove(0);
        assert_eq!(update.delivery_id, delivery.delivery_id);
        assert_eq!(update.provider_message_id.as_deref(), Some("message of e-1"));
        assert_eq!(update.provider.as_deref(), Some("p"));
        assert_eq!(update.to_masked.as_deref(), Some("+49…78"));
        assert_eq!((update.generation, update.attempt), (0, 1));
        let template = update.template.unwrap();
        assert_eq!((&*template.id, &*template.locale), ("OrderShipped/sms", "en"));

        // The next process reads on behind it.
        setting.publish(&[to_guest("e-2")]).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-2", "1 sent").await;
        setting.until_committed().await;
        worker.end().await;
        setting.written.settle().await;
        assert_eq!(provider.asked(), ["e-1", "e-2"]);
        assert_eq!(setting.written.updates("e-1").len(), 1, "nothing is said twice");
        assert!(setting.written.dead().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_delivery_refused_for_good_is_a_dead_letter_at_once_with_its_original_bytes() {
    on_workers(async |setting| {
        let lines = carillon_testkit::lines::LogLines::of_this_thread();
        let provider = setting.provider();
        provider.answers("e-1", [terminal("21612")]);
        let mut record = setting.record(&to_guest("e-1")).with(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        );
        record.value = format!("  {} ", String::from_utf8(record.value.to_vec()).unwrap()).into();
        let position = setting
            .env
            .bus
            .publish(vec![record.clone()])
            .await
            .unwrap()
            .remove(0);
        let worker = setting.start(&provider);
        let dead = setting.written.until_dead(1).await.remove(0);
        setting.written.reaches("e-1", "1 dead_lettered 21612").await;
        worker.end().await;

        assert_eq!((&dead.value, &dead.key), (&record.value, &record.key));
        assert_eq!(dead.topic, setting.env.bus.topics().dlq(Channel::Sms));
        let entry = dead_letter::parse(&dead, Queue::Channel(Channel::Sms));
        assert_eq!(entry.source_topic, *position.topic);
        assert_eq!(
            (entry.source_partition, entry.source_offset),
            (Some(position.partition), Some(position.offset))
        );
        assert_eq!(entry.group, Some(group(&setting.env.bus, Channel::Sms)));
        assert_eq!(entry.letter.class, FailureClass::Terminal);
        assert_eq!(
            (entry.letter.provider.as_deref(), &*entry.letter.code),
            (Some("p"), "21612")
        );
        assert_eq!(
            (entry.letter.attempts, &*entry.letter.reason),
            (1, "the test says so")
        );
        assert_eq!(
            entry.letter.first_failed_at,
            START.parse::<carillon_domain::Timestamp>().unwrap()
        );
        assert_eq!(entry.fingerprint, entry.letter.fingerprint("sms"));
        // Other tools read these names.
        for (name, value) in [
            ("kafka_dlt-exception-message", "the test says so"),
            ("carillon-class", "terminal"),
            ("carillon-attempts", "1"),
            (headers::TENANT, "default"),
            (
                headers::TRACEPARENT,
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ),
        ] {
            assert_eq!(dead.headers.get_str(name), Some(value), "{name}");
        }
        assert_eq!(
            setting.written.steps("e-1"),
            ["1 sending", "1 dead_lettered 21612"]
        );
        assert_eq!(provider.asked(), ["e-1"]);
        let delivery: serde_json::Value = serde_json::from_slice(&dead.value).unwrap();
        let id = delivery["delivery_id"].as_str().unwrap();
        let warned = lines.with("a record became a dead letter");
        assert!(
            warned.len() == 1 && warned[0].contains(&format!("delivery_id={id}")),
            "{warned:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_delivery_whose_attempts_all_failed_is_a_dead_letter_with_their_number() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers("e-1", [retry("503"), retry("502"), retry("504")]);
        let delivery = to_guest("e-1");
        setting.publish(std::slice::from_ref(&delivery)).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 retrying 503").await;
        setting.advance(1_100);
        setting.written.reaches("e-1", "2 retrying 502").await;
        setting.advance(2_200);
        setting.written.reaches("e-1", "3 dead_lettered 504").await;
        let dead = setting.written.until_dead(1).await.remove(0);
        setting.until_committed().await;
        worker.end().await;

        assert_eq!(dead.value, bytes_of(&delivery));
        assert_eq!(dead.key.as_deref(), Some(delivery.record_key().as_bytes()));
        let entry = dead_letter::parse(&dead, Queue::Channel(Channel::Sms));
        assert_eq!(entry.letter.class, FailureClass::RetriesExhausted);
        assert_eq!((&*entry.letter.code, entry.letter.attempts), ("504", 3));
        assert_eq!(
            entry.letter.first_failed_at,
            START.parse::<carillon_domain::Timestamp>().unwrap()
        );
        assert_eq!(
            setting.written.steps("e-1"),
            [
                "1 sending",
                "1 retrying 503",
                "2 sending",
                "2 retrying 502",
                "3 sending",
                "3 dead_lettered 504"
            ]
        );
        setting.written.settle().await;
        assert_eq!((provider.calls().len(), setting.written.dead().len()), (3, 1));
    })
    .await;
}

#[tokio::test]
async fn a_dead_address_is_remembered_and_the_next_delivery_to_it_is_suppressed() {
    on_workers(async |setting| {
        setting.put_user("u-42", Some(PHONE)).await;
        let provider = setting.provider();
        provider.answers("e-1", [address_dead("21211")]);
        setting.publish(&[to_user("e-1", "u-42")]).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 failed 21211").await;
        let id = phone_of("u-42");
        let users = setting.env.store.users();
        let contacts = users.resolve(&"default".into(), &[id]).await.unwrap();
        let suppressed = contacts[&id].suppressed.unwrap();
        assert_eq!(suppressed.reason, SuppressionReason::HardBounce);

        setting.publish(&[to_user("e-2", "u-42")]).await;
        setting.written.reaches("e-2", "1 suppressed hard_bounce").await;
        setting.written.settle().await;
        assert_eq!(setting.written.steps("e-1"), ["1 sending", "1 failed 21211"]);
        assert_eq!(setting.written.steps("e-2"), ["1 suppressed hard_bounce"]);
        assert!(
            setting.written.dead().is_empty(),
            "sending it again can never help"
        );

        // A new number is alive.
        setting.put_user("u-42", Some("+4915187654321")).await;
        setting.publish(&[to_user("e-3", "u-42")]).await;
        setting.written.reaches("e-3", "1 sent").await;
        worker.end().await;
        assert_eq!(provider.asked(), ["e-1", "e-3"]);
        assert_eq!(provider.calls()[1].to, "+4915187654321");
    })
    .await;
}

#[tokio::test]
async fn an_attempt_that_may_have_gone_out_is_uncertain_and_the_delivery_is_sent_again() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers("e-1", [uncertain("timeout")]);
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 uncertain timeout").await;
        setting.advance(1_100);
        setting.written.reaches("e-1", "2 sent").await;
        worker.end().await;
        assert_eq!(
            setting.written.steps("e-1"),
            ["1 sending", "1 uncertain timeout", "2 sending", "2 sent"]
        );
        assert!(setting.written.dead().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_delivery_uncertain_to_its_last_attempt_is_a_dead_letter_of_class_uncertain() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers("e-1", ["timeout", "timeout", "http-500"].map(uncertain));
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start(&provider);
        for step in [
            "1 uncertain timeout",
            "2 uncertain timeout",
            "3 dead_lettered http-500",
        ] {
            setting.written.reaches("e-1", step).await;
            setting.advance(2_201);
        }
        let dead = setting.written.until_dead(1).await.remove(0);
        worker.end().await;
        let letter = dead_letter::parse(&dead, Queue::Channel(Channel::Sms)).letter;
        assert_eq!((letter.class, letter.attempts), (FailureClass::Uncertain, 3));
        let steps = setting.written.steps("e-1");
        assert_eq!(steps.iter().filter(|step| step.contains("uncertain")).count(), 3);
    })
    .await;
}

#[tokio::test]
async fn an_uncertain_delivery_of_a_holding_category_is_a_dead_letter_and_is_not_sent_twice() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers("e-1", [uncertain("timeout")]);
        let delivery = Delivery {
            on_uncertain: OnUncertain::Hold,
            ..to_guest("e-1")
        };
        setting.publish(&[delivery]).await;
        let worker = setting.start(&provider);
        let dead = setting.written.until_dead(1).await.remove(0);
        setting.until_committed().await;
        worker.end().await;
        let letter = dead_letter::parse(&dead, Queue::Channel(Channel::Sms)).letter;
        assert_eq!(
            (letter.class, &*letter.code),
            (FailureClass::Uncertain, "timeout")
        );
        setting.written.settle().await;
        assert_eq!(
            setting.written.steps("e-1"),
            ["1 sending", "1 uncertain timeout", "1 dead_lettered timeout"]
        );
        assert_eq!(provider.calls().len(), 1);
        assert!(setting.written.retries().is_empty());
    })
    .await;
}
