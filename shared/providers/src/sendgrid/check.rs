//! The check of an account's settings.

use std::{num::NonZeroU32, time::Duration};

use carillon_domain::Channel;

use super::{config::SendGridConfig, request::SendGridRequests, signature::SendGridReceipts};
use crate::{
    receipt::Receipts,
    setting::{ProviderSettings, SettingError},
};

impl ProviderSettings for SendGridConfig {
    const CHANNEL: Channel = Channel::Email;

    fn longest_call(&self) -> Duration {
        self.request_timeout
    }

    fn rate_per_second(&self) -> Option<NonZeroU32> {
        self.rate_per_second
    }

    fn check(&self, _: &str) -> Result<(), SettingError> {
        SendGridRequests::new(self).map(drop)
    }

    fn receipts(&self, _: &str) -> Result<Receipts, SettingError> {
        let keys = [&self.webhook_key, &self.secondary_webhook_key];
        Ok(if keys.iter().all(|key| key.is_none()) {
            Receipts::None(Some("webhook_key"))
        } else {
            Receipts::Signed(Box::new(SendGridReceipts::new(keys.into_iter().flatten())))
        })
    }
}
