//! The OpenAPI document, generated from the routes.

pub(crate) mod answers;
mod complete;
pub(crate) mod schemas;

use axum::{Router, body::Bytes, http::header, routing::get};
use serde_json::Value;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;

use crate::state::GatewayState;

#[derive(OpenApi)]
#[openapi(
    info(title = "Carillon", description = "Notification delivery: post events, follow deliveries."),
    modifiers(&ApiKey),
    security(("api_key" = [])),
    components(schemas(
        carillon_runtime::http::Problem, schemas::StatusName, schemas::ChannelName, schemas::DeadLetterStateName,
        schemas::QueueName, schemas::FailureClassName, schemas::SuppressionReasonName, schemas::IgnoredName,
        schemas::ActivityOutcomeName
    )),
    tags(
        (name = "events", description = "Events, and the decisions about them"),
        (name = "deliveries", description = "Deliveries with their status and its reason"),
        (name = "users", description = "Users, devices and preferences"),
        (name = "suppressions", description = "Addresses that take no messages"),
        (name = "catalog", description = "Event types and categories"),
        (name = "dlq", description = "Dead letters"),
        (name = "keys", description = "API keys"),
    )
)]
struct Base;

struct ApiKey;

impl Modify for ApiKey {
    fn modify(&self, document: &mut Document) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("api_key", scheme);
    }
}

/// The document without routes.
pub(crate) fn base() -> OpenApiRouter<GatewayState> {
    OpenApiRouter::with_openapi(Base::openapi())
}

/// The whole document.
pub(crate) fn finish(document: &Document) -> Value {
    // Serialising a document of strings, numbers and lists does not fail.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    complete::complete(&mut document);
    document
}

/// Serves the finished document. It is serialised once, because it is large and anyone may request it without
/// a key.
pub(crate) fn route(document: &Value) -> Router<GatewayState> {
    let text = Bytes::from(document.to_string());
    let json = [(header::CONTENT_TYPE, "application/json")];
    Router::new().route("/openapi.json", get(move || async move { (json, text) }))
}
