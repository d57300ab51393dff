//! Amazon SES's API v2 over HTTP.

use async_trait::async_trait;
use carillon_domain::clock::SharedClock;
use carillon_providers::{
    OutgoingMessage, SendOutcome, SesConfig,
    ses::{SesRequests, classify},
};
use carillon_runtime::http;

use super::{OpenError, http::exchange};
use crate::sender::Sender;

/// Sends mails through one account of Amazon SES.
pub struct SesSender {
    client: reqwest::Client,
    requests: SesRequests,
    clock: SharedClock,
}

impl SesSender {
    /// Checks the configuration; nothing is connected yet.
    pub fn new(config: &SesConfig, clock: SharedClock) -> Result<Self, OpenError> {
        Ok(Self {
            requests: SesRequests::new(config)?,
            client: http::client(&http::ClientOptions {
                request_timeout: config.request_timeout,
                ..http::ClientOptions::default()
            })?,
            clock,
        })
    }
}

#[async_trait]
impl Sender for SesSender {
    async fn send(&self, message: &OutgoingMessage) -> SendOutcome {
        let now = self.clock.now();
        let request = match self.requests.build(message, now) {
            Ok(request) => request,
            Err(refusal) => return SendOutcome::Terminal(refusal),
        };
        match exchange(&self.client, request, None, now).await {
            Ok(answer) => classify(&answer),
            Err(why) => why.into(),
        }
    }
}
