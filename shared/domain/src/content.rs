//! The content of a rendered message.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::channel::Channel;

/// The content of a message, by channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "channel", rename_all = "lowercase")]
pub enum Content {
    /// An e-mail.
    Email {
        /// The subject, a single line.
        subject: String,
        /// The plain text alternative.
        text: String,
        /// The HTML, if the template has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        html: Option<String>,
    },
    /// A text message.
    Sms {
        /// The message.
        text: String,
    },
    /// A notification on a device.
    Push {
        /// The title, a single line.
        title: String,
        /// The message.
        body: String,
        /// Values for the app, such as a deep link.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        data: BTreeMap<String, String>,
        /// The key of messages that replace one another on the device, if the template has the part `collapse`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        collapse: Option<String>,
    },
    /// The body of a request to an endpoint.
    Webhook {
        /// JSON, as it is sent and signed.
        body: String,
    },
}

impl Content {
    /// The channel of the content.
    #[must_use]
    pub fn channel(&self) -> Channel {
        match self {
            Self::Email { .. } => Channel::Email,
            Self::Sms { .. } => Channel::Sms,
            Self::Push { .. } => Channel::Push,
            Self::Webhook { .. } => Channel::Webhook,
        }
    }
}
