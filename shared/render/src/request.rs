//! What is asked of a renderer, and what it answers.

use std::{collections::BTreeMap, sync::Arc};

use carillon_domain::{
    Channel, Delivery, DeliveryId, EventId, TenantId, Timestamp, UserId, status::TemplateRef,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One message to render.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RenderRequest {
    /// Whose templates.
    pub tenant: TenantId,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: Arc<str>,
    /// For which channel.
    pub channel: Channel,
    /// The recipient's locale, BCP 47; the default locale serves those who have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<Arc<str>>,
    /// The recipient's timezone, IANA; UTC without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<Arc<str>>,
    /// What the template can use.
    pub context: RenderContext,
}

/// What a template can use: `data`'s fields at the top level, and `event`, `delivery`, `user`, `locale`, `timezone`,
/// `unsubscribe_url` and `data` itself, which come before fields of these names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RenderContext {
    /// The event's id.
    pub event_id: EventId,
    /// The event's source.
    pub source: Arc<str>,
    /// When the event happened.
    pub time: Timestamp,
    /// The event's payload, a JSON object.
    pub data: Arc<RawValue>,
    /// The delivery that the message is for; a preview has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<DeliveryId>,
    /// The recipient, if they are a known user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// Where the recipient can unsubscribe, if the category lets them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsubscribe_url: Option<Arc<str>>,
}

impl From<&Delivery> for RenderRequest {
    fn from(delivery: &Delivery) -> Self {
        Self {
            tenant: delivery.tenant.clone(),
            event_type: Arc::clone(&delivery.event_type),
            channel: delivery.channel,
            locale: delivery.locale.clone(),
            timezone: delivery.timezone.clone(),
            context: RenderContext {
                event_id: delivery.event_id.clone(),
                source: Arc::clone(&delivery.source),
                time: delivery.event_time,
                data: Arc::clone(&delivery.data),
                delivery_id: Some(delivery.delivery_id),
                user_id: delivery.user_id.clone(),
                unsubscribe_url: None,
            },
        }
    }
}

/// A rendered message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    /// From which template, in which locale.
    pub template: TemplateRef,
    /// What is sent.
    pub content: Content,
}

/// What is sent, by channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "channel", rename_all = "lowercase")]
pub enum Content {
    /// An e-mail.
    Email {
        /// One line.
        subject: String,
        /// The plain text alternative.
        text: String,
        /// The HTML, if the template has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        html: Option<String>,
    },
    /// A text message.
    Sms {
        /// The message; how many segments it takes, [`crate::limits::segments`] tells.
        text: String,
    },
    /// A notification on a device.
    Push {
        /// One line.
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
}

impl Content {
    /// The channel that carries it.
    #[must_use]
    pub fn channel(&self) -> Channel {
        match self {
            Self::Email { .. } => Channel::Email,
            Self::Sms { .. } => Channel::Sms,
            Self::Push { .. } => Channel::Push,
        }
    }
}
