//! The senders, one for each kind of provider.

mod fcm;
mod http;
mod oauth;
mod smtp;
mod twilio;

use std::sync::Arc;

use carillon_domain::{Channel, clock::SharedClock};
use carillon_providers::SettingError;

pub use fcm::FcmSender;
pub use smtp::SmtpSender;
pub use twilio::TwilioSender;

use crate::{account::Account, config::ProvidersConfig};

/// Why a sender cannot be made of an account's settings.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting is missing or wrong.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be built")]
    Client(#[from] reqwest::Error),
}

/// Why an account cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// A setting is missing or wrong.
    #[error("providers.{account}.{fault}")]
    Setting {
        /// The account's name.
        account: String,
        /// The setting.
        fault: SettingError,
    },
    /// The HTTP client cannot be built.
    #[error("providers.{account}: the HTTP client cannot be built")]
    Client {
        /// The account's name.
        account: String,
        /// The client's error.
        source: reqwest::Error,
    },
}

impl OpenError {
    fn of(self, account: &str) -> AccountError {
        let account = account.to_owned();
        match self {
            Self::Setting(fault) => AccountError::Setting { account, fault },
            Self::Client(source) => AccountError::Client { account, source },
        }
    }
}

/// The accounts of a channel, first choice first.
pub fn accounts(
    config: &ProvidersConfig,
    channel: Channel,
    clock: &SharedClock,
) -> Result<Vec<Arc<Account>>, AccountError> {
    let clock = Arc::clone(clock);
    Ok(match channel {
        Channel::Push => match &config.fcm {
            Some(fcm) => {
                let sender = FcmSender::new(fcm, clock).map_err(|error| error.of("fcm"))?;
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
                let sender =
                    TwilioSender::new("twilio", twilio, clock).map_err(|error| error.of("twilio"))?;
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
                let sender =
                    SmtpSender::new(smtp, clock).map_err(|error| OpenError::from(error).of("smtp"))?;
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
