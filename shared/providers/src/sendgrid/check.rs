//! The check of an account's settings.

use std::{num::NonZeroU32, time::Duration};

use carillon_domain::Channel;

use super::{config::SendGridConfig, request::SendGridRequests};
use crate::setting::{ProviderSettings, SettingError};

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
}
