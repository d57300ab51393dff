//! Amazon SES, API v2: `POST /v2/email/outbound-emails`.
//!
//! Sources: the service model `sesv2` 2019-09-27 of botocore, the reference of `SendEmail` and its common errors
//! (<https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html>), the developer guide on header fields,
//! quotas and sending errors, and the user guide of IAM on Signature Version 4. Receivers whose address starts with
//! `invalid` are refused as invalid addresses, senders whose address starts with `unverified` as unverified ones,
//! configuration sets whose name starts with `missing` as unknown ones.

mod address;
mod body;
mod error;
mod mime;
mod send;
mod signature;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;

use crate::context::Context;

/// The largest message in bytes (<https://docs.aws.amazon.com/ses/latest/dg/quotas.html>).
const MAX_MESSAGE: usize = 40 * 1024 * 1024;
/// The largest request: a message in Base64, and the rest.
const MAX_REQUEST: usize = MAX_MESSAGE / 3 * 4 + 1024 * 1024;

#[derive(Clone)]
struct Ses {
    context: Context,
    account: Arc<Account>,
}

/// The only account, in its only region.
pub(crate) struct Account {
    pub(crate) region: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    /// The token that requests must have; `None` accepts none.
    pub(crate) session_token: Option<String>,
}

pub(crate) fn routes(context: Context, account: Account) -> Router {
    Router::new()
        .route("/v2/email/outbound-emails", post(send::send))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(Ses {
            context,
            account: Arc::new(account),
        })
}
