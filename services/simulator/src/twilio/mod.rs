//! Twilio's Messages resource: create, and list for reconciliation.
//!
//! The numbers of Twilio's "Test Credentials" page fail as documented there (see [`numbers`]). `StatusCallback` is
//! stored with the message; its query contains `delivery_id` and `event_id`.

mod create;
mod error;
mod list;
mod numbers;
mod resource;
mod segments;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, header};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;

use self::error::TwilioError;
pub(crate) use self::numbers::is_e164;
use crate::context::Context;

#[derive(Clone)]
struct Twilio {
    context: Context,
    account: Arc<Account>,
}

/// The only account.
pub(crate) struct Account {
    pub(crate) sid: String,
    pub(crate) token: String,
}

pub(crate) fn routes(context: Context, account: Account) -> Router {
    Router::new()
        .route(
            "/2010-04-01/Accounts/{account}/Messages.json",
            post(create::create).get(list::list),
        )
        .with_state(Twilio {
            context,
            account: Arc::new(account),
        })
}

impl Twilio {
    /// Basic authentication with the account's SID and token, for that account's path.
    fn admit(&self, account: &str, headers: &HeaderMap) -> Result<(), TwilioError> {
        let expected = format!("{}:{}", self.account.sid, self.account.token);
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Basic "))
            .and_then(|encoded| STANDARD.decode(encoded).ok())
            .unwrap_or_default();
        if !bool::from(given.ct_eq(expected.as_bytes())) {
            return Err(error::UNAUTHENTICATED);
        }
        if account != self.account.sid {
            return Err(error::NOT_FOUND);
        }
        Ok(())
    }
}
