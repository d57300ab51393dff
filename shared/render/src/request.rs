//! The requests to a renderer, and its results.

use std::sync::Arc;

use carillon_domain::{
    Channel, Content, Delivery, DeliveryId, EventId, TenantId, Timestamp, UserId, status::TemplateRef,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A message to render.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RenderRequest {
    /// The tenant of the templates.
    pub tenant: TenantId,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: Arc<str>,
    /// The channel.
    pub channel: Channel,
    /// The recipient's locale, BCP 47; without it, the default locale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<Arc<str>>,
    /// The recipient's timezone, IANA; without it, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<Arc<str>>,
    /// The variables of the template.
    pub context: RenderContext,
}

/// The variables of a template: the fields of `data` at the top level, and `event`, `delivery`, `user`, `locale`,
/// `timezone`, `unsubscribe_url` and `data` itself, which come before fields of these names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RenderContext {
    /// The event's id.
    pub event_id: EventId,
    /// The event's source.
    pub source: Arc<str>,
    /// The time at which the event happened.
    pub time: Timestamp,
    /// The event's payload, a JSON object.
    pub data: Arc<RawValue>,
    /// The delivery of the message; `None` for a preview.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<DeliveryId>,
    /// The recipient's id, if it is a known user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The URL at which the recipient can unsubscribe, if the category allows it.
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
    /// The template and its locale.
    pub template: TemplateRef,
    /// The content of the message.
    pub content: Content,
}
