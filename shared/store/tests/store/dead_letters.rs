//! Dead letters.

use carillon_domain::{
    Channel, DeliveryStatus,
    dead_letter::{DeadLetter, FailureClass, LetterVerdict},
    ids::dead_letter_id,
    status::Origin,
};
use carillon_store::{
    Cursor, Page,
    dead_letters::{DeadLetterFilter, DeadLetterRow, DeadLetterState, OpenCount},
    read_model::StoredOffset,
};

use crate::support::{apply, delivery_id, delivery_row, on_each, seconds, settle, start, state};

pub(crate) fn letter(offset: i64, channel: Option<Channel>, code: &str) -> DeadLetterRow {
    let queue = channel.map_or("events", Channel::as_str);
    let letter = DeadLetter {
        class: FailureClass::Terminal,
        provider: Some("twilio".into()),
        code: code.into(),
        reason: format!("refused {offset}"),
        attempts: 3,
        first_failed_at: start(),
    };
    DeadLetterRow {
        position: Origin {
            topic: format!("notifications.{queue}.dlq").into(),
            partition: 0,
            offset,
        },
        tenant: "default".into(),
        channel,
        source_topic: "notifications.sms".into(),
        fingerprint: letter.fingerprint(queue),
        letter,
        dead_at: start() + seconds(offset.unsigned_abs()),
        delivery_id: Some(delivery_id(1)),
        event_type: Some("OrderShipped".into()),
        headers: vec![
            ("carillon-attempt".into(), "3".into()),
            ("odd\0".into(), "base64:/w==".into()),
        ],
        key: None,
        value: vec![0, 0xff, b'{'],
    }
}

fn next(topic: &str, next: i64) -> StoredOffset {
    StoredOffset {
        topic: topic.into(),
        partition: 0,
        next,
    }
}

#[tokio::test]
async fn a_dead_letter_keeps_its_bytes_and_its_whole_description() {
    on_each(async |store| {
        let row = letter(4, Some(Channel::Sms), "21612");
        let letters = store.dead_letters();
        letters
            .apply(
                "tracker",
                std::slice::from_ref(&row),
                &[next("notifications.sms.dlq", 5)],
            )
            .await
            .unwrap();
        let id = dead_letter_id("notifications.sms.dlq", 0, 4);
        let view = letters.get(&store.tenant, id).await.unwrap().unwrap();
        assert_eq!(view.value, b"\x00\xff{");
        assert_eq!(view.headers, row.headers);
        assert_eq!(
            (view.class.as_str(), view.code.as_str(), view.attempts),
            ("terminal", "21612", 3)
        );
        assert_eq!(
            (view.state, view.channel),
            (DeadLetterState::Open, Some(Channel::Sms))
        );
        assert!(letters.get(&"other".into(), id).await.unwrap().is_none());
        let offsets = store.read_model().offsets("tracker").await.unwrap();
        assert_eq!(offsets, [next("notifications.sms.dlq", 5)]);
    })
    .await;
}

/// A count of [`letter`]s.
fn open(queue: &str, count: u64) -> OpenCount {
    OpenCount {
        queue: queue.to_owned(),
        class: "terminal".to_owned(),
        open: count,
        ignored: 0,
    }
}

#[tokio::test]
async fn a_letter_that_is_read_again_is_one_row_and_stays_discarded() {
    on_each(async |store| {
        let letters = store.dead_letters();
        let rows = [
            letter(1, None, "x"),
            letter(2, Some(Channel::Sms), "y"),
            letter(1, None, "x"),
        ];
        letters.apply("tracker", &rows, &[]).await.unwrap();
        assert_eq!(
            letters.open_counts().await.unwrap(),
            [open("events", 1), open("sms", 1)]
        );
        let id = dead_letter_id("notifications.events.dlq", 0, 1);
        settle(store, "other", &[id], LetterVerdict::Discarded).await;
        let state = async || letters.get(&store.tenant, id).await.unwrap().unwrap().state;
        assert_eq!(
            state().await,
            DeadLetterState::Open,
            "a verdict of another tenant"
        );
        settle(store, "default", &[id, id], LetterVerdict::Discarded).await;
        settle(store, "default", &[id], LetterVerdict::Replayed).await;
        letters.apply("tracker", &rows, &[]).await.unwrap();
        assert_eq!(letters.open_counts().await.unwrap(), [open("sms", 1)]);
        assert_eq!(
            letters.get(&store.tenant, id).await.unwrap().unwrap().state,
            DeadLetterState::Discarded
        );
    })
    .await;
}

#[tokio::test]
async fn dead_letters_are_filtered_and_listed_newest_first() {
    on_each(async |store| {
        let letters = store.dead_letters();
        let rows: Vec<_> = (0..30)
            .map(|n| {
                if n % 3 == 0 {
                    letter(n, None, "bad")
                } else {
                    letter(n, Some(Channel::Sms), "21612")
                }
            })
            .collect();
        letters.apply("tracker", &rows, &[]).await.unwrap();
        let filter = DeadLetterFilter {
            queue: vec![Some(Channel::Sms)],
            ..DeadLetterFilter::default()
        };
        let mut page = Page {
            after: None,
            limit: 8,
        };
        let mut reasons = Vec::new();
        loop {
            let got = letters.list(&store.tenant, &filter, page).await.unwrap();
            reasons.extend(got.items.into_iter().map(|item| item.reason));
            let Some(cursor) = got.next_cursor else { break };
            page.after = Cursor::parse(&cursor);
        }
        let expected: Vec<_> = (0..30)
            .rev()
            .filter(|n| n % 3 != 0)
            .map(|n| format!("refused {n}"))
            .collect();
        assert_eq!(reasons, expected);

        let filter = DeadLetterFilter {
            code: vec!["bad".into(), "none".into()],
            class: vec![FailureClass::Terminal],
            from: Some(start() + seconds(9)),
            to: Some(start() + seconds(15)),
            ..DeadLetterFilter::default()
        };
        let got = letters
            .list(&store.tenant, &filter, Page::default())
            .await
            .unwrap();
        assert_eq!(
            got.items
                .iter()
                .map(|item| item.reason.as_str())
                .collect::<Vec<_>>(),
            ["refused 12", "refused 9"]
        );
        assert_eq!(got.next_cursor, None);
    })
    .await;
}

#[tokio::test]
async fn a_group_says_how_many_died_lately_and_how_many_died_again_after_a_replay() {
    on_each(async |store| {
        let letters = store.dead_letters();
        let job = uuid::Uuid::from_u128(5);
        let mut rows: Vec<_> = (0..6).map(|n| letter(n, Some(Channel::Sms), "21612")).collect();
        for row in &mut rows[3..] {
            row.headers.push(("carillon-replay".into(), job.to_string()));
        }
        // Any producer may write the header.
        rows[0].headers.push(("carillon-replay".into(), "no id".into()));
        letters.apply("tracker", &rows, &[]).await.unwrap();
        let discarded = dead_letter_id("notifications.sms.dlq", 0, 5);
        settle(store, "default", &[discarded], LetterVerdict::Discarded).await;
        let filter = DeadLetterFilter {
            replayed_by: vec![job],
            ..DeadLetterFilter::default()
        };
        let found = letters
            .list(&store.tenant, &filter, Page::default())
            .await
            .unwrap();
        assert_eq!(found.items.len(), 3);
        store.clock.advance(seconds(3_603));
        let counts = async || {
            let group = letters.groups(&store.tenant).await.unwrap().remove(0);
            (group.open, group.again, group.last_hour, group.last_day)
        };
        // The first letters died more than an hour ago.
        assert_eq!(counts().await, (5, 2, 2, 6));
        store.clock.advance(seconds(23 * 3_600));
        assert_eq!(counts().await, (5, 2, 0, 2));
    })
    .await;
}

#[tokio::test]
async fn letters_of_one_cause_are_one_group_with_its_last_letter_as_sample() {
    on_each(async |store| {
        let letters = store.dead_letters();
        let rows: Vec<_> = (0..10)
            .map(|n| letter(n, Some(Channel::Sms), if n < 7 { "21612" } else { "30003" }))
            .collect();
        letters.apply("tracker", &rows, &[]).await.unwrap();
        let first = dead_letter_id("notifications.sms.dlq", 0, 0);
        settle(store, "default", &[first], LetterVerdict::Discarded).await;
        let groups = letters.groups(&store.tenant).await.unwrap();
        let counts: Vec<_> = groups
            .iter()
            .map(|group| (group.code.as_str(), group.open, group.total))
            .collect();
        assert_eq!(counts, [("21612", 6, 7), ("30003", 3, 3)]);
        assert_eq!(groups[0].sample_reason, "refused 6");
        assert_eq!(groups[0].sample_id, dead_letter_id("notifications.sms.dlq", 0, 6));
        assert_eq!(
            (groups[0].first_at, groups[0].last_at),
            (start(), start() + seconds(6))
        );
        assert!(letters.groups(&"other".into()).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn replayed_and_discarded_letters_are_deleted_after_the_retention_and_open_ones_stay() {
    on_each(async |store| {
        let letters = store.dead_letters();
        let rows: Vec<_> = (0..4).map(|n| letter(n, Some(Channel::Sms), "x")).collect();
        letters.apply("tracker", &rows, &[]).await.unwrap();
        let id = |offset| dead_letter_id("notifications.sms.dlq", 0, offset);
        settle(store, "default", &[id(1)], LetterVerdict::Discarded).await;
        settle(store, "default", &[id(3)], LetterVerdict::Replayed).await;
        store.clock.advance(seconds(90 * 24 * 3600));
        assert_eq!(letters.prune().await.unwrap(), 0);
        store.clock.advance(seconds(60));
        assert_eq!(letters.prune().await.unwrap(), 2);
        for (offset, stays) in [(0, true), (1, false), (2, true), (3, false)] {
            let found = letters.get(&store.tenant, id(offset)).await.unwrap();
            assert_eq!(found.is_some(), stays, "{offset}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_delivery_stays_as_long_as_its_letter_is_open() {
    on_each(async |store| {
        let (letters, model) = (store.dead_letters(), store.read_model());
        let rows: Vec<_> = [1, 2]
            .map(|number: u8| {
                let mut row = letter(number.into(), Some(Channel::Sms), "x");
                row.delivery_id = Some(delivery_id(number.into()));
                row
            })
            .into();
        letters.apply("tracker", &rows, &[]).await.unwrap();
        let dead = [1, 2].map(|n| delivery_row(n, state(0, 3, DeliveryStatus::DeadLettered), start()));
        apply(store, vec![], dead.to_vec()).await;
        let second = dead_letter_id("notifications.sms.dlq", 0, 2);
        settle(store, "default", &[second], LetterVerdict::Discarded).await;
        store.clock.advance(seconds(91 * 24 * 3600));
        assert_eq!(model.prune().await.unwrap(), 1);
        for (n, stays) in [(1, true), (2, false)] {
            let delivery = model.delivery(&store.tenant, delivery_id(n)).await.unwrap();
            assert_eq!(delivery.is_some(), stays, "{n}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_value_that_the_database_refuses_is_told_apart_from_one_that_it_accepts() {
    on_each(async |store| {
        let letters = store.dead_letters();
        let good = letter(1, None, "x");
        let mut bad = letter(2, None, "x");
        bad.letter.reason = "half\0".into();
        bad.letter.first_failed_at = carillon_domain::Timestamp::MIN_UTC;
        let both = letters.apply("tracker", &[good, bad], &[]).await;
        if store.dialect() == carillon_store::Dialect::Postgres {
            let error = both.unwrap_err();
            assert!(error.refuses_data() && !error.is_retriable(), "{error:?}");
        }
    })
    .await;
}
