//! Twilio's Messages API over HTTP.

use async_trait::async_trait;
use carillon_domain::clock::SharedClock;
use carillon_providers::{
    OutgoingMessage, SendOutcome, TwilioConfig,
    twilio::{TwilioRequests, classify},
};
use carillon_runtime::http;

use super::{OpenError, http::exchange};
use crate::sender::Sender;

/// Sends text messages through one Twilio account.
pub struct TwilioSender {
    client: reqwest::Client,
    requests: TwilioRequests,
    clock: SharedClock,
}

impl TwilioSender {
    /// Checks the configuration. `account` is the account's name in the configuration, to which callbacks are sent.
    pub fn new(account: &str, config: &TwilioConfig, clock: SharedClock) -> Result<Self, OpenError> {
        Ok(Self {
            requests: TwilioRequests::new(account, config)?,
            client: http::client(&http::ClientOptions {
                request_timeout: config.request_timeout,
                ..http::ClientOptions::default()
            })?,
            clock,
        })
    }
}

#[async_trait]
impl Sender for TwilioSender {
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
