//! The list of events with the outcomes for their recipients, over the API and on its page.

use carillon_domain::{Channel, DeliveryStatus, EventId};
use carillon_store::read_model::{DeliveryRow, Projection};
use serde_json::{Value, json};

use crate::{
    dashboard::{page, sign_in},
    decisions::decided,
    seed::{delivery, delivery_id, start},
    support::{Ask, Setting, on_gateway},
};

async fn found(setting: &Setting, query: &str) -> Value {
    let answer = setting.get(&format!("/v1/activity{query}")).await;
    assert_eq!(answer.status, 200, "{query} {answer:?}");
    answer.json()
}

/// The ids of the events that a query finds, and the meaning of its text.
async fn ids(setting: &Setting, query: &str) -> (Vec<String>, Value) {
    let list = found(setting, query).await;
    let items = list["items"].as_array().unwrap().iter();
    let ids = items
        .map(|item| item["event_id"].as_str().unwrap().to_owned())
        .collect();
    (ids, list["found_as"].clone())
}

async fn message(setting: &Setting, number: u32, event: &EventId) {
    let mut row = DeliveryRow {
        id: delivery_id(number),
        tenant: setting.tenant.clone(),
        event_id: event.clone(),
        source: "/shop/orders".into(),
        event_type: "OrderShipped".into(),
        category: "transactional".into(),
        user_id: Some("u-42".into()),
        channel: Channel::Email,
        state: carillon_domain::DeliveryState {
            generation: 0,
            attempt: 1,
            status: DeliveryStatus::Failed,
        },
        created_at: start(),
        at: start(),
        reason: None,
        error_code: Some("550_5.1.1".to_owned()),
        to_masked: None,
        provider: None,
        provider_message_id: None,
        template: None,
        queued: None,
    };
    row.provider_message_id = Some("SM-7".to_owned());
    let projection = Projection {
        deliveries: vec![row],
        ..Projection::default()
    };
    setting.env.store.read_model().apply(&projection).await.unwrap();
}

#[tokio::test]
async fn an_event_is_one_row_with_each_outcome_and_addresses_stay_masked() {
    on_gateway(async |setting| {
        decided(setting).await;
        delivery(
            setting,
            1,
            &[(0, DeliveryStatus::Queued), (1, DeliveryStatus::Sent)],
        )
        .await;
        let all = found(setting, "").await;
        assert_eq!(all["items"].as_array().unwrap().len(), 2, "{all}");
        let not_sent = found(setting, "?outcome=not_sent").await;
        let row = &not_sent["items"][0];
        assert_eq!(
            (&row["event_id"], &row["status"]),
            (&json!("e-7"), &json!("routed"))
        );
        let first = &row["outcomes"][0];
        assert_eq!(
            (&first["reason"], &first["status"]),
            (&json!("opted_out_type"), &json!(null))
        );
        assert_eq!(
            first["sentence"],
            "Not sent: the user turned off OrderShipped by email."
        );
        assert_eq!(row["outcomes"].as_array().unwrap().len(), 2);
        assert!(!not_sent.to_string().contains("guest@example.com"), "{not_sent}");
        assert!(!not_sent.to_string().contains("address_hash"), "{not_sent}");
        for key in [&setting.viewer, &setting.foreign] {
            let list = setting
                .ask(Ask::get("/v1/activity?outcome=not_sent").key(key))
                .await
                .json();
            let expected = usize::from(key == &setting.viewer);
            assert_eq!(list["items"].as_array().unwrap().len(), expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_search_finds_an_event_by_each_exact_id_address_and_code() {
    on_gateway(async |setting| {
        decided(setting).await;
        message(setting, 3, &"e-7".into()).await;
        let user = json!({"email": "Grace@Example.com", "phone": "+4915112345678",
            "devices": [{"platform": "ios", "token": "a-token"}]});
        let put = Ask::put("/v1/users/u-42").json(&user);
        assert!(matches!(setting.ask(put).await.status, 200 | 201));
        let delivery = delivery_id(3).to_string();
        for (q, found_as) in [
            ("e-7", "event"),
            (delivery.as_str(), "delivery"),
            ("grace%40example.com", "email_address"),
            ("%2B4915112345678", "phone_number"),
            ("u-42", "user"),
            ("SM-7", "provider_message_id"),
            ("a-token", "device_token"),
            ("550_5.1.1", "code"),
        ] {
            let expected = (vec!["e-7".to_owned()], json!(found_as));
            assert_eq!(ids(setting, &format!("?q={q}")).await, expected, "{q}");
        }
        let none = (Vec::new(), json!(null));
        for q in ["e-8", "grace%40example", "u-4", "mallory%40example.com"] {
            assert_eq!(ids(setting, &format!("?q={q}")).await, none, "{q}");
        }
        for query in [
            "?address=grace%40example.com",
            "?user=u-42&reason=opted_out_type&type=OrderShipped",
            "?code=550_5.1.1&user=u-42",
            "?provider_message_id=SM-7",
            "?event=e-7&outcome=suppress",
            "?q=u-42&outcome=not_sent",
            "?address=grace%40example.com&user=u-42",
        ] {
            assert_eq!(ids(setting, query).await.0, ["e-7"], "{query}");
        }
        for query in [
            "?user=u-42&outcome=drop",
            "?address=grace%40example.com&user=u-1",
            "?from=2030-01-01",
        ] {
            assert!(ids(setting, query).await.0.is_empty(), "{query}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_wrong_filter_of_events_is_refused_with_its_place() {
    on_gateway(async |setting| {
        for (query, pointer) in [
            ("outcome=sent", "/outcome"),
            ("reason=because", "/reason"),
            ("limit=0", "/limit"),
            ("limit=101", "/limit"),
            ("cursor=x", "/cursor"),
            ("code=550&outcome=not_sent", "/code"),
            ("provider_message_id=x&reason=no_address", "/provider_message_id"),
            ("code=550&address=a%40example.com", "/code"),
            ("from=2026-11-25&to=2026-11-24", "/to"),
            ("colour=red", "/colour"),
        ] {
            let errors = setting
                .get(&format!("/v1/activity?{query}"))
                .await
                .problem(422, "validation");
            assert!(
                errors.iter().any(|error| error.starts_with(pointer)),
                "{query} {errors:?}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn the_page_shows_each_outcome_with_its_sentence_and_its_filters_can_be_removed() {
    on_gateway(async |setting| {
        let session = sign_in(setting, &setting.viewer).await;
        let empty = setting.ask(page("/activity", &session)).await.text();
        assert!(empty.contains("There are no events yet."), "{empty}");
        decided(setting).await;
        let shown = setting
            .ask(page("/activity?q=u-42&outcome=not_sent&within=", &session))
            .await;
        assert_eq!(shown.status, 200, "{shown:?}");
        let text = shown.text();
        assert!(
            text.contains("Not sent: the user turned off OrderShipped by email."),
            "{text}"
        );
        assert!(
            text.contains("opted out type") && text.contains("Found as a user&#39;s id"),
            "{text}"
        );
        assert!(
            text.contains("href=\"/activity?q=u%2D42\""),
            "the list without the outcome: {text}"
        );
        assert!(!text.contains("guest@example.com"), "{text}");
        let none = setting.ask(page("/activity?q=nobody", &session)).await.text();
        assert!(none.contains("No event has this"), "{none}");
        for wrong in ["outcome=x", "reason=x", "within=x", "cursor=x", "colour=red"] {
            let answer = setting.ask(page(&format!("/activity?{wrong}"), &session)).await;
            assert_eq!(answer.status, 422, "{wrong}");
        }
    })
    .await;
}
