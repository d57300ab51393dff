//! One suite for all renderers: the one in this process, and the templates role over HTTP.

use std::{sync::Arc, time::Duration};

use crate::support::{House, request};
use carillon_domain::{Channel, TenantId};
use carillon_render::{Content, HttpRenderer, MAX_BATCH, RenderError, RenderRequest, Rendered, Renderer};
use carillon_runtime::{
    Shutdown,
    http::{ClientOptions, HttpConfig, Readiness, client},
    telemetry::{self, MetricsHandle},
};
use carillon_templates::{RoleError, TemplatesRole, run};
use carillon_testkit::spans::{Spans, attribute};
use opentelemetry::trace::Status;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};
use tracing::Instrument as _;

const TOKEN: &str = "internal-token";

struct Role {
    base_url: String,
    shutdown: Shutdown,
    running: JoinHandle<Result<(), RoleError>>,
}

impl Role {
    async fn start(house: &House) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = Shutdown::new();
        let role = TemplatesRole {
            store: house.store.clone(),
            listener,
            http: HttpConfig::default(),
            token: TOKEN.to_owned().into(),
            refresh: Duration::from_millis(20),
            readiness: Readiness::default(),
            metrics: MetricsHandle::detached(),
        };
        Self {
            base_url,
            shutdown: shutdown.clone(),
            running: tokio::spawn(run(role, shutdown)),
        }
    }

    fn renderer(&self, token: &str) -> HttpRenderer {
        let client = client(&ClientOptions::default()).unwrap();
        HttpRenderer::new(&self.base_url, client, token, Duration::from_secs(10))
    }

    async fn stop(self) {
        self.shutdown.begin();
        self.running.await.unwrap().unwrap();
    }
}

/// Runs a check on both renderers, over the same store.
async fn everywhere(house: &House, check: impl AsyncFn(&dyn Renderer)) {
    check(&*house.renderer).await;
    let role = Role::start(house).await;
    check(&role.renderer(TOKEN)).await;
    role.stop().await;
}

fn shipped(channel: Channel, locale: &str) -> RenderRequest {
    request(
        "OrderShipped",
        channel,
        locale,
        &json!({"order_id": "1001", "carrier": "DHL"}),
    )
}

async fn one(renderer: &dyn Renderer, request: RenderRequest) -> Result<Rendered, RenderError> {
    let mut answers = renderer.render(vec![request]).await;
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

#[tokio::test]
async fn each_channel_gets_its_message_in_the_recipients_language() {
    let house = House::with_shop().await;
    everywhere(&house, async |renderer| {
        let rendered = one(renderer, shipped(Channel::Email, "fr-CA")).await.unwrap();
        assert_eq!(&*rendered.template.id, "OrderShipped/email");
        assert_eq!((&*rendered.template.locale, rendered.template.version), ("fr", 1));
        let Content::Email {
            subject,
            text,
            html: Some(html),
        } = rendered.content
        else {
            panic!("no HTML e-mail")
        };
        assert_eq!(subject, "Votre commande 1001 est en route");
        assert!(text.contains("confiée à DHL") && html.contains("confiée à DHL"));
        let Content::Sms { text } = one(renderer, shipped(Channel::Sms, "de")).await.unwrap().content else {
            panic!("no text message")
        };
        assert_eq!(text, "Lumen & Oak: Deine Bestellung 1001 ist mit DHL unterwegs.");
        let Content::Push {
            title, body, data, ..
        } = one(renderer, shipped(Channel::Push, "en")).await.unwrap().content
        else {
            panic!("no push")
        };
        assert_eq!((title.as_str(), data.len()), ("Your parcel is on its way", 0));
        assert_eq!(body, "Order 1001 has been handed over to DHL.");
    })
    .await;
}

#[tokio::test]
async fn each_message_of_a_batch_has_its_own_error_and_the_others_are_rendered() {
    let house = House::with_shop().await;
    everywhere(&house, async |renderer| {
        let answers = renderer
            .render(vec![
                shipped(Channel::Sms, "en"),
                request("OrderShipped", Channel::Sms, "en", &json!({"order_id": "1"})),
                request("NoSuchType", Channel::Sms, "en", &json!({})),
                request(
                    "OrderShipped",
                    Channel::Email,
                    "en",
                    &json!({
                        "order_id": "1", "carrier": "DHL", "tracking_url": "javascript:alert(1)"
                    }),
                ),
                request(
                    "OrderShipped",
                    Channel::Sms,
                    "en",
                    &json!({"order_id": "1", "carrier": "x".repeat(1_600)}),
                ),
                shipped(Channel::Push, "en"),
            ])
            .await;
        let codes: Vec<_> = answers
            .iter()
            .map(|answer| answer.as_ref().map_or_else(RenderError::code, |_| "ok"))
            .collect();
        assert_eq!(
            codes,
            [
                "ok",
                "template-missing-variable",
                "template-missing",
                "template-bad-value",
                "template-too-long",
                "ok"
            ]
        );
        assert_eq!(
            answers[1],
            Err(RenderError::MissingVariable {
                template: "OrderShipped/sms".into(),
                place: "text line 1".into(),
                variable: "carrier".into(),
                why: "which the event does not carry".into(),
                pointer: "/data/carrier".into(),
            })
        );
        assert!(
            answers
                .iter()
                .filter_map(|answer| answer.as_ref().err())
                .all(|error| !error.is_retriable())
        );
    })
    .await;
}

#[tokio::test]
async fn a_batch_of_any_size_is_answered_in_order() {
    let house = House::with_shop().await;
    everywhere(&house, async |renderer| {
        assert!(renderer.render(Vec::new()).await.is_empty());
        let many = MAX_BATCH * 2 + 1;
        let batch = (0..many).map(|id| {
            request(
                "OrderShipped",
                Channel::Push,
                "en",
                &json!({"order_id": id, "carrier": "DHL"}),
            )
        });
        let answers = renderer.render(batch.collect()).await;
        assert_eq!(answers.len(), many);
        for (id, answer) in answers.into_iter().enumerate() {
            let Content::Push { body, .. } = answer.unwrap().content else {
                panic!("no push")
            };
            assert_eq!(body, format!("Order {id} has been handed over to DHL."));
        }
    })
    .await;
}

#[tokio::test]
async fn large_events_are_spread_over_several_bodies() {
    let house = House::with_shop().await;
    everywhere(&house, async |renderer| {
        let data = json!({"order_id": "1", "carrier": "DHL", "blob": "x".repeat(240 * 1024)});
        let batch = vec![request("OrderShipped", Channel::Push, "en", &data); 120];
        assert!(renderer.render(batch).await.iter().all(Result::is_ok));
    })
    .await;
}

#[tokio::test]
async fn a_newly_published_template_is_used_soon_and_tenants_do_not_share_theirs() {
    let house = House::with_shop().await;
    everywhere(&house, async |renderer| {
        let other = RenderRequest {
            tenant: TenantId::from("other"),
            ..shipped(Channel::Sms, "en")
        };
        assert!(matches!(
            one(renderer, other).await,
            Err(RenderError::MissingTemplate { .. })
        ));
    })
    .await;
    let role = Role::start(&house).await;
    let renderer = role.renderer(TOKEN);
    assert!(one(&renderer, shipped(Channel::Sms, "en")).await.is_ok());
    let path = "/v1/templates/OrderShipped/sms";
    let admin = house.as_admin();
    admin
        .put(path, None, &json!({"parts": {"text": "New: {{order_id}}"}}))
        .await;
    admin.post(&format!("{path}/publish"), &json!({})).await;
    let published = async {
        loop {
            let message = one(&renderer, shipped(Channel::Sms, "en")).await.unwrap();
            if message.template.version == 2 {
                break message.content;
            }
            tokio::task::yield_now().await;
        }
    };
    let content = tokio::time::timeout(Duration::from_secs(10), published)
        .await
        .unwrap();
    assert_eq!(
        content,
        Content::Sms {
            text: "New: 1001".into()
        }
    );
    role.stop().await;
}

#[tokio::test]
async fn a_templates_role_with_a_wrong_answer_is_unavailable_and_retriable() {
    let house = House::with_shop().await;
    let role = Role::start(&house).await;
    let refused = one(&role.renderer("wrong"), shipped(Channel::Sms, "en"))
        .await
        .unwrap_err();
    assert!(refused.is_retriable(), "{refused:?}");
    let renderer = role.renderer(TOKEN);
    role.stop().await;
    let gone = one(&renderer, shipped(Channel::Sms, "en")).await.unwrap_err();
    assert!(
        gone.is_retriable() && gone.code() == "template-unavailable",
        "{gone:?}"
    );
}

#[tokio::test]
async fn without_the_store_known_tenants_are_served_and_new_ones_are_retriable() {
    let house = House::with_shop().await;
    let renderer: Arc<dyn Renderer> = house.renderer.clone();
    assert!(one(&*renderer, shipped(Channel::Sms, "en")).await.is_ok());
    house.store.close().await;
    house.renderer.refresh().await;
    assert!(one(&*renderer, shipped(Channel::Sms, "en")).await.is_ok());
    let other = RenderRequest {
        tenant: TenantId::from("other"),
        ..shipped(Channel::Sms, "en")
    };
    assert!(one(&*renderer, other).await.unwrap_err().is_retriable());
}

#[tokio::test]
async fn rendering_over_http_goes_on_in_the_callers_trace_and_names_template_channel_and_locale() {
    let house = House::with_shop().await;
    let spans = Spans::of_this_thread();
    let role = Role::start(&house).await;
    let renderer = role.renderer(TOKEN).traced(telemetry::current_traceparent);
    let batch = vec![
        shipped(Channel::Email, "fr"),
        request("NoSuchType", Channel::Sms, "fr", &json!({})),
    ];
    let caller = tracing::info_span!("caller");
    let answers = renderer.render(batch).instrument(caller).await;
    role.stop().await;
    assert!(answers[0].is_ok() && answers[1].is_err());

    let only = |name: &str| {
        let mut named = spans.named(name);
        assert_eq!(named.len(), 1, "{name}");
        named.remove(0)
    };
    let (caller, asked, served) = (only("caller"), only("POST"), only("POST /v1/render"));
    assert_eq!(asked.parent_span_id, caller.span_context.span_id());
    assert_eq!(served.parent_span_id, asked.span_context.span_id());
    assert_eq!(attribute(&served, "http.response.status_code"), "200");
    assert_eq!(attribute(&served, "http.route"), "/v1/render");
    let messages = spans.named("render");
    assert_eq!(messages.len(), 2);
    for span in &messages {
        assert_eq!(span.parent_span_id, served.span_context.span_id());
        assert_eq!(span.span_context.trace_id(), caller.span_context.trace_id());
    }
    let of = |name| attribute(&messages[0], name);
    assert_eq!(of("carillon.template"), "OrderShipped/email");
    assert_eq!(
        (of("carillon.channel"), of("carillon.template.locale")),
        ("email".to_owned(), "fr".to_owned())
    );
    assert_ne!(of("carillon.template.version"), "");
    assert!(
        matches!(messages[1].status, Status::Error { .. }),
        "{:?}",
        messages[1].status
    );
    assert_ne!(attribute(&messages[1], "error.type"), "");
}
