//! Common parts of the tests of rendering.

use std::sync::Arc;

use carillon_domain::{Channel, TenantId};
use carillon_render::{RenderContext, RenderRequest};
use serde_json::value::RawValue;

/// A message of the type `A` with this data, to a reader without locale and timezone.
pub(crate) fn request(channel: Channel, json: &str) -> RenderRequest {
    RenderRequest {
        tenant: TenantId::default(),
        event_type: "A".into(),
        channel,
        locale: None,
        timezone: None,
        context: RenderContext {
            event_id: "e-1".into(),
            source: "/shop".into(),
            time: "2026-11-24T10:00:00Z".parse().unwrap(),
            data: Arc::from(RawValue::from_string(json.to_owned()).unwrap()),
            delivery_id: None,
            user_id: None,
            unsubscribe_url: None,
        },
    }
}
