//! Endpoints of webhooks: `POST /webhooks/{endpoint}`, for any name. Requests have to be signed as Standard Webhooks says
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>). Endpoints whose name starts with
//! `gone` are gone (410).

mod receive;
mod signature;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;

pub(crate) use self::signature::Key;
use crate::context::Context;

/// The largest request in bytes.
const MAX_REQUEST: usize = 4 * 1024 * 1024;

#[derive(Clone)]
struct Webhooks {
    context: Context,
    key: Arc<Key>,
}

pub(crate) fn routes(context: Context, key: Key) -> Router {
    Router::new()
        .route("/webhooks/{*endpoint}", post(receive::receive))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(Webhooks {
            context,
            key: Arc::new(key),
        })
}
