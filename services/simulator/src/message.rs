//! A message as its receiver got it, and how to ask for messages.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Whose wire format a message came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Firebase Cloud Messaging, HTTP v1.
    Fcm,
    /// Twilio Messages.
    Twilio,
    /// SMTP submission.
    Smtp,
}

impl Provider {
    /// Every provider that the simulator speaks.
    pub const ALL: [Self; 3] = [Self::Fcm, Self::Twilio, Self::Smtp];

    /// The name used in the API and in fault scripts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fcm => "fcm",
            Self::Twilio => "twilio",
            Self::Smtp => "smtp",
        }
    }

    /// The provider of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == name)
    }

    /// The channel that this provider serves.
    pub fn channel(self) -> Channel {
        match self {
            Self::Fcm => Channel::Push,
            Self::Twilio => Channel::Sms,
            Self::Smtp => Channel::Email,
        }
    }
}

/// How a message reaches somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// A notification on a device.
    Push,
    /// An e-mail.
    Email,
    /// A text message.
    Sms,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 3] = [Self::Push, Self::Email, Self::Sms];

    /// The name used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Email => "email",
            Self::Sms => "sms",
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
    /// Who would have carried it.
    pub provider: Provider,
    /// The channel it came by.
    pub channel: Channel,
    /// The receiver: a device token, a phone number or an e-mail address.
    pub to: String,
    /// Carillon's delivery id, where the sender put it (see the crate's documentation).
    pub delivery_id: Option<String>,
    /// Carillon's event id, likewise.
    pub event_id: Option<String>,
    /// An e-mail's subject or a push message's title.
    pub subject: Option<String>,
    /// The plain text: an e-mail's text part, the body of a push or text message.
    pub text: Option<String>,
    /// An e-mail's HTML part, as sent.
    pub html: Option<String>,
    /// What else belongs to the content: `message.data` of FCM, the other form fields of Twilio, the envelope of SMTP.
    pub data: serde_json::Map<String, serde_json::Value>,
    /// Header lines of an e-mail (unfolded, names as sent, repeated ones joined by a comma); FCM's project and
    /// platform sections; empty for Twilio.
    pub headers: BTreeMap<String, String>,
    /// When it was taken, in whole microseconds.
    pub received_at: DateTime<Utc>,
    /// The id that the provider's answer gave it.
    pub provider_message_id: String,
}

impl Message {
    /// The value of a header, whatever the case of its name.
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

/// Which messages are asked for; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    /// Of this delivery.
    pub delivery_id: Option<String>,
    /// Of this event.
    pub event_id: Option<String>,
    /// By this provider.
    pub provider: Option<Provider>,
    /// By this channel.
    pub channel: Option<Channel>,
    /// To exactly this receiver; the case of letters does not matter.
    pub to: Option<String>,
    /// To a receiver that contains this; the case of ASCII letters does not matter.
    pub to_contains: Option<String>,
    /// Known to the sender under this id.
    pub provider_message_id: Option<String>,
    /// Received at this moment or later.
    pub received_from: Option<DateTime<Utc>>,
    /// Received before this moment.
    pub received_before: Option<DateTime<Utc>>,
    /// Older than the message at this place (see [`StoredMessage::place`]).
    pub older_than: Option<i64>,
    /// At most so many, newest first; `None` means all that are kept.
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
    /// Its place in the order of arrival, never used twice.
    pub place: i64,
    /// How often its delivery was received in all; 0 when it names none.
    pub copies: u64,
    /// The message.
    pub message: Message,
}

/// A delivery that was received more than once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duplicate {
    /// Carillon's delivery id.
    pub delivery_id: String,
    /// How often it was received.
    pub count: u64,
}

/// What has been received since the memory was last cleared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Messages received by each provider, those no longer kept included.
    pub received: BTreeMap<Provider, u64>,
    /// Messages that can still be read.
    pub kept: u64,
    /// Distinct delivery ids received.
    pub delivery_ids: u64,
    /// How many of them were received more than once.
    pub duplicated_delivery_ids: u64,
}
