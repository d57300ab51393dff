//! Live views: what the stream of a page says, who may listen, and when it ends.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use carillon_domain::{Channel, DeliveryStatus as S};
use carillon_gateway::GatewayConfig;
use carillon_runtime::Shutdown;
use futures::StreamExt as _;
use tower::ServiceExt as _;

use crate::{
    dashboard::{csrf, form, page, sign_in},
    seed::{dead_letter, delivery},
    support::{Answer, Ask, Setting, ask_at, on_gateway, on_gateway_with},
};

/// Settings under which a look follows soon.
fn soon() -> GatewayConfig {
    GatewayConfig {
        live_interval: Duration::from_millis(100),
        ..GatewayConfig::default()
    }
}

/// The event that says that nothing is new.
const NONE: &str = "event: none\ndata: 0";

/// The path of the stream in a page.
fn stream_of(page: &Answer) -> String {
    let text = page.text();
    let (_, after) = text.split_once("data-live=\"").expect("a live view");
    after.split('"').next().unwrap().replace("&#38;", "&")
}

/// A page that listens.
struct Listening {
    body: BodyDataStream,
    text: String,
}

impl Listening {
    async fn to(setting: &Setting, path: &str, session: &str) -> Self {
        let shown = setting.ask(page(path, session)).await;
        assert_eq!(shown.status, 200, "{shown:?}");
        Self::at(setting, &stream_of(&shown), session).await
    }

    async fn at(setting: &Setting, stream: &str, session: &str) -> Self {
        let request = page(stream, session).request("");
        let response = setting.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200, "{stream}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let body: Body = response.into_body();
        Self {
            body: body.into_data_stream(),
            text: String::new(),
        }
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<String> {
        let read = async {
            loop {
                if let Some((event, rest)) = self.text.split_once("\n\n") {
                    let (event, rest) = (event.to_owned(), rest.to_owned());
                    self.text = rest;
                    return Some(event);
                }
                let piece = self.body.next().await?.unwrap();
                self.text.push_str(std::str::from_utf8(&piece).unwrap());
            }
        };
        tokio::time::timeout(Duration::from_secs(20), read)
            .await
            .expect("an event within 20 s")
    }

    async fn expect(&mut self, event: &str) {
        assert_eq!(self.next().await.as_deref(), Some(event));
    }

    /// Reads events until the stream ends.
    async fn end(&mut self) {
        while self.next().await.is_some() {}
    }
}

#[tokio::test]
async fn a_page_hears_how_many_rows_of_its_list_are_new() {
    on_gateway_with(soon(), async |setting| {
        delivery(setting, 1, &[(0, S::Queued), (1, S::Sent)]).await;
        let session = sign_in(setting, &setting.viewer).await;
        let mut all = Listening::to(setting, "/deliveries", &session).await;
        let mut failed = Listening::to(setting, "/deliveries?status=dead_lettered", &session).await;
        let mut events = Listening::to(setting, "/activity", &session).await;
        for listening in [&mut all, &mut failed, &mut events] {
            listening.expect(NONE).await;
        }
        delivery(setting, 2, &[(0, S::Queued)]).await;
        all.expect("data: 1 new delivery").await;
        events.expect("data: 1 new event").await;
        // The same delivery matches the other filter later, though another one is newer by then.
        delivery(setting, 3, &[(0, S::Queued)]).await;
        all.expect("data: 2 new deliveries").await;
        delivery(setting, 2, &[(0, S::Queued), (1, S::DeadLettered)]).await;
        failed.expect("data: 1 new delivery").await;
        // A page that is loaded now shows all of them.
        Listening::to(setting, "/deliveries", &session)
            .await
            .expect(NONE)
            .await;
    })
    .await;
}

#[tokio::test]
async fn the_overview_and_the_causes_hear_of_dead_letters() {
    on_gateway_with(soon(), async |setting| {
        let session = sign_in(setting, &setting.viewer).await;
        let mut overview = Listening::to(setting, "/", &session).await;
        let mut causes = Listening::to(setting, "/dlq", &session).await;
        overview.expect(NONE).await;
        causes.expect(NONE).await;
        dead_letter(setting, 1, Some(Channel::Email), "550").await;
        causes.expect("data: 1 new dead letter").await;
        overview.expect("data: 1 new dead letter").await;
        delivery(setting, 1, &[(0, S::Queued)]).await;
        overview.expect("data: 1 new delivery, 1 new dead letter").await;
        // Another tenant hears nothing of it.
        let foreign = sign_in(setting, &setting.foreign).await;
        Listening::to(setting, "/dlq", &foreign).await.expect(NONE).await;
    })
    .await;
}

#[tokio::test]
async fn a_list_that_was_empty_counts_from_its_first_row() {
    on_gateway_with(soon(), async |setting| {
        let session = sign_in(setting, &setting.viewer).await;
        let shown = setting.ask(page("/deliveries", &session)).await;
        // Rows that come between the page and its stream are new, too.
        delivery(setting, 1, &[(0, S::Queued)]).await;
        let mut listening = Listening::at(setting, &stream_of(&shown), &session).await;
        listening.expect("data: 1 new delivery").await;
    })
    .await;
}

#[tokio::test]
async fn a_stream_ends_with_its_session_or_its_key() {
    on_gateway_with(soon(), async |setting| {
        let session = sign_in(setting, &setting.viewer).await;
        let mut listening = Listening::to(setting, "/deliveries", &session).await;
        listening.expect(NONE).await;
        let token = csrf(&setting.ask(page("/", &session)).await);
        let leave = form("/sign-out", &session, &[("csrf", &token)]);
        assert_eq!(setting.ask(leave).await.status, 303);
        listening.expect("event: end\ndata: You are signed out.").await;
        assert_eq!(listening.next().await, None);

        let session = sign_in(setting, &setting.viewer).await;
        let mut listening = Listening::to(setting, "/deliveries", &session).await;
        listening.expect(NONE).await;
        let keys = setting.get("/v1/keys").await.json();
        let keys = keys["items"].as_array().unwrap();
        let viewer = keys.iter().find(|key| key["role"] == "viewer").unwrap();
        let id = viewer["id"].as_str().unwrap();
        // Another process revokes the key; this one believes it for five seconds.
        let elsewhere = setting.another_process();
        let revoke = Ask::delete(&format!("/v1/keys/{id}"));
        assert_eq!(ask_at(&elsewhere, revoke, &setting.admin).await.status, 204);
        setting.advance(6);
        listening.expect("event: end\ndata: You are signed out.").await;
        assert_eq!(listening.next().await, None);
        let again = setting
            .ask(page("/live?list=%2Fdeliveries&since=", &session))
            .await;
        assert_eq!(
            again.status, 204,
            "a browser does not ask again after this answer"
        );
    })
    .await;
}

#[tokio::test]
async fn streams_end_when_the_process_is_asked_to_end() {
    on_gateway_with(soon(), async |setting| {
        let session = sign_in(setting, &setting.viewer).await;
        let mut first = Listening::to(setting, "/", &session).await;
        let mut second = Listening::to(setting, "/activity", &session).await;
        first.expect(NONE).await;
        let Shutdown { soft, .. } = &setting.shutdown;
        soft.cancel();
        first.end().await;
        second.end().await;
    })
    .await;
}

#[tokio::test]
async fn live_views_are_bounded_and_can_be_turned_off() {
    let config = GatewayConfig {
        max_live_views: 8,
        ..soon()
    };
    on_gateway_with(config, async |setting| {
        let session = sign_in(setting, &setting.viewer).await;
        let path = "/live?list=%2Fdeliveries&since=";
        let listening = Listening::at(setting, path, &session).await;
        let refused = setting.ask(page(path, &session)).await;
        refused.problem(429, "rate-limited");
        // Another key of the tenant has a place, and pages are still shown.
        let other = sign_in(setting, &setting.operator).await;
        let _others = Listening::at(setting, path, &other).await;
        assert_eq!(setting.ask(page("/deliveries", &session)).await.status, 200);
        drop(listening);
        Listening::at(setting, path, &session).await.expect(NONE).await;
    })
    .await;
    let config = GatewayConfig {
        max_live_views: 0,
        ..soon()
    };
    on_gateway_with(config, async |setting| {
        let session = sign_in(setting, &setting.viewer).await;
        for path in ["/", "/activity", "/deliveries", "/dlq"] {
            let shown = setting.ask(page(path, &session)).await;
            assert!(!shown.text().contains("data-live"), "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_names_a_wrong_list_and_the_expected_one() {
    on_gateway(async |setting| {
        let session = sign_in(setting, &setting.viewer).await;
        for (query, says) in [
            ("", "the parameter list: expected 1 to 4 lists"),
            ("list=%2Fdeliveries", "each with a parameter since"),
            (
                "list=%2Fusers&since=",
                "expected the path and query of /activity, /deliveries or /dlq",
            ),
            ("list=http%3A%2F%2F%5B&since=", "expected the path and query of"),
            (
                "list=%2Fdeliveries%3Fstatus%3Dodd&since=",
                "the parameter status: expected a status such as sent",
            ),
            (
                "list=%2Fdeliveries&since=x",
                "the parameter since: expected the place of a row",
            ),
            (
                "list=%2Fdlq%3Fstate%3Dshut&since=",
                "the parameter state: expected open, replayed or discarded",
            ),
            ("limit=1", "there is no parameter limit"),
        ] {
            let answer = setting.ask(page(&format!("/live?{query}"), &session)).await;
            assert_eq!(answer.status, 422, "{query}: {answer:?}");
            assert!(answer.text().contains(says), "{query}: {answer:?}");
        }
        let script = setting.ask(Ask::get("/assets/live.js").anonymous()).await;
        assert_eq!(
            script.header("content-type"),
            Some("text/javascript; charset=utf-8")
        );
    })
    .await;
}
