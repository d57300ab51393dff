//! The senders, one for each kind of provider.

mod accepted;
mod apns;
mod fcm;
mod http;
mod oauth;
mod smtp;
mod webhook;

use std::{num::NonZeroU32, sync::Arc};

use carillon_domain::{Channel, clock::SharedClock};
use carillon_providers::{
    AccountsError, ProviderConfig, ProviderKind, ProvidersConfig, SettingError, platforms_served,
    sendgrid::SendGridRequests, ses::SesRequests, twilio::TwilioRequests,
};

pub use self::http::HttpSender;
pub use apns::ApnsSender;
pub use fcm::FcmSender;
pub use smtp::SmtpSender;
pub use webhook::{Lookup, SystemLookup, WebhookSender};

use crate::{account::Account, channels::ChannelsConfig, config::WorkersConfig, sender::Sender};

/// The reason for which a sender cannot be made from an account's settings.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting is missing or wrong.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be built")]
    Client(#[from] reqwest::Error),
}

/// Why the accounts of a channel cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The channel's accounts or their names are wrong.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
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
    providers: &ProvidersConfig,
    channels: &ChannelsConfig,
    workers: &WorkersConfig,
    channel: Channel,
    clock: &SharedClock,
) -> Result<Vec<Arc<Account>>, AccountError> {
    let accounts = channels.accounts(channel, providers)?;
    let kinds: Vec<ProviderKind> = accounts.iter().map(|(_, config)| config.kind()).collect();
    let served = platforms_served(&kinds);
    let opened = accounts.into_iter().zip(served).map(|((name, config), served)| {
        let sender = open(name, config, Arc::clone(clock)).map_err(|error| error.of(name))?;
        let platforms = (channel == Channel::Push).then_some(served);
        let rate = config.rate_per_second().map(NonZeroU32::get);
        let tuning = workers.tuning(name);
        Ok(Account::tuned(name, channel, sender, rate, platforms, tuning))
    });
    opened.collect()
}

/// The mistakes for which accounts of a channel cannot be opened, such as a file that cannot be read.
/// [`ChannelsConfig::validate`] reports mistakes in the order of the accounts.
#[must_use]
pub fn unusable_accounts(
    providers: &ProvidersConfig,
    channels: &ChannelsConfig,
    channel: Channel,
    clock: &SharedClock,
) -> Vec<AccountError> {
    let accounts = channels.accounts(channel, providers).unwrap_or_default();
    let opened = accounts.into_iter().map(|(name, config)| {
        let opened = open(name, config, Arc::clone(clock));
        opened.err().map(|error| error.of(name))
    });
    opened.flatten().collect()
}

/// The connections to an account: one line for each kind of provider.
fn open(name: &str, config: &ProviderConfig, clock: SharedClock) -> Result<Arc<dyn Sender>, OpenError> {
    let timeout = config.longest_call();
    Ok(match config {
        ProviderConfig::Apns(apns) => Arc::new(ApnsSender::new(name, apns, clock)?),
        ProviderConfig::Fcm(fcm) => Arc::new(FcmSender::new(fcm, clock)?),
        ProviderConfig::SendGrid(sendgrid) => {
            Arc::new(HttpSender::new(SendGridRequests::new(sendgrid)?, timeout, clock)?)
        }
        ProviderConfig::Ses(ses) => Arc::new(HttpSender::new(SesRequests::new(ses)?, timeout, clock)?),
        ProviderConfig::Smtp(smtp) => Arc::new(SmtpSender::new(smtp, clock)?),
        ProviderConfig::Twilio(twilio) => Arc::new(HttpSender::new(
            TwilioRequests::new(name, twilio)?,
            timeout,
            clock,
        )?),
        ProviderConfig::Webhook(webhook) => {
            Arc::new(WebhookSender::new(webhook, Arc::new(SystemLookup), clock)?)
        }
    })
}
