//! The senders, one for each kind of provider.

mod fcm;
mod fcm_answer;
mod http;
mod oauth;
mod smtp;
mod smtp_answer;
mod smtp_mail;
mod twilio;
mod twilio_answer;

use std::sync::Arc;

use carillon_domain::{Channel, clock::SharedClock};

pub use fcm::FcmSender;
pub use smtp::SmtpSender;
pub use twilio::TwilioSender;

use crate::{account::Account, config::ProvidersConfig};

/// The reason for which an account cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProviderConfigError {
    /// A value is missing or wrong.
    #[error("providers.{key}: {expected}")]
    Value {
        /// The key of the value.
        key: &'static str,
        /// The expected value.
        expected: String,
    },
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be built")]
    Client(#[from] reqwest::Error),
}

impl ProviderConfigError {
    fn value(key: &'static str, expected: impl Into<String>) -> Self {
        Self::Value {
            key,
            expected: expected.into(),
        }
    }
}

/// The accounts of a channel, first choice first.
pub fn accounts(
    config: &ProvidersConfig,
    channel: Channel,
    clock: &SharedClock,
) -> Result<Vec<Arc<Account>>, ProviderConfigError> {
    Ok(match channel {
        Channel::Push => match &config.fcm {
            Some(fcm) => {
                let sender = FcmSender::new(fcm, Arc::clone(clock))?;
                vec![Account::new(
                    "fcm",
                    channel,
                    Arc::new(sender),
                    fcm.rate_per_second,
                )]
            }
            None => Vec::new(),
        },
        Channel::Sms => match &config.twilio {
            Some(twilio) => {
                let sender = TwilioSender::new(twilio, Arc::clone(clock))?;
                vec![Account::new(
                    "twilio",
                    channel,
                    Arc::new(sender),
                    twilio.rate_per_second,
                )]
            }
            None => Vec::new(),
        },
        Channel::Email => match &config.smtp {
            Some(smtp) => {
                let sender = SmtpSender::new(smtp)?;
                vec![Account::new(
                    "smtp",
                    channel,
                    Arc::new(sender),
                    smtp.rate_per_second,
                )]
            }
            None => Vec::new(),
        },
    })
}
