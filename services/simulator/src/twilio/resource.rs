//! A message as a resource of Twilio's API.

use serde_json::{Value, json};

use super::segments;
use crate::Message;

pub(super) const API_VERSION: &str = "2010-04-01";

/// Keys of [`Message::data`] that hold the other form fields.
pub(super) mod field {
    pub(in crate::twilio) const FROM: &str = "from";
    pub(in crate::twilio) const SERVICE: &str = "messaging_service_sid";
    pub(in crate::twilio) const CALLBACK: &str = "status_callback";
    pub(in crate::twilio) const VALIDITY: &str = "validity_period";
}

/// The resource. A message that was just created has not been sent yet.
pub(super) fn resource(message: &Message, account: &str, just_created: bool) -> Value {
    let created = message
        .received_at
        .format("%a, %d %b %Y %H:%M:%S +0000")
        .to_string();
    let service = message.datum(field::SERVICE);
    let status = match (just_created, service) {
        (true, Some(_)) => "accepted",
        (true, None) => "queued",
        (false, _) => "sent",
    };
    let sid = &message.provider_message_id;
    let path = format!("/{API_VERSION}/Accounts/{account}/Messages/{sid}");
    let text = message.text.as_deref().unwrap_or_default();
    json!({
        "account_sid": account,
        "api_version": API_VERSION,
        "body": text,
        "date_created": created,
        "date_sent": if just_created { None } else { Some(&created) },
        "date_updated": created,
        "direction": "outbound-api",
        "error_code": null,
        "error_message": null,
        "from": message.datum(field::FROM),
        "messaging_service_sid": service,
        "num_media": "0",
        "num_segments": segments::count(text).to_string(),
        "price": null,
        "price_unit": "USD",
        "sid": sid,
        "status": status,
        "subresource_uris": { "media": format!("{path}/Media.json") },
        "tags": null,
        "to": message.to,
        "uri": format!("{path}.json"),
    })
}
