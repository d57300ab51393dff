//! The check of an account's settings.

use std::{num::NonZeroU32, time::Duration};

use carillon_domain::Channel;

use super::{
    callback::callback_url, config::TwilioConfig, request::TwilioRequests, signature::TwilioReceipts,
};
use crate::{
    receipt::Receipts,
    setting::{ProviderSettings, SettingError},
};

impl ProviderSettings for TwilioConfig {
    const CHANNEL: Channel = Channel::Sms;

    fn longest_call(&self) -> Duration {
        self.request_timeout
    }

    fn rate_per_second(&self) -> Option<NonZeroU32> {
        self.rate_per_second
    }

    fn check(&self, account: &str) -> Result<(), SettingError> {
        TwilioRequests::new(account, self).map(drop)
    }

    fn receipts(&self, account: &str) -> Result<Receipts, SettingError> {
        Ok(match callback_url(account, self)? {
            Some(url) => Receipts::Signed(Box::new(TwilioReceipts::new(&url, self))),
            None => Receipts::None(Some("callback_url")),
        })
    }
}
