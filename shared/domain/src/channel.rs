//! Channels, priorities, and the lanes of priorities.

mod by_channel;

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumIter, EnumString, IntoStaticStr};

pub(crate) use self::by_channel::{ByChannel, by_channel};

/// The way in which a message reaches its recipient.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumIter,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Channel {
    /// FCM or APNs, to a device.
    Push,
    /// SES, SendGrid or SMTP.
    Email,
    /// Twilio.
    Sms,
    /// A signed request to an endpoint (Standard Webhooks).
    Webhook,
}

impl Channel {
    /// All channels, in a fixed order.
    pub const ALL: [Self; 4] = [Self::Push, Self::Email, Self::Sms, Self::Webhook];

    /// The names of all channels as the end of a sentence: `push, email or sms`, with the last one after "or".
    #[must_use]
    pub fn names() -> String {
        let names = Self::ALL.map(Self::as_str);
        match names.split_last() {
            Some((last, first)) => format!("{} or {last}", first.join(", ")),
            None => String::new(),
        }
    }

    /// The channel's name on the wire, in topics and in SQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The urgency of an event.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Default,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumIter,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Priority {
    /// Urgent messages, such as one-time passwords.
    High,
    /// All other messages.
    #[default]
    Normal,
    /// Campaigns.
    Bulk,
}

/// The lane of a [`Priority`], with topics, consumers and concurrency of its own.
pub type Lane = Priority;

impl Priority {
    /// All lanes, most urgent first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Bulk];

    /// The priority's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The suffix of the lane's topics: `.high`, none, `.bulk`.
    #[must_use]
    pub fn topic_suffix(self) -> &'static str {
        match self {
            Self::High => ".high",
            Self::Normal => "",
            Self::Bulk => ".bulk",
        }
    }
}
