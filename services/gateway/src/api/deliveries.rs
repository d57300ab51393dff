//! `GET /v1/deliveries` and `GET /v1/deliveries/{id}`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{OriginalUri, State},
};
use carillon_domain::{
    Channel, DeliveryId, DeliveryState, DeliveryStatus, Event, Moment, Recipient, Timestamp, UserId,
    event::Defaults,
};
use carillon_render::{Content, RenderContext, RenderRequest};
use carillon_runtime::http::{Problem, ProblemKind};
use carillon_store::read_model::{DeliveryFilter, DeliveryView, StepView};
use serde::{Deserialize, Serialize};

use super::waiting;
use crate::{
    auth::Caller,
    error::ApiError,
    input::{Given, Id, Listed, Query, page},
    letters,
    openapi::{answers, schemas},
    privacy::{Sight, mask_delivery, mask_of, mask_timeline},
    state::GatewayState,
};

/// The query. Each filter may be repeated; a delivery has to match one of its values.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    status: Vec<DeliveryStatus>,
    channel: Vec<Channel>,
    #[serde(rename = "type")]
    event_type: Vec<String>,
    category: Vec<String>,
    user: Vec<String>,
    provider: Vec<String>,
    code: Vec<String>,
    from: Given<Moment>,
    to: Given<Moment>,
    q: Option<String>,
    limit: Given<u32>,
    cursor: Given<String>,
}

/// Deliveries, newest first.
///
/// `reason` says in a stable word why a delivery has its status: the reason of the decision while it is queued
/// (`allowed`, `critical`, `limit_unknown`), `no_open_account` while no provider account of its channel is open, later the
/// code of its last step, which is `error_code` too; null if that step has none. `detail` says it in a sentence, which may
/// change with a release.
#[utoipa::path(
    get, path = "/v1/deliveries", tag = "deliveries",
    params(
        ("status" = Option<Vec<schemas::StatusName>>, Query, description = "May be repeated, like all filters; one of the values has to match"),
        ("channel" = Option<Vec<schemas::ChannelName>>, Query), ("type" = Option<Vec<String>>, Query),
        ("category" = Option<Vec<String>>, Query), ("user" = Option<Vec<String>>, Query),
        ("provider" = Option<Vec<String>>, Query), ("code" = Option<Vec<String>>, Query),
        ("from" = Option<schemas::MomentText>, Query, description = "Created at or after"),
        ("to" = Option<schemas::MomentText>, Query, description = "Created before"),
        ("q" = Option<String>, Query, description = "Text in ids, user, type, masked address"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, default 50"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$", description = "next_cursor of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = answers::DeliveryPage),
        (status = 422, description = "A filter is wrong", body = Problem),
    )
)]
pub(crate) async fn list_deliveries(
    State(state): State<GatewayState>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<Listed<DeliveryView>>, ApiError> {
    let page = page(asked.limit.0, asked.cursor.0.as_deref())?;
    let filter = DeliveryFilter {
        status: asked.status,
        channel: asked.channel,
        event_type: asked.event_type,
        category: asked.category,
        user: asked.user,
        provider: asked.provider,
        code: asked.code,
        from: asked.from.0.map(|Moment(at)| at),
        to: asked.to.0.map(|Moment(at)| at),
        q: asked.q.filter(|text| !text.trim().is_empty()),
    };
    let mut found = state
        .store
        .read_model()
        .deliveries(caller.tenant(), &filter, page)
        .await?;
    found.items.iter_mut().for_each(mask_delivery);
    waiting::explain(&state, &mut found.items).await?;
    Ok(Json(Listed {
        items: found.items,
        next_cursor: found.next_cursor,
    }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct At {
    #[serde(default)]
    as_of: Given<Moment>,
    #[serde(default)]
    reveal: bool,
}

/// A delivery with its timeline and the content of its message.
#[derive(Debug, Serialize)]
pub(crate) struct DeliveryDocument {
    #[serde(flatten)]
    pub(crate) delivery: DeliveryView,
    pub(crate) timeline: Vec<StepView>,
    /// The content, rendered again from the template and the event; null if that is not possible.
    pub(crate) content: Option<Content>,
    /// Whether sensitive values and addresses are masked.
    pub(crate) masked: bool,
}

/// A delivery with its timeline.
///
/// `reason` is a stable word and `detail` a sentence, as in the list.
#[utoipa::path(
    get, path = "/v1/deliveries/{id}", tag = "deliveries",
    params(("id" = uuid::Uuid, Path, description = "The delivery's id"),
        ("as_of" = Option<schemas::MomentText>, Query, description = "As it was at this time"),
        ("reveal" = Option<bool>, Query, description = "Show masked values; admins only, noted in the audit log")),
    responses(
        (status = 200, description = "The delivery", body = answers::DeliveryDocument),
        (status = 404, description = "The delivery does not exist", body = Problem),
    )
)]
pub(crate) async fn get_delivery(
    State(state): State<GatewayState>,
    caller: Caller,
    Id(id): Id,
    Query(at): Query<At>,
    OriginalUri(uri): OriginalUri,
) -> Result<Json<DeliveryDocument>, ApiError> {
    let sight = Sight::asked(&state, &caller, at.reveal, &uri).await?;
    find(
        &state,
        &caller,
        sight,
        DeliveryId(id),
        at.as_of.0.map(|Moment(at)| at),
    )
    .await
    .map(Json)
}

/// Finds a delivery, in its present state or its state at a time.
pub(crate) async fn find(
    state: &GatewayState,
    caller: &Caller,
    sight: Sight,
    id: DeliveryId,
    as_of: Option<Timestamp>,
) -> Result<DeliveryDocument, ApiError> {
    let model = state.store.read_model();
    let mut delivery = model
        .delivery(caller.tenant(), id)
        .await?
        .ok_or_else(|| ApiError::missing("delivery", id.0))?;
    let mut timeline = model.timeline(id).await?;
    if let Some(as_of) = as_of {
        timeline.retain(|step| step.at <= as_of);
        rewind(&mut delivery, &timeline).ok_or_else(|| {
            let text = format!("the delivery {id} did not exist at {as_of:?} yet");
            ApiError::new(ProblemKind::NotFound, text)
        })?;
    }
    if !sight.is_revealed() {
        mask_delivery(&mut delivery);
        mask_timeline(&mut timeline);
    }
    let content = content(state, caller, sight, &delivery).await;
    let holds = match as_of {
        Some(_) => Vec::new(),
        None => waiting::holds(state, std::slice::from_ref(&delivery)).await?,
    };
    let now = as_of.unwrap_or_else(|| state.clock.now());
    waiting::explain_one(&mut delivery, &holds, now);
    Ok(DeliveryDocument {
        delivery,
        timeline,
        content,
        masked: !sight.is_revealed(),
    })
}

/// The time set for the next attempt, from the step that led to the delivery's present state. Once that attempt has begun,
/// the state comes from another step.
fn due(delivery: &DeliveryView, timeline: &[StepView]) -> Option<Timestamp> {
    let is_current = |step: &&StepView| {
        (step.generation, step.attempt, step.status)
            == (delivery.generation, delivery.attempt, delivery.status)
    };
    timeline
        .iter()
        .filter(is_current)
        .filter_map(|step| step.due_at)
        .max()
}

/// Sets the delivery to the last state of its timeline so far.
fn rewind(delivery: &mut DeliveryView, timeline: &[StepView]) -> Option<()> {
    let state = |step: &StepView| DeliveryState {
        generation: step.generation,
        attempt: step.attempt,
        status: step.status,
    };
    let last = timeline.iter().max_by_key(|step| state(step).precedence())?;
    delivery.status = last.status;
    delivery.attempt = last.attempt;
    delivery.attempts = last.attempts;
    delivery.generation = last.generation;
    delivery.reason.clone_from(&last.code);
    delivery.detail.clone_from(&last.detail);
    delivery.error_code = match last.status {
        // The code of the first step is the decision's reason.
        DeliveryStatus::Queued => None,
        _ => last.code.clone(),
    };
    delivery.updated_at = last.at;
    delivery.next_attempt_at = due(delivery, timeline);
    Some(())
}

/// The content of the message, rendered from the event and the template. (The published version is used, even
/// if the message was sent with an older one.) It is rendered from masked data, so nothing hidden can appear
/// in it. If a template cannot be rendered with a masked value, there is no content.
async fn content(
    state: &GatewayState,
    caller: &Caller,
    sight: Sight,
    delivery: &DeliveryView,
) -> Option<Content> {
    let renderer = state.renderer.as_ref()?;
    let events = state
        .store
        .read_model()
        .event(caller.tenant(), &delivery.event_id, Some(&delivery.source))
        .await
        .ok()?;
    let json = events.into_iter().next()?.event?;
    let event = Event::from_cloudevent(json.get().as_bytes(), Defaults::at(delivery.created_at)).ok()?;
    let locale = match &delivery.template {
        Some(template) => Some(Arc::clone(&template.locale)),
        None => locale_to_come(state, caller, delivery, &event.recipients).await,
    };
    // A replay was sent with the data of its dead letter, which an edit may have changed.
    let sent = letters::sent_data(state, caller, delivery).await.ok()?;
    let data = sent.unwrap_or(event.data);
    let data = if sight.is_revealed() {
        data
    } else {
        let mask = mask_of(state, caller.tenant(), Some(&delivery.event_type))
            .await
            .ok()?;
        Arc::from(mask.data(data.get())?)
    };
    let request = RenderRequest {
        tenant: caller.tenant().clone(),
        event_type: delivery.event_type.as_str().into(),
        channel: delivery.channel,
        locale,
        timezone: None,
        context: RenderContext {
            event_id: event.id,
            source: event.source,
            time: event.time,
            data,
            delivery_id: Some(delivery.id),
            user_id: delivery.user_id.as_ref().map(|user| UserId::from(user.as_str())),
            unsubscribe_url: None,
        },
    };
    renderer
        .render(vec![request])
        .await
        .pop()?
        .ok()
        .map(|rendered| rendered.content)
}

/// The locale in which a message that no worker has rendered yet would be rendered now. `None` if it is not known, such
/// as that of one of several guests.
async fn locale_to_come(
    state: &GatewayState,
    caller: &Caller,
    delivery: &DeliveryView,
    recipients: &[Recipient],
) -> Option<Arc<str>> {
    let user = delivery.user_id.as_ref().map(UserId::as_str);
    let mut meant = recipients
        .iter()
        .filter(|recipient| recipient.user_id.as_ref().map(UserId::as_str) == user);
    let recipient = meant.next()?;
    if let Some(locale) = &recipient.locale {
        return meant.next().is_none().then(|| locale.as_str().into());
    }
    let id = recipient.user_id.as_ref()?;
    let user = state.store.users().get(caller.tenant(), id).await.ok()??;
    user.value.locale.map(Arc::from)
}
