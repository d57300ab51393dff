//! Twilio's Messages API.

use async_trait::async_trait;
use carillon_domain::clock::SharedClock;
use carillon_render::Content;
use carillon_runtime::{Secret, http};
use secrecy::ExposeSecret as _;

use super::{ProviderConfigError, http::exchange, twilio_answer::classify};
use crate::{
    config::TwilioConfig,
    outcome::{Refusal, Scope, SendOutcome},
    sender::{OutgoingMessage, Sender},
};

/// Sends text messages through one Twilio account.
pub struct TwilioSender {
    client: reqwest::Client,
    url: String,
    account_sid: String,
    auth_token: Secret,
    /// `From` or `MessagingServiceSid`, and its value.
    origin: (&'static str, String),
    callback_url: Option<String>,
    clock: SharedClock,
}

impl TwilioSender {
    /// Checks the configuration.
    pub fn new(config: &TwilioConfig, clock: SharedClock) -> Result<Self, ProviderConfigError> {
        let missing = |key, expected: &str| ProviderConfigError::value(key, expected);
        let auth_token = config
            .auth_token
            .clone()
            .ok_or_else(|| missing("twilio.auth_token", "expected a token"))?;
        let origin = match (&config.messaging_service_sid, &config.from) {
            (Some(service), None) => ("MessagingServiceSid", service.clone()),
            (None, Some(number)) => ("From", number.clone()),
            _ => {
                return Err(missing(
                    "twilio.from",
                    "expected either from or messaging_service_sid",
                ));
            }
        };
        let base = config.base_url.trim_end_matches('/');
        Ok(Self {
            client: http::client(&http::ClientOptions {
                request_timeout: config.request_timeout,
                ..http::ClientOptions::default()
            })?,
            url: format!("{base}/2010-04-01/Accounts/{}/Messages.json", config.account_sid),
            account_sid: config.account_sid.clone(),
            auth_token,
            origin,
            callback_url: config.callback_url.clone(),
            clock,
        })
    }

    fn form(&self, message: &OutgoingMessage, text: &str) -> Vec<(&'static str, String)> {
        let mut form = vec![
            ("To", message.to.clone()),
            (self.origin.0, self.origin.1.clone()),
            ("Body", text.to_owned()),
        ];
        if let Some(base) = &self.callback_url {
            let base = base.trim_end_matches('/');
            let query = [
                ("delivery_id", message.delivery_id.to_string()),
                ("event_id", message.event_id.to_string()),
            ];
            if let Ok(url) = reqwest::Url::parse_with_params(&format!("{base}/v1/receipts/twilio"), query) {
                form.push(("StatusCallback", url.into()));
            }
        }
        if let Some(expires_at) = message.expires_at {
            // Twilio takes 1 to 36,000 seconds.
            let seconds = (expires_at - self.clock.now()).num_seconds().clamp(1, 36_000);
            form.push(("ValidityPeriod", seconds.to_string()));
        }
        form
    }
}

#[async_trait]
impl Sender for TwilioSender {
    async fn send(&self, message: &OutgoingMessage) -> SendOutcome {
        let Content::Sms { text } = &message.content else {
            return SendOutcome::Terminal(Refusal::new(
                Scope::Message,
                "wrong-content",
                "expected a text message",
            ));
        };
        let request = self
            .client
            .post(&self.url)
            .basic_auth(&self.account_sid, Some(self.auth_token.expose_secret()))
            .form(&self.form(message, text));
        match exchange(request, self.clock.now()).await {
            Ok(answer) => classify(&answer),
            Err(outcome) => outcome,
        }
    }
}

impl std::fmt::Debug for TwilioSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TwilioSender")
            .field("account_sid", &self.account_sid)
            .finish_non_exhaustive()
    }
}
