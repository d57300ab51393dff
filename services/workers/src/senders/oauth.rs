//! The token of a Google service account: it is cached until shortly before it expires. Concurrent senders share one
//! exchange.

use std::time::Duration;

use carillon_domain::{
    Timestamp,
    clock::{SharedClock, later},
};
use carillon_providers::{
    SendOutcome,
    fcm::{TokenRequests, granted, unreachable},
};
use reqwest::{Client, header::HeaderValue};
use tokio::sync::Mutex;

use super::http::exchange;

/// The time before its expiry at which a token is renewed.
const MARGIN: Duration = Duration::from_mins(5);
/// Google's tokens last an hour. A token that claims a longer life is renewed within a day.
const LONGEST: Duration = Duration::from_hours(24);
/// The age below which a token is not renewed although an answer refuses it: that answer belongs to an older token.
const FRESH: Duration = Duration::from_secs(10);

struct Token {
    authorization: HeaderValue,
    fetched_at: Timestamp,
    renew_at: Timestamp,
}

/// The account's current access token, and the means to obtain a new one.
pub(super) struct Tokens {
    requests: TokenRequests,
    client: Client,
    clock: SharedClock,
    current: Mutex<Option<Token>>,
}

impl Tokens {
    pub(super) fn new(requests: TokenRequests, client: Client, clock: SharedClock) -> Self {
        Self {
            requests,
            client,
            clock,
            current: Mutex::new(None),
        }
    }

    /// Returns the value of the header `Authorization`; fetches a new token if there is none, it expires soon, or the
    /// last was refused (`renew`).
    pub(super) async fn get(&self, renew: bool) -> Result<HeaderValue, SendOutcome> {
        let mut current = self.current.lock().await;
        let now = self.clock.now();
        if let Some(token) = &*current {
            let is_fresh = now < later(token.fetched_at, FRESH);
            if now < token.renew_at && (!renew || is_fresh) {
                return Ok(token.authorization.clone());
            }
        }
        let request = self.requests.build(now)?;
        let answer = exchange(&self.client, request, None, now)
            .await
            .map_err(|_| unreachable())?;
        let granted = granted(&answer)?;
        let life = granted.life.min(LONGEST).saturating_sub(MARGIN);
        *current = Some(Token {
            authorization: granted.authorization.clone(),
            fetched_at: now,
            renew_at: later(now, life),
        });
        Ok(granted.authorization)
    }
}
