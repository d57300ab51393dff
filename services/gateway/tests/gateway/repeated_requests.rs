//! Requests that are repeated under their `Idempotency-Key`, after every outcome of the first one.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use carillon_store::events::EventKey;
use serde_json::json;

use crate::support::{Answer, Ask, Setting, on_gateway, shipped};

const DATA: &str = r#"{"order_id":"1","carrier":"DHL"}"#;

/// Sixty lines without ids, one for each guest.
fn lines() -> String {
    let line = |n: usize| {
        json!({"type": "OrderShipped", "recipients": [{"email": format!("guest-{n}@example.com")}],
            "data": {"order_id": "1", "carrier": "DHL"}})
        .to_string()
            + "\n"
    };
    (0..60).map(line).collect()
}

fn with_key(key: &str, media_type: &str, body: String) -> Ask {
    Ask::post("/v1/events")
        .header("idempotency-key", key)
        .text(media_type, body)
}

fn of_items(answer: &Answer, field: &str) -> Vec<String> {
    let items = answer.json()["items"].as_array().cloned().unwrap();
    items
        .iter()
        .map(|item| item[field].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn events_without_ids_get_them_from_key_and_place_so_that_repeated_work_doubles_none() {
    on_gateway(async |setting| {
        for (key, media_type, body) in [
            ("lines", "application/x-ndjson", lines()),
            (
                "array",
                "application/json",
                format!("[{}]", lines().trim_end().replace('\n', ",")),
            ),
        ] {
            let before = setting.published().await.len();
            let first = setting.ask(with_key(key, media_type, body.clone())).await;
            assert_eq!(first.status, 202, "{first:?}");
            let ids = of_items(&first, "event_id");
            // The gateway marks published events half a second later. Here they are marked at once.
            let keys = ids.iter().map(|id| EventKey {
                tenant: "default".into(),
                event_id: id.as_str().into(),
                source: "/".into(),
            });
            let events = setting.env.store.events();
            events.mark_published(keys.collect()).await.unwrap();
            // The answer is forgotten, as after a crash, but the published events are still known.
            setting.advance(25 * 3_600);
            let again = setting.ask(with_key(key, media_type, body)).await;
            assert_eq!(again.status, 202, "{again:?}");
            assert_eq!(again.header("idempotency-replayed"), None);
            assert_eq!(of_items(&again, "event_id"), ids);
            assert!(
                of_items(&again, "status")
                    .iter()
                    .all(|status| status == "duplicate")
            );
            assert_eq!(setting.published().await.len() - before, 60);
        }
    })
    .await;
}

#[tokio::test]
async fn the_same_place_under_another_key_or_of_another_tenant_is_another_event() {
    on_gateway(async |setting| {
        let catalog = Ask::put("/v1/catalog")
            .key(&setting.foreign)
            .json(&crate::support::catalog());
        assert_eq!(setting.ask(catalog).await.status, 200);
        let ask = |key: &str| with_key(key, "application/x-ndjson", lines());
        let mut ids = Vec::new();
        for ask in [ask("a"), ask("b"), ask("a").key(&setting.foreign)] {
            ids.extend(of_items(&setting.ask(ask).await, "event_id"));
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 180);
        let named = json!([shipped("own"), {"type": "Newsletter", "recipients": ["u-42"], "data": {}}]);
        let answer = setting
            .ask(with_key("c", "application/json", named.to_string()))
            .await;
        let ids = of_items(&answer, "event_id");
        assert_eq!(ids[0], "own", "an event's own id stays");
    })
    .await;
}

/// Polls a future `polls` times and then drops it, as when a client leaves.
async fn left_after<F: Future>(future: F, polls: usize) {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 || future.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        left -= 1;
        Poll::Pending
    })
    .await;
}

/// Repeats the request until the first request of the key has ended.
async fn once_ended(setting: &Setting, ask: impl Fn() -> Ask) -> Answer {
    loop {
        let answer = setting.ask(ask()).await;
        if answer.status != 409 {
            return answer;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_and_comes_back_finds_the_answer_to_its_request() {
    on_gateway(async |setting| {
        for polls in 0..8 {
            let key = format!("left-{polls}");
            let ask = || with_key(&key, "application/x-ndjson", lines());
            let before = setting.published().await.len();
            left_after(setting.ask(ask()), polls).await;
            let answer = once_ended(setting, ask).await;
            assert_eq!(answer.status, 202, "{answer:?}");
            assert!(
                of_items(&answer, "status")
                    .iter()
                    .all(|status| status == "accepted")
            );
            assert_eq!(setting.published().await.len() - before, 60);
        }
    })
    .await;
}

fn binary(id: &str) -> Ask {
    Ask::post("/v1/events")
        .header("idempotency-key", "key-1")
        .header("ce-specversion", "1.0")
        .header("ce-source", "/shop")
        .header("ce-type", "OrderShipped")
        .header("ce-recipient", "u-42")
        .header("ce-id", id)
}

#[tokio::test]
async fn any_difference_from_the_first_request_under_a_key_is_a_conflict() {
    on_gateway(async |setting| {
        let first = setting.ask(binary("a").text("application/json", DATA)).await;
        assert_eq!(first.status, 202, "{first:?}");
        let same = setting
            .ask(binary("a").text("Application/JSON; charset=utf-8", DATA))
            .await;
        assert_eq!(
            (same.status, same.header("idempotency-replayed")),
            (202, Some("true"))
        );
        let traced = setting
            .ask(
                binary("a")
                    .header(
                        "ce-traceparent",
                        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                    )
                    .text("application/json", DATA),
            )
            .await;
        assert_eq!(
            traced.status, 202,
            "a repeat may have a trace of its own: {traced:?}"
        );

        let key = || Ask::post("/v1/events").header("idempotency-key", "key-1");
        for other in [
            binary("b").text("application/json", DATA),
            binary("a")
                .header("ce-channels", "email")
                .text("application/json", DATA),
            binary("a").text("application/vnd.shop+json", DATA),
            binary("a").text("application/json", format!("{DATA} ")),
            key().json(&shipped("a")),
        ] {
            setting.ask(other).await.problem(422, "idempotency-conflict");
        }
        assert_eq!(setting.published().await.len(), 1);
    })
    .await;
}
