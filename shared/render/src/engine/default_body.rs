//! The body of a webhook without a template: the event, in the form that Standard Webhooks recommends
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>, "Payload structure").

use std::sync::Arc;

use carillon_domain::{Content, Timestamp, status::TemplateRef};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{RenderError, RenderRequest, Rendered};

/// The version of the body in statuses. Versions of templates begin at 1.
const VERSION: u32 = 0;

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    event_type: &'a str,
    id: &'a str,
    source: &'a str,
    /// The time at which the event happened.
    timestamp: Timestamp,
    /// The event's data, unchanged.
    data: &'a RawValue,
}

/// The event as the body of a request. `locale` is that of the reader, on which the body does not depend.
pub(super) fn rendered(request: &RenderRequest, locale: &Arc<str>) -> Result<Rendered, RenderError> {
    let id = format!("{}/{}", request.event_type, request.channel);
    let body = Body {
        event_type: &request.event_type,
        id: request.context.event_id.as_str(),
        source: &request.context.source,
        timestamp: request.context.time,
        data: &request.context.data,
    };
    match serde_json::to_string(&body) {
        Ok(body) => Ok(Rendered {
            template: TemplateRef {
                id: id.into(),
                version: VERSION,
                locale: Arc::clone(locale),
            },
            content: Content::Webhook { body },
        }),
        Err(error) => Err(RenderError::Invalid {
            template: id,
            detail: format!("expected an event that can be written as JSON, which this one is not: {error}"),
            pointer: "/data".into(),
        }),
    }
}
