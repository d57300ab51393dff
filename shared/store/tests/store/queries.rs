//! Queries for deliveries.

use carillon_domain::{Channel, DeliveryStatus, TenantId, status::TemplateRef};
use carillon_store::{
    Cursor, Page,
    read_model::{DeliveryFilter, DeliveryRow, Projection},
};

use crate::support::{TestStore, delivery_id, delivery_row, on_each, seconds, start, state};

fn rows() -> Vec<DeliveryRow> {
    (0..60_u64)
        .map(|n| {
            let status = if n % 5 == 0 {
                DeliveryStatus::Failed
            } else {
                DeliveryStatus::Sent
            };
            // Pairs of the same age, ordered by id.
            let mut row = delivery_row(u128::from(n), state(0, 1, status), start() + seconds(n / 2));
            row.channel = [Channel::Push, Channel::Email, Channel::Sms][usize::try_from(n % 3).unwrap()];
            row.user_id = (n % 4 != 0).then(|| format!("u-{}", n % 7).into());
            row.to_masked = Some(format!("A{n}…@example.com"));
            row.provider = Some(if n % 2 == 0 {
                "twilio".into()
            } else {
                "smtp".into()
            });
            row.error_code = (n % 5 == 0).then(|| "550_5.1.1".to_owned());
            row.provider_message_id = Some(format!("SM{n:04}%x"));
            row
        })
        .collect()
}

async fn filled(store: &TestStore) {
    let deliveries = rows();
    store
        .read_model()
        .apply(&Projection {
            deliveries,
            ..Projection::default()
        })
        .await
        .unwrap();
}

async fn count(store: &TestStore, filter: DeliveryFilter) -> usize {
    let page = Page {
        after: None,
        limit: 500,
    };
    store
        .read_model()
        .deliveries(&store.tenant, &filter, page)
        .await
        .unwrap()
        .items
        .len()
}

#[tokio::test]
async fn pages_follow_each_other_newest_first_without_gap_or_repetition() {
    on_each(async |store| {
        filled(store).await;
        let mut page = Page {
            after: None,
            limit: 7,
        };
        let mut seen = Vec::new();
        loop {
            let got = store
                .read_model()
                .deliveries(&store.tenant, &DeliveryFilter::default(), page)
                .await
                .unwrap();
            seen.extend(got.items.iter().map(|delivery| delivery.id));
            // New rows are newer and appear on no later page.
            let newcomer = delivery_row(
                1_000 + seen.len() as u128,
                state(0, 1, DeliveryStatus::Sent),
                start() + seconds(900),
            );
            store
                .read_model()
                .apply(&Projection {
                    deliveries: vec![newcomer],
                    ..Projection::default()
                })
                .await
                .unwrap();
            let Some(cursor) = got.next_cursor else { break };
            page.after = Some(Cursor::parse(&cursor).unwrap());
        }
        let expected: Vec<_> = (0..60).rev().map(delivery_id).collect();
        assert_eq!(seen, expected);
    })
    .await;
}

#[tokio::test]
async fn filters_are_ands_of_ors() {
    on_each(async |store| {
        filled(store).await;
        let none = DeliveryFilter::default;
        let expected =
            |wanted: &dyn Fn(&DeliveryRow) -> bool| rows().iter().filter(|row| wanted(row)).count();
        assert_eq!(
            count(
                store,
                DeliveryFilter {
                    status: vec![DeliveryStatus::Failed],
                    ..none()
                }
            )
            .await,
            expected(&|row| row.state.status == DeliveryStatus::Failed)
        );
        let filter = DeliveryFilter {
            channel: vec![Channel::Push, Channel::Sms],
            provider: vec!["twilio".into()],
            user: vec!["u-1".into(), "u-2".into()],
            ..none()
        };
        assert_eq!(
            count(store, filter).await,
            expected(&|row| {
                row.channel != Channel::Email
                    && row.provider.as_deref() == Some("twilio")
                    && row
                        .user_id
                        .as_ref()
                        .is_some_and(|user| ["u-1", "u-2"].contains(&user.as_str()))
            })
        );
        let filter = DeliveryFilter {
            code: vec!["550_5.1.1".into()],
            category: vec!["transactional".into()],
            event_type: vec!["OrderShipped".into(), "Other".into()],
            from: Some(start() + seconds(5)),
            to: Some(start() + seconds(10)),
            ..none()
        };
        assert_eq!(
            count(store, filter).await,
            expected(&|row| row.error_code.is_some()
                && row.at >= start() + seconds(5)
                && row.at < start() + seconds(10))
        );
        assert_eq!(
            count(
                store,
                DeliveryFilter {
                    category: vec!["marketing".into()],
                    ..none()
                }
            )
            .await,
            0
        );
        let foreign = store
            .read_model()
            .deliveries(&"other".into(), &none(), Page::default())
            .await
            .unwrap();
        assert!(foreign.items.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_search_text_is_found_at_any_place_and_its_wildcards_are_literal() {
    on_each(async |store| {
        filled(store).await;
        let search = async |q: &str| {
            count(
                store,
                DeliveryFilter {
                    q: Some(q.into()),
                    ..DeliveryFilter::default()
                },
            )
            .await
        };
        assert_eq!(search("event-17").await, 1);
        assert_eq!(search("sm0017%").await, 1);
        assert_eq!(search("SM0017_x").await, 0);
        assert_eq!(search("a17…@EXAMPLE").await, 1);
        assert_eq!(search("ordershipped").await, 60);
        assert_eq!(search(&delivery_id(17).to_string()).await, 1);
        assert_eq!(search("6f1d0000-0000").await, 60);
        assert_eq!(search("   ").await, 60);
        assert_eq!(search("'; --").await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_delivery_is_shown_with_all_that_is_known_of_it() {
    on_each(async |store| {
        let template = TemplateRef {
            id: "OrderShipped/email".into(),
            version: 3,
            locale: "fr".into(),
        };
        let mut queued = delivery_row(1, state(0, 0, DeliveryStatus::Queued), start());
        queued.to_masked = Some("a…@example.com".into());
        let mut sent = delivery_row(1, state(0, 1, DeliveryStatus::Sent), start() + seconds(2));
        sent.template = Some(template.clone());
        sent.provider = Some("smtp".into());
        for row in [queued, sent] {
            let projection = Projection {
                deliveries: vec![row],
                ..Projection::default()
            };
            store.read_model().apply(&projection).await.unwrap();
        }
        let view = store
            .read_model()
            .delivery(&store.tenant, delivery_id(1))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (view.status, view.attempt, view.generation),
            (DeliveryStatus::Sent, 1, 0)
        );
        assert_eq!(
            (view.to_masked.as_deref(), view.provider.as_deref()),
            (Some("a…@example.com"), Some("smtp"))
        );
        assert_eq!(view.template, Some(template));
        assert_eq!(
            (view.created_at, view.updated_at),
            (start(), start() + seconds(2))
        );
        assert_eq!(view.user_id, Some("u-1".into()));
        assert!(
            store
                .read_model()
                .delivery(&"other".into(), delivery_id(1))
                .await
                .unwrap()
                .is_none()
        );
        let by_ids = async |tenant: &TenantId| {
            let ids = [delivery_id(99), delivery_id(1)].into_iter();
            store.read_model().by_ids(tenant, ids).await.unwrap()
        };
        assert_eq!(by_ids(&store.tenant).await, [view]);
        assert_eq!(by_ids(&"other".into()).await, []);
    })
    .await;
}
