//! The check of an account's settings.

use std::{num::NonZeroU32, time::Duration};

use carillon_domain::Channel;

use super::config::WebhookConfig;
use crate::setting::{ProviderSettings, SettingError};

impl ProviderSettings for WebhookConfig {
    const CHANNEL: Channel = Channel::Webhook;

    fn longest_call(&self) -> Duration {
        self.request_timeout
    }

    fn rate_per_second(&self) -> Option<NonZeroU32> {
        self.rate_per_second
    }

    fn check(&self, _: &str) -> Result<(), SettingError> {
        Ok(())
    }

    fn warning(&self) -> Option<SettingError> {
        let wide = self.allowed_networks.widest()?;
        let expected = format!(
            "{wide} includes addresses of this machine or of a cloud's metadata service, which endpoints can then call"
        );
        Some(SettingError::new("allowed_networks", expected))
    }
}
