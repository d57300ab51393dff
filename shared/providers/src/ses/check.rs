//! The check of an account's settings.

use std::{num::NonZeroU32, time::Duration};

use carillon_domain::Channel;

use super::{SnsReceipts, config::SesConfig, request::SesRequests};
use crate::{
    receipt::Receipts,
    setting::{ProviderSettings, SettingError},
};

impl ProviderSettings for SesConfig {
    const CHANNEL: Channel = Channel::Email;

    fn longest_call(&self) -> Duration {
        self.request_timeout
    }

    fn rate_per_second(&self) -> Option<NonZeroU32> {
        self.rate_per_second
    }

    fn check(&self, _: &str) -> Result<(), SettingError> {
        SesRequests::new(self).map(drop)
    }

    fn receipts(&self, _: &str) -> Result<Receipts, SettingError> {
        match &self.receipts_topic {
            Some(topic) => Ok(Receipts::Sns(Box::new(SnsReceipts::new(topic, self)?))),
            None => Ok(Receipts::None(Some("receipts_topic"))),
        }
    }
}
