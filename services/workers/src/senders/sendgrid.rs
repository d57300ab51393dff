//! SendGrid's v3 API over HTTP.

use async_trait::async_trait;
use carillon_domain::clock::SharedClock;
use carillon_providers::{
    OutgoingMessage, SendGridConfig, SendOutcome,
    sendgrid::{SendGridRequests, classify},
};
use carillon_runtime::http;

use super::{OpenError, http::exchange};
use crate::sender::Sender;

/// Sends mails through one SendGrid account.
pub struct SendGridSender {
    client: reqwest::Client,
    requests: SendGridRequests,
    clock: SharedClock,
}

impl SendGridSender {
    /// Checks the configuration; nothing is connected yet.
    pub fn new(config: &SendGridConfig, clock: SharedClock) -> Result<Self, OpenError> {
        Ok(Self {
            requests: SendGridRequests::new(config)?,
            client: http::client(&http::ClientOptions {
                request_timeout: config.request_timeout,
                ..http::ClientOptions::default()
            })?,
            clock,
        })
    }
}

#[async_trait]
impl Sender for SendGridSender {
    async fn send(&self, message: &OutgoingMessage) -> SendOutcome {
        let request = match self.requests.build(message) {
            Ok(request) => request,
            Err(refusal) => return SendOutcome::Terminal(refusal),
        };
        let sent_at = self.clock.now();
        match exchange(&self.client, request, None, sent_at).await {
            Ok(answer) => classify(&answer, self.clock.now()),
            Err(why) => why.into(),
        }
    }
}
