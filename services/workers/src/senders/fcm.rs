//! Firebase Cloud Messaging over HTTP.

use std::time::Duration;

use async_trait::async_trait;
use carillon_domain::clock::SharedClock;
use carillon_providers::{
    FcmConfig, OutgoingMessage, ProviderResponse, Refusal, Scope, SendOutcome, SettingError,
    fcm::{
        FcmRequests, Push, ServiceAccount, ServiceAccountKey, TokenRequests, classify, is_unauthenticated,
    },
};
use carillon_runtime::{http, os_sentence};
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

use super::{OpenError, http::exchange, oauth::Tokens};
use crate::sender::Sender;

/// Sends push messages through one Firebase project.
pub struct FcmSender {
    client: reqwest::Client,
    requests: FcmRequests,
    tokens: Tokens,
    timeout: Duration,
    clock: SharedClock,
}

impl FcmSender {
    /// Reads the service account's key.
    pub fn new(config: &FcmConfig, clock: SharedClock) -> Result<Self, OpenError> {
        let account = service_account(config)?;
        let tokens = TokenRequests::new(account.clone()).map_err(|fault| placed(config, fault))?;
        let client = http::client(&http::ClientOptions {
            request_timeout: config.request_timeout,
            ..http::ClientOptions::default()
        })?;
        Ok(Self {
            requests: FcmRequests::new(config, &account)?,
            tokens: Tokens::new(tokens, client.clone(), clock.clone()),
            client,
            timeout: config.request_timeout,
            clock,
        })
    }

    /// Sends one request, after fetching a token if necessary; both end by the deadline.
    async fn attempt(
        &self,
        push: &Push<'_>,
        renew: bool,
        deadline: Instant,
    ) -> Result<ProviderResponse, SendOutcome> {
        let late = |code| {
            SendOutcome::Retry(Refusal::new(
                Scope::Connection,
                code,
                "no token could be fetched in time",
            ))
        };
        let authorization = tokio::time::timeout_at(deadline, self.tokens.get(renew))
            .await
            .map_err(|_| late("oauth-unreachable"))??;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late("timeout"));
        }
        let now = self.clock.now();
        let request = self
            .requests
            .build(push, authorization, now)
            .map_err(SendOutcome::Terminal)?;
        Ok(exchange(&self.client, request, Some(left), now).await?)
    }
}

/// Reads the service account's key, from its file if it has one.
fn service_account(config: &FcmConfig) -> Result<ServiceAccount, SettingError> {
    let account = match config.key()? {
        ServiceAccountKey::Content(json) => ServiceAccount::parse(json.expose_secret()),
        ServiceAccountKey::File(path) => {
            let json = std::fs::read_to_string(path).map_err(|error| {
                let text = format!("{}: {}", path.display(), os_sentence(&error));
                SettingError::new("service_account_path", text)
            })?;
            ServiceAccount::parse(&json)
        }
    };
    account.map_err(|fault| placed(config, fault))
}

/// A fault of the service account's key, with the file in which it stands.
fn placed(config: &FcmConfig, fault: SettingError) -> SettingError {
    match &config.service_account_path {
        Some(path) => {
            let text = format!("{} in the file {}", fault.expected, path.display());
            SettingError::new("service_account_path", text)
        }
        None => fault,
    }
}

#[async_trait]
impl Sender for FcmSender {
    async fn send(&self, message: &OutgoingMessage) -> SendOutcome {
        let push = match Push::of(message) {
            Ok(push) => push,
            Err(refusal) => return SendOutcome::Terminal(refusal),
        };
        let deadline = Instant::now() + self.timeout;
        let first = match self.attempt(&push, false, deadline).await {
            Ok(answer) => answer,
            Err(outcome) => return outcome,
        };
        if !is_unauthenticated(&first) {
            return classify(&first);
        }
        // The token may have been revoked early, so one more try is made with a new one.
        match self.attempt(&push, true, deadline).await {
            Ok(answer) => classify(&answer),
            Err(outcome) => outcome,
        }
    }
}
