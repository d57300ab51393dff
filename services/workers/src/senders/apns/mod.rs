//! Apple Push Notification service over HTTP/2: few connections that live long, each with many messages at a time.

mod connection;
mod pool;
mod slots;
mod tls;
mod tokens;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use carillon_domain::clock::SharedClock;
use carillon_providers::{
    ApnsConfig, NoAnswer, OutgoingMessage, Refusal, Scope, SendOutcome, SettingError,
    apns::{ApnsAnswer, ApnsRequests, ProviderTokens, apns_id},
};
use carillon_runtime::os_sentence;
use secrecy::ExposeSecret as _;
use tokio::{sync::watch, time::Instant};

use self::{
    connection::{Progress, Unanswered},
    pool::Pool,
    tls::Connector,
    tokens::CurrentToken,
};
use super::OpenError;
use crate::sender::Sender;

/// The number of times that one attempt goes to another connection because a server said that it had not processed it.
const MOST_MOVES: usize = 3;

/// Sends push messages of one app.
pub struct ApnsSender {
    requests: ApnsRequests,
    token: CurrentToken,
    pool: Pool,
    timeout: Duration,
    clock: SharedClock,
}

impl ApnsSender {
    /// Reads the key and the certificates. Nothing is connected yet. `account` is the account's name, for the log.
    pub fn new(account: &str, config: &ApnsConfig, clock: SharedClock) -> Result<Self, OpenError> {
        let tokens = ProviderTokens::new(config, &key(config)?).map_err(|fault| match &config.key_path {
            Some(path) => {
                let text = format!("{} in the file {}", fault.expected, path.display());
                SettingError::new("key_path", text)
            }
            None => fault,
        })?;
        Ok(Self {
            requests: ApnsRequests::new(config)?,
            token: CurrentToken::new(tokens),
            pool: Pool::new(account, Connector::new(config)?, config.max_connections),
            timeout: config.request_timeout,
            clock,
        })
    }

    /// Sends one request on a connection that has room, and on another one if a server has not processed it.
    async fn exchange(
        &self,
        request: &http::Request<Bytes>,
        deadline: Instant,
    ) -> Result<ApnsAnswer, SendOutcome> {
        for _ in 0..=MOST_MOVES {
            let place = match tokio::time::timeout_at(deadline, self.pool.place()).await {
                Ok(Ok(place)) => place,
                Ok(Err(_)) => return Err(NoAnswer::NotSent.into()),
                Err(_) => return Err(no_stream()),
            };
            let mut progress = Progress::NotSent;
            let sent = place.send(request, self.clock.now(), &mut progress);
            match tokio::time::timeout_at(deadline, sent).await {
                Ok(Ok(response)) => {
                    let answer = ApnsAnswer::read(response);
                    if answer.ends_connection() {
                        place.leave();
                    }
                    return Ok(answer);
                }
                // Nothing of the message was processed, so that another connection may take it.
                Ok(Err(Unanswered::NotProcessed { is_leaving: true })) => place.leave(),
                Ok(Err(Unanswered::NotProcessed { is_leaving: false })) => {}
                Ok(Err(Unanswered::Lost)) => {
                    place.leave();
                    return Err(NoAnswer::Lost.into());
                }
                Err(_) => {
                    place.doubt();
                    return Err(match progress {
                        Progress::NotSent => no_stream(),
                        Progress::MayHaveLeft => NoAnswer::TimedOut.into(),
                    });
                }
            }
        }
        let detail = "the server did not process the message, as it said on several connections";
        Err(SendOutcome::Retry(Refusal::new(
            Scope::Connection,
            "not-processed",
            detail,
        )))
    }
}

/// The outcome of a message that found no stream in time.
fn no_stream() -> SendOutcome {
    let detail = "no connection to APNs had room for the message in time, so nothing was sent";
    SendOutcome::Retry(Refusal::new(Scope::Connection, "no-stream", detail))
}

/// The key's text, from its file if it has one.
fn key(config: &ApnsConfig) -> Result<String, SettingError> {
    match (&config.key, &config.key_path) {
        (Some(key), None) => Ok(key.expose_secret().to_owned()),
        (None, Some(path)) => std::fs::read_to_string(path).map_err(|error| {
            SettingError::new("key_path", format!("{}: {}", path.display(), os_sentence(&error)))
        }),
        (None, None) => Err(SettingError::new(
            "key_path",
            "expected key_path or key, and neither is set",
        )),
        (Some(_), Some(_)) => Err(SettingError::new(
            "key_path",
            "expected either key_path or key, and both are set",
        )),
    }
}

#[async_trait]
impl Sender for ApnsSender {
    async fn send(&self, message: &OutgoingMessage) -> SendOutcome {
        let now = self.clock.now();
        let Some(token) = self.token.get(now) else {
            return cannot_sign();
        };
        let mut request = match self.requests.build(message, token.authorization.clone(), now) {
            Ok(request) => request.map(Bytes::from),
            Err(outcome) => return outcome,
        };
        let deadline = Instant::now() + self.timeout;
        let first = match self.exchange(&request, deadline).await {
            Ok(answer) => answer,
            Err(outcome) => return outcome,
        };
        if first.says_token_expired()
            && let Some(renewed) = self.token.renew(self.clock.now(), token.issued_at)
        {
            request
                .headers_mut()
                .insert(http::header::AUTHORIZATION, renewed.authorization);
            return match self.exchange(&request, deadline).await {
                Ok(answer) => answer.outcome(apns_id(message)),
                Err(outcome) => outcome,
            };
        }
        first.outcome(apns_id(message))
    }

    fn connections(&self) -> Option<watch::Receiver<usize>> {
        Some(self.pool.streams())
    }
}

fn cannot_sign() -> SendOutcome {
    let detail = "the account's key cannot sign";
    SendOutcome::Config(Refusal::new(Scope::Account, "apns-key", detail))
}
