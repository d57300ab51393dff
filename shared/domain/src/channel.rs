//! Channels, priorities and the lanes that keep them apart.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumIter, EnumString, IntoStaticStr};

/// How a notification reaches its recipient.
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
}

impl Channel {
    /// Every channel, in a fixed order.
    pub const ALL: [Self; 3] = [Self::Push, Self::Email, Self::Sms];

    /// The channel's name on the wire, in topics and in SQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How urgent the event source says an event is.
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
    /// One-time passwords and the like.
    High,
    /// Everything else.
    #[default]
    Normal,
    /// Campaigns.
    Bulk,
}

/// The queue a record travels in; one for each [`Priority`], with consumers and concurrency of its own.
pub type Lane = Priority;

impl Priority {
    /// Every lane, most urgent first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Bulk];

    /// The priority's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What the lane adds to a topic's name: `.high`, nothing, `.bulk`.
    #[must_use]
    pub fn topic_suffix(self) -> &'static str {
        match self {
            Self::High => ".high",
            Self::Normal => "",
            Self::Bulk => ".bulk",
        }
    }
}
