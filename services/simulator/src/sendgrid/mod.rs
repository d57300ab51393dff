//! SendGrid's v3 API: `POST /v3/mail/send`.
//!
//! Sources: the reference of the endpoint and its list of errors
//! (<https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send>, …/mail-send/errors), and the pages on
//! authentication, errors and rate limits of the v3 API. Receivers whose address starts with `invalid` are refused as
//! invalid addresses, senders whose address starts with `unverified` as unverified ones.

mod body;
mod error;
mod rules;
mod send;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, header};
use axum::routing::post;
use subtle::ConstantTimeEq as _;

use self::error::SendGridError;
use crate::context::Context;

/// The largest request in bytes: 30 MB with attachments.
const MAX_REQUEST: usize = 30 * 1024 * 1024;

#[derive(Clone)]
struct SendGrid {
    context: Context,
    api_key: Arc<str>,
}

pub(crate) fn routes(context: Context, api_key: String) -> Router {
    Router::new()
        .route("/v3/mail/send", post(send::send))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(SendGrid {
            context,
            api_key: api_key.into(),
        })
}

impl SendGrid {
    /// The API key as a bearer token.
    fn admit(&self, headers: &HeaderMap) -> Result<(), SendGridError> {
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        if bool::from(given.as_bytes().ct_eq(self.api_key.as_bytes())) {
            return Ok(());
        }
        let message = "The provided authorization grant is invalid, expired, or revoked";
        Err(SendGridError::new(401, None, message))
    }
}
