//! The provider accounts of an installation that take receipts.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc};

use axum::body::Body;
use carillon_domain::{Channel, Timestamp};
use carillon_providers::{Callback, NotGenuine, ProvidersConfig, Receipts, SettingError, SignedReceipts};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter, clock::Clock as _};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    Sns,
    body::{BodyBytes, ReceivedBody},
    bounded::{SOON, limited},
};
use crate::error::ApiError;

/// The most calls of one account in progress at a time: those that are verified and recorded.
const IN_PROGRESS: usize = 32;

/// An account that cannot take receipts.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptAccountsError {
    /// A setting cannot work.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The HTTP client for SNS's certificates cannot be made.
    #[error("the HTTP client for SNS's certificates cannot be made")]
    Client(#[from] reqwest::Error),
}

/// The provider accounts by name.
#[derive(Default)]
pub struct ReceiptAccounts(BTreeMap<String, ReceiptAccount>);

impl ReceiptAccounts {
    /// The accounts of a configuration. `per_second` is the most calls a second of each.
    pub fn new(providers: &ProvidersConfig, per_second: u32) -> Result<Self, ReceiptAccountsError> {
        let accounts = providers.iter().map(|(name, config)| {
            let source = match config.receipts(name)? {
                Receipts::None(missing) => Source::None(missing),
                Receipts::Signed(signed) => Source::Signed(signed),
                Receipts::Sns(receipts) => Source::Sns(Sns::new(receipts)?),
            };
            let account = ReceiptAccount {
                name: Arc::from(name),
                channel: config.kind().channel(),
                source,
                per_second,
                rate: RateLimiter::direct(Quota::per_second(
                    NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN),
                )),
                places: Semaphore::new(IN_PROGRESS),
                bodies: BodyBytes::default(),
            };
            Ok((name.to_owned(), account))
        });
        Ok(Self(accounts.collect::<Result<_, ReceiptAccountsError>>()?))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&ReceiptAccount> {
        self.0.get(name)
    }
}

/// The way in which receipts reach an account.
pub(crate) enum Source {
    /// The account takes no receipts. The value is the missing setting, if there is one.
    None(Option<&'static str>),
    /// Calls are verified by the account's secrets.
    Signed(Box<dyn SignedReceipts>),
    /// Calls come from Amazon SNS.
    Sns(Sns),
}

/// An account.
pub(crate) struct ReceiptAccount {
    pub(crate) name: Arc<str>,
    /// The channel of its messages.
    pub(crate) channel: Channel,
    pub(crate) source: Source,
    per_second: u32,
    rate: DefaultDirectRateLimiter,
    places: Semaphore,
    bodies: BodyBytes,
}

impl ReceiptAccount {
    /// Checks a call before its body is read: its headers must have the form of the provider's. `head` has no body.
    pub(crate) fn check_head(&self, head: &Callback<'_>, now: Timestamp) -> Result<(), NotGenuine> {
        match &self.source {
            Source::None(_) => Ok(()),
            Source::Signed(signed) => signed.check_head(head, now),
            Source::Sns(sns) => sns.check_head(head),
        }
    }

    /// Reads the body of a call.
    pub(crate) async fn read(&self, body: Body) -> Result<ReceivedBody, ApiError> {
        self.bodies.read(body).await
    }

    /// Admits a call whose body has arrived. The permit stands for one call in progress.
    pub(crate) fn admit(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        if let Err(refused) = self.rate.check() {
            let most = self.per_second;
            let text = format!(
                "expected at most {most} calls a second of one account (gateway.receipts_per_second)"
            );
            let wait = refused.wait_time_from(self.rate.clock().now());
            return Err(limited("receipts_per_second", wait, text));
        }
        self.places.try_acquire().map_err(|_| {
            let text = format!("expected at most {IN_PROGRESS} calls of one account in progress");
            limited("receipts_in_progress", SOON, text)
        })
    }
}
