//! The messages of a simulation, rendered as a worker would render them.

use std::{collections::HashMap, sync::Arc};

use carillon_domain::{
    Content, Delivery, DeliveryId, Event,
    decide::Decisions,
    mask::{Mask, mask_addresses},
    status::TemplateRef,
};
use carillon_render::{RenderError, RenderRequest, Rendered};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{privacy::Sight, state::GatewayState};

/// The most messages that are rendered. The decisions about further recipients have none.
const MAX_MESSAGES: usize = 100;

/// A message that would be sent.
#[derive(Debug, Serialize)]
pub(crate) struct MessageDocument {
    /// The template and its locale; null if the message cannot be rendered.
    template: Option<TemplateRef>,
    /// The content; null if the message cannot be rendered.
    content: Option<Content>,
    /// Why the message cannot be rendered; null if it can.
    error: Option<MessageFault>,
}

/// Why a message cannot be rendered.
#[derive(Debug, Serialize)]
struct MessageFault {
    code: &'static str,
    detail: String,
}

/// The messages by delivery.
#[derive(Debug, Default)]
pub(super) struct Messages {
    pub(super) of: HashMap<DeliveryId, MessageDocument>,
    /// The number of messages that were not rendered, because there are too many.
    pub(super) left_out: usize,
}

/// Renders the messages of the deliveries that would result, from masked data unless hidden values are revealed.
pub(super) async fn render(
    state: &GatewayState,
    sight: Sight,
    mut masks: impl Iterator<Item = Mask>,
    event: &Event,
    decisions: &Decisions,
) -> Messages {
    let Some(renderer) = &state.renderer else {
        return Messages::default();
    };
    let shown = decisions.deliveries.iter().take(MAX_MESSAGES);
    let left_out = decisions.deliveries.len() - shown.len();
    let data: Option<Arc<RawValue>> = if sight.is_revealed() {
        Some(Arc::clone(&event.data))
    } else {
        masks.try_fold(Arc::clone(&event.data), |data, mask| {
            mask.data(data.get()).map(Arc::from)
        })
    };
    let real = |delivery: &Delivery| RenderRequest::from(delivery);
    let results = match &data {
        Some(data) => {
            let masked = |delivery: &Delivery| {
                let mut request = RenderRequest::from(delivery);
                request.context.data = Arc::clone(data);
                request
            };
            renderer.render(shown.clone().map(masked).collect()).await
        }
        None => Vec::new(),
    };
    let is_masked = data.is_none_or(|data| data.get() != event.data.get());
    // A message that masked values have broken is rendered with the real ones, to tell whether it can be sent.
    let broken: Vec<&Delivery> = if is_masked {
        let fails = |index: usize| results.get(index).is_none_or(Result::is_err);
        let numbered = shown.clone().enumerate();
        numbered
            .filter(|(index, _)| fails(*index))
            .map(|(_, delivery)| delivery)
            .collect()
    } else {
        Vec::new()
    };
    let again = broken.iter().map(|delivery| real(delivery)).collect();
    let again = renderer.render(again).await;
    let mut of: HashMap<DeliveryId, MessageDocument> = shown
        .zip(results)
        .map(|(delivery, result)| (delivery.delivery_id, MessageDocument::of(result)))
        .collect();
    for (delivery, result) in broken.into_iter().zip(again) {
        let message = result.map_or_else(MessageDocument::failed, |_| MessageDocument::hidden());
        of.insert(delivery.delivery_id, message);
    }
    Messages { of, left_out }
}

impl MessageDocument {
    fn of(rendered: Result<Rendered, RenderError>) -> Self {
        match rendered {
            Ok(rendered) => Self {
                template: Some(rendered.template),
                content: Some(rendered.content),
                error: None,
            },
            Err(error) => Self::failed(error),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "used as a function of an error")]
    fn failed(error: RenderError) -> Self {
        Self::without(error.code(), mask_addresses(&error.to_string()).into_owned())
    }

    /// A message that can be sent and cannot be shown.
    fn hidden() -> Self {
        let detail = "the message can be sent, but it cannot be rendered with its hidden values masked";
        Self::without("masked", detail.to_owned())
    }

    fn without(code: &'static str, detail: String) -> Self {
        Self {
            template: None,
            content: None,
            error: Some(MessageFault { code, detail }),
        }
    }
}
