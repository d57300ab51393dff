//! Firebase Cloud Messaging, HTTP v1: the token endpoint of Google's OAuth and the send method.
//!
//! Every registration token is a device, except those that start with a word of [`token_fate`](send::token_fate), which
//! fail as such devices do. Sources: Firebase's REST reference (`projects.messages.send`, `ErrorCode`), Google's
//! "Using OAuth 2.0 for Server to Server Applications", RFC 7523.

mod error;
mod oauth;
mod payload;
mod send;

use axum::Router;
use axum::routing::post;

pub(crate) use self::oauth::Tokens;
use crate::context::Context;

#[derive(Clone)]
struct Fcm {
    context: Context,
    tokens: Tokens,
}

pub(crate) fn routes(context: Context, tokens: Tokens) -> Router {
    Router::new()
        .route("/token", post(oauth::exchange))
        // The method is part of the last segment: `messages:send`.
        .route("/v1/projects/{project}/{method}", post(send::send))
        .with_state(Fcm { context, tokens })
}
