//! The gateway, the HTTP edge: events, users and preferences, the catalog, views of status and dead letters, and the
//! dashboard.

mod acknowledge;
mod activity;
mod admission;
mod api;
mod auth;
mod cancel;
mod config;
mod dashboard;
mod docs;
mod error;
mod fallback;
mod ingest;
mod input;
mod letters;
mod limits;
mod live;
mod openapi;
mod privacy;
mod receipts;
mod simulation;
mod state;
mod unsubscribe;

use std::sync::Arc;

use axum::{Router, middleware::from_fn_with_state};
use utoipa_axum::router::OpenApiRouter;

pub use api::users::checked_user;
pub use auth::{Caller, Operator};
pub use config::{BadLimit, GatewayConfig, ShareConfig};
pub use error::ApiError;
pub use receipts::{ReceiptAccounts, ReceiptAccountsError};
pub use state::{GatewayDeps, GatewayState};

/// A route of another crate, mounted behind the gateway's authentication.
pub type Extension = OpenApiRouter<GatewayState>;

/// All routes of the gateway. `extensions` receives the state, with which it can authenticate callers.
pub fn router(deps: GatewayDeps, extensions: impl FnOnce(&GatewayState) -> Vec<Extension>) -> Router {
    let operations = carillon_runtime::http::operations(deps.readiness.clone(), deps.metrics.clone());
    let state = GatewayState(Arc::new(state::Inner::new(deps)));
    let mut routes = openapi::base().merge(api::routes());
    for extension in extensions(&state) {
        routes = routes.merge(extension);
    }
    let (routes, document) = routes.split_for_parts();
    let document = openapi::finish(&document);
    let docs = docs::router(&document);
    let of_pages = routes.clone().with_state(state.clone());
    let api = routes
        .merge(openapi::route(&document))
        .layer(from_fn_with_state(state.clone(), admission::admit))
        .with_state(state.clone());
    let all = api
        .merge(unsubscribe::router(state.clone()))
        .merge(dashboard::router(state, of_pages))
        .merge(docs)
        .merge(operations);
    fallback::wrap(all)
}
