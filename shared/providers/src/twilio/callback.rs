//! The URL to which Twilio reports the fate of a message.

use url::Url;

use crate::{
    message::OutgoingMessage,
    setting::{BaseUrl, SettingError},
};

/// The status callbacks of one account.
pub(super) struct StatusCallback {
    url: Url,
}

impl StatusCallback {
    /// Callbacks to Carillon's public URL. `account` is the account's name in the configuration.
    pub(super) fn new(public_url: &BaseUrl, account: &str) -> Result<Self, SettingError> {
        let url = public_url.join("callback_url", &format!("/v1/receipts/{account}"))?;
        Ok(Self { url })
    }

    /// The URL for one message, which names its delivery and event.
    pub(super) fn url(&self, message: &OutgoingMessage) -> Url {
        let mut url = self.url.clone();
        url.query_pairs_mut()
            .append_pair("delivery_id", &message.delivery_id.to_string())
            .append_pair("event_id", message.event_id.as_str());
        url
    }
}
