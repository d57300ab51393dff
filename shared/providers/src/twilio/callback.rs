//! The URL to which Twilio reports the fate of a message.

use url::Url;

use super::{TwilioConfig, receipt::REFERENCE};
use crate::{message::OutgoingMessage, setting::SettingError};

/// The fragment by which Twilio repeats a callback up to five times until it is answered 2xx; without it, Twilio
/// repeats none (<https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides>).
pub(super) const RETRIES: &str = "#rc=5&rp=all";

/// The URL of an account's callbacks; `None` if Carillon's public URL is not set. `account` is the account's name in the
/// configuration.
pub(super) fn callback_url(account: &str, config: &TwilioConfig) -> Result<Option<Url>, SettingError> {
    let public_url = config.callback_url.as_ref();
    let url = public_url.map(|url| url.join("callback_url", &format!("/v1/receipts/{account}")));
    url.transpose()
}

/// The URL for one message. Carillon reads only the signed reference. The ids of delivery and event are for people who
/// read the URL.
pub(super) fn url_of(callbacks: &Url, message: &OutgoingMessage) -> Url {
    let mut url = callbacks.clone();
    url.query_pairs_mut()
        .append_pair("delivery_id", &message.delivery_id.to_string())
        .append_pair("event_id", message.event_id.as_str())
        .append_pair(REFERENCE, &message.reference());
    url.set_fragment(Some(&RETRIES[1..]));
    url
}
