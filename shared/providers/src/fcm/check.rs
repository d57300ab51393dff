//! The check of an account's settings.

use std::{num::NonZeroU32, time::Duration};

use carillon_domain::{Channel, Platform};
use secrecy::ExposeSecret as _;

use super::{
    config::{FcmConfig, ServiceAccountKey},
    grant::TokenRequests,
    request::FcmRequests,
    service_account::ServiceAccount,
};
use crate::setting::{ProviderSettings, SettingError};

impl ProviderSettings for FcmConfig {
    const CHANNEL: Channel = Channel::Push;
    const PLATFORMS: &[Platform] = &[Platform::Android, Platform::Web];
    const PLATFORMS_OF_OTHERS: &[Platform] = &[Platform::Ios];

    fn longest_call(&self) -> Duration {
        self.request_timeout
    }

    fn rate_per_second(&self) -> Option<NonZeroU32> {
        self.rate_per_second
    }

    fn check(&self, _: &str) -> Result<(), SettingError> {
        if let ServiceAccountKey::Content(json) = self.key()? {
            let account = ServiceAccount::parse(json.expose_secret())?;
            FcmRequests::new(self, &account)?;
            TokenRequests::new(account)?;
        }
        Ok(())
    }
}
