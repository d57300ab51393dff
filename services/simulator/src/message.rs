//! Messages as their receivers got them, and filters for them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The provider in whose wire format a message arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Firebase Cloud Messaging, HTTP v1.
    Fcm,
    /// Twilio Messages.
    Twilio,
    /// SMTP submission.
    Smtp,
    /// SendGrid's v3 API.
    SendGrid,
    /// Amazon SES, API v2.
    Ses,
    /// Apple Push Notification service.
    Apns,
    /// Endpoints of webhooks (Standard Webhooks).
    Webhook,
}

impl Provider {
    /// All providers.
    pub const ALL: [Self; 7] = [
        Self::Fcm,
        Self::Apns,
        Self::Twilio,
        Self::Smtp,
        Self::SendGrid,
        Self::Ses,
        Self::Webhook,
    ];

    /// The name used in the API and in fault scripts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fcm => "fcm",
            Self::Apns => "apns",
            Self::Webhook => "webhook",
            Self::Twilio => "twilio",
            Self::Smtp => "smtp",
            Self::SendGrid => "sendgrid",
            Self::Ses => "ses",
        }
    }

    /// The provider of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == name)
    }

    /// The channel that this provider serves.
    pub fn channel(self) -> Channel {
        match self {
            Self::Fcm | Self::Apns => Channel::Push,
            Self::Twilio => Channel::Sms,
            Self::Webhook => Channel::Webhook,
            Self::Smtp | Self::SendGrid | Self::Ses => Channel::Email,
        }
    }
}

/// The channel of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// A notification on a device.
    Push,
    /// An e-mail.
    Email,
    /// A text message.
    Sms,
    /// A request to an endpoint.
    Webhook,
}

impl Channel {
    /// All channels.
    pub const ALL: [Self; 4] = [Self::Push, Self::Email, Self::Sms, Self::Webhook];

    /// The name used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Email => "email",
            Self::Sms => "sms",
            Self::Webhook => "webhook",
        }
    }

    /// The channel of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.as_str() == name)
    }
}

/// One message for one receiver, decoded from its wire format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The provider whose format it had.
    pub provider: Provider,
    /// The channel.
    pub channel: Channel,
    /// The receiver: a device token, a phone number, an e-mail address, or the path of an endpoint.
    pub to: String,
    /// Carillon's delivery id, if the sender put it in (see the crate's documentation).
    pub delivery_id: Option<String>,
    /// Carillon's event id, if the sender put it in.
    pub event_id: Option<String>,
    /// An e-mail's subject or a push message's title.
    pub subject: Option<String>,
    /// The plain text: an e-mail's text part, the body of a push or text message or of a webhook.
    pub text: Option<String>,
    /// An e-mail's HTML part, as sent.
    pub html: Option<String>,
    /// The rest of the content: `message.data` of FCM, the other form fields of Twilio, the envelope of SMTP, sender, custom
    /// arguments and categories of SendGrid, tags and configuration set of SES, the fields of a webhook's body.
    pub data: serde_json::Map<String, serde_json::Value>,
    /// Header lines of an e-mail (unfolded, names as sent, repeated ones joined by a comma); FCM's project and
    /// platform sections; empty for Twilio.
    pub headers: BTreeMap<String, String>,
    /// The time of receipt, in whole microseconds.
    pub received_at: DateTime<Utc>,
    /// The id in the provider's answer.
    pub provider_message_id: String,
}

impl Message {
    /// The value of a header; the case of its name does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// A text value of `data`.
    pub fn datum(&self, key: &str) -> Option<&str> {
        self.data.get(key).and_then(serde_json::Value::as_str)
    }
}

/// Conditions on messages; `None` matches all.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    /// The delivery id.
    pub delivery_id: Option<String>,
    /// The event id.
    pub event_id: Option<String>,
    /// The provider.
    pub provider: Option<Provider>,
    /// The channel.
    pub channel: Option<Channel>,
    /// The exact receiver; the case of letters does not matter.
    pub to: Option<String>,
    /// A text that the receiver contains; the case of ASCII letters does not matter.
    pub to_contains: Option<String>,
    /// The provider's id of the message.
    pub provider_message_id: Option<String>,
    /// Earliest time of receipt.
    pub received_from: Option<DateTime<Utc>>,
    /// Time of receipt before this.
    pub received_before: Option<DateTime<Utc>>,
    /// Position after the messages (see [`StoredMessage::place`]): only older messages match.
    pub older_than: Option<i64>,
    /// The most messages, newest first; `None` means all that are stored.
    pub limit: Option<u32>,
}

impl MessageFilter {
    /// The messages of one delivery.
    pub fn delivery(id: impl Into<String>) -> Self {
        Self {
            delivery_id: Some(id.into()),
            ..Self::default()
        }
    }

    /// The messages to one receiver.
    pub fn to(receiver: impl Into<String>) -> Self {
        Self {
            to: Some(receiver.into()),
            ..Self::default()
        }
    }
}

/// A message in the memory.
#[derive(Debug, Clone)]
pub struct StoredMessage {
    /// Its position in the order of arrival; positions are never reused.
    pub place: i64,
    /// The number of times that its delivery was received; 0 if it names no delivery.
    pub copies: u64,
    /// The message.
    pub message: Message,
}

/// A delivery that was received more than once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duplicate {
    /// Carillon's delivery id.
    pub delivery_id: String,
    /// The number of times that it was received.
    pub count: u64,
}

/// Counts since the memory was last cleared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Messages received by provider, including those that are no longer stored.
    pub received: BTreeMap<Provider, u64>,
    /// Messages that are stored.
    pub kept: u64,
    /// Distinct delivery ids received.
    pub delivery_ids: u64,
    /// Delivery ids that were received more than once.
    pub duplicated_delivery_ids: u64,
}
