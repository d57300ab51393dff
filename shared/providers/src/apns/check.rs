//! The check of an account's settings.

use std::{num::NonZeroU32, time::Duration};

use carillon_domain::{Channel, Platform};
use secrecy::ExposeSecret as _;

use super::{config::ApnsConfig, request::ApnsRequests, token::ProviderTokens};
use crate::setting::{ProviderSettings, SettingError};

impl ProviderSettings for ApnsConfig {
    const CHANNEL: Channel = Channel::Push;
    const PLATFORMS: &[Platform] = &[Platform::Ios];

    fn longest_call(&self) -> Duration {
        self.request_timeout
    }

    fn rate_per_second(&self) -> Option<NonZeroU32> {
        self.rate_per_second
    }

    fn check(&self, _: &str) -> Result<(), SettingError> {
        ApnsRequests::new(self)?;
        match (&self.key, &self.key_path) {
            (Some(key), None) => ProviderTokens::new(self, key.expose_secret()).map(drop),
            (None, Some(_)) => Ok(()),
            (None, None) => Err(SettingError::new(
                "key_path",
                "expected key_path or key, and neither is set",
            )),
            (Some(_), Some(_)) => Err(SettingError::new(
                "key_path",
                "expected either key_path or key, and both are set",
            )),
        }
    }
}
