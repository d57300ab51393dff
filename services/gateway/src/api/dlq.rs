//! `GET /v1/dlq` and `/v1/dlq/{id}`.

use axum::{
    Json,
    extract::{OriginalUri, State},
};
use carillon_domain::{Channel, Moment, dead_letter::FailureClass};
use carillon_runtime::http::Problem;
use carillon_store::dead_letters::{DeadLetterFilter, DeadLetterState};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    auth::Caller,
    error::ApiError,
    input::{Given, Id, Listed, Query, page},
    letters::verdicts_of,
    openapi::{answers, schemas},
    privacy::{DeadLetterDocument, Reveal, Sight, show_dead_letter},
    state::GatewayState,
};

/// A dead letter queue: a channel's, or the queue of events.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, strum::EnumString)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[cfg_attr(test, derive(strum::EnumIter))]
pub(crate) enum Queue {
    Push,
    Email,
    Sms,
    Webhook,
    Events,
}

impl Queue {
    /// The queue of a channel, or of events.
    pub(crate) fn of(channel: Option<Channel>) -> Self {
        match channel {
            Some(Channel::Push) => Self::Push,
            Some(Channel::Email) => Self::Email,
            Some(Channel::Sms) => Self::Sms,
            Some(Channel::Webhook) => Self::Webhook,
            None => Self::Events,
        }
    }

    pub(crate) fn channel(self) -> Option<Channel> {
        match self {
            Self::Push => Some(Channel::Push),
            Self::Email => Some(Channel::Email),
            Self::Sms => Some(Channel::Sms),
            Self::Webhook => Some(Channel::Webhook),
            Self::Events => None,
        }
    }
}

/// The query. Each filter may be repeated; a dead letter has to match one of its values.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    state: Vec<DeadLetterState>,
    channel: Vec<Queue>,
    class: Vec<FailureClass>,
    provider: Vec<String>,
    code: Vec<String>,
    fingerprint: Vec<String>,
    #[serde(rename = "type")]
    event_type: Vec<String>,
    replayed_by: Vec<Uuid>,
    ignored: Given<bool>,
    from: Given<Moment>,
    to: Given<Moment>,
    limit: Given<u32>,
    cursor: Given<String>,
}

/// Dead letters, newest first.
#[utoipa::path(
    get, path = "/v1/dlq", tag = "dlq",
    params(
        ("state" = Option<Vec<schemas::DeadLetterStateName>>, Query, description = "open, replayed, discarded; repeatable, like all filters"),
        ("channel" = Option<Vec<schemas::QueueName>>, Query, description = "push, email, sms, webhook, events"),
        ("class" = Option<Vec<schemas::FailureClassName>>, Query), ("provider" = Option<Vec<String>>, Query),
        ("code" = Option<Vec<String>>, Query), ("fingerprint" = Option<Vec<String>>, Query),
        ("type" = Option<Vec<String>>, Query),
        ("replayed_by" = Option<Vec<uuid::Uuid>>, Query, description = "Letters that died again after this job had put them back"),
        ("ignored" = Option<bool>, Query, description = "Whether letters of ignored causes are listed too; by default only if a fingerprint or a job is given"),
        ("from" = Option<schemas::MomentText>, Query), ("to" = Option<schemas::MomentText>, Query),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, default 50"), ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$", description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "A page", body = answers::DeadLetterPage),
        (status = 422, description = "A filter is wrong", body = Problem))
)]
pub(crate) async fn list_dead_letters(
    State(state): State<GatewayState>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<Listed<DeadLetterDocument>>, ApiError> {
    let page = page(asked.limit.0, asked.cursor.0.as_deref())?;
    let by_cause = !asked.fingerprint.is_empty() || !asked.replayed_by.is_empty();
    let without = if asked.ignored.0.unwrap_or(by_cause) {
        Vec::new()
    } else {
        state.store.dead_letter_groups().ignored(caller.tenant()).await?
    };
    let filter = DeadLetterFilter {
        without,
        ids: Vec::new(),
        state: asked.state,
        queue: asked.channel.into_iter().map(Queue::channel).collect(),
        class: asked.class,
        provider: asked.provider,
        code: asked.code,
        fingerprint: asked.fingerprint,
        event_type: asked.event_type,
        replayed_by: asked.replayed_by,
        from: asked.from.0.map(|Moment(at)| at),
        to: asked.to.0.map(|Moment(at)| at),
    };
    let mut found = state
        .store
        .dead_letters()
        .list(caller.tenant(), &filter, page)
        .await?;
    let mut verdicts = verdicts_of(&state, caller.tenant(), &mut found.items).await?;
    let mut items = Vec::with_capacity(found.items.len());
    for letter in found.items {
        let verdict = verdicts.remove(&letter.id);
        let sight = Sight::of(caller.0.role);
        items.push(show_dead_letter(&state, caller.tenant(), sight, letter, verdict).await?);
    }
    Ok(Json(Listed {
        items,
        next_cursor: found.next_cursor,
    }))
}

/// A dead letter: its reason, its headers and its bytes.
///
/// `class` and `code` are stable words, `reason` is a sentence.
#[utoipa::path(
    get, path = "/v1/dlq/{id}", tag = "dlq", 
    params(("id" = uuid::Uuid, Path),
        ("reveal" = Option<bool>, Query, description = "Show masked values; admins only, noted in the audit log")),
    responses((status = 200, description = "The dead letter", body = answers::DeadLetterDocument),
        (status = 404, description = "The dead letter does not exist", body = Problem))
)]
pub(crate) async fn get_dead_letter(
    State(state): State<GatewayState>,
    caller: Caller,
    Id(id): Id,
    Query(asked): Query<Reveal>,
    OriginalUri(uri): OriginalUri,
) -> Result<Json<DeadLetterDocument>, ApiError> {
    let sight = Sight::asked(&state, &caller, asked.reveal, &uri).await?;
    let found = state.store.dead_letters().get(caller.tenant(), id).await?;
    let mut letter = found.ok_or_else(|| ApiError::missing("dead letter", id))?;
    let verdicts = verdicts_of(&state, caller.tenant(), std::slice::from_mut(&mut letter)).await?;
    let verdict = verdicts.into_values().next();
    show_dead_letter(&state, caller.tenant(), sight, letter, verdict)
        .await
        .map(Json)
}
