//! `POST /v1/events`.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use carillon_domain::EventId;
use carillon_runtime::http::{Passing, Problem, ProblemKind, read_capped};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    auth::Operator,
    error::ApiError,
    ingest::{self, Accepted, Form},
    input::NoQuery,
    limits::Slot,
    openapi::schemas,
    state::GatewayState,
};

/// The answer to one event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventAnswer {
    /// The event's id. An event in the plain form that has none gets the request's `Idempotency-Key`, or a new id.
    #[schema(value_type = String, example = "order-1001-shipped")]
    event_id: EventId,
    /// The event's source.
    #[schema(example = "/shop/orders")]
    source: String,
    /// `accepted`, or `duplicate` for a repeat.
    #[schema(example = "accepted")]
    status: &'static str,
    /// The path under which its decisions and deliveries are shown.
    #[schema(example = "/v1/events/order-1001-shipped?source=%2Fshop%2Forders")]
    status_url: String,
}

/// The answer to a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchAnswer {
    /// One item for each event, in the order of the events.
    items: Vec<BatchItem>,
}

/// The answer to one event of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchItem {
    /// The position in the batch, from 0.
    index: usize,
    /// The event's id; absent if it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    event_id: Option<EventId>,
    /// `accepted`, `duplicate` or `rejected`.
    status: &'static str,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// The answer to one event, or to a batch.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
#[serde(untagged)]
pub(crate) enum PostAnswer {
    One(EventAnswer),
    Batch(BatchAnswer),
}

/// Accept one event or a batch.
///
/// Answered only after the bus has the events durably. One event: Carillon's plain form, or CloudEvents 1.0 structured
/// or binary (`ce-…` headers, percent-encoded). A batch: a JSON array, `application/cloudevents-batch+json` or NDJSON; it
/// may be empty. The media type decides the form. A request that is repeated with its `Idempotency-Key` sends nothing
/// twice, events without ids included. A `CloudEvent` has an id; an event in the plain form may lack it and then gets one.
#[utoipa::path(
    post, path = "/v1/events", tag = "events",
    params(("Idempotency-Key" = Option<String>, Header, description = "Replays the whole answer for 24 h")),
    request_body(content(
        (schemas::EventOrBatch = "application/json", example = json!({
            "id": "order-1001-shipped", "source": "/shop/orders", "type": "OrderShipped",
            "recipients": [{"user_id": "u-42"}], "data": {"order_id": "1001", "carrier": "DHL"}})),
        (schemas::CloudEvent = "application/cloudevents+json"),
        (Vec<schemas::CloudEvent> = "application/cloudevents-batch+json"),
        (String = "application/x-ndjson"),
    )),
    responses(
        (status = 202, description = "Accepted: the event, or at least one event of the batch", body = PostAnswer),
        (status = 200, description = "A repeat of an event that was accepted", body = EventAnswer),
        (status = 400, description = "Not JSON, or a header that cannot be read", body = Problem),
        (status = 401, description = "No valid API key", body = Problem),
        (status = 403, description = "The key's role may only read", body = Problem),
        (status = 409, description = "Another request is processing the same event, all events of the batch, or the key", body = Problem),
        (status = 408, description = "The body did not arrive in time", body = Problem),
        (status = 413, description = "Too large", body = Problem),
        (status = 415, description = "Another media type or content encoding; `Accept-Encoding` names those that are taken", body = Problem),
        (status = 422, description = "The event breaks a rule, or all events of the batch do", content((Problem = "application/problem+json"), (BatchAnswer = "application/json"))),
        (status = 429, description = "The key or the tenant takes more than its share; `Retry-After` says when to try again", body = Problem),
        (status = 503, description = "Try again later", body = Problem),
    )
)]
pub(crate) async fn post_events(
    State(state): State<GatewayState>,
    caller: Operator,
    NoQuery: NoQuery,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let slot = request.extensions().get::<Slot>().cloned();
    let (parts, body) = request.into_parts();
    let key = ingest::key(&parts.headers)?;
    let body = read_capped(body, state.config.max_batch_bytes).await?;
    let place = state.0.limits.work_on_post(&caller.0)?;
    let (tenant, now, bytes) = (caller.tenant().clone(), state.clock.now(), body.len());
    let read = move || {
        let context = ingest::Context {
            tenant: &tenant,
            key: key.as_deref(),
            now,
        };
        let form = ingest::read(&parts.headers, &body, context)?;
        let keyed = key.map(|key| ingest::Keyed::new(&tenant, key, &parts, &body, now));
        Ok::<_, Problem>((form, keyed))
    };
    let (form, keyed) = ingest::aside(&state, bytes, read).await?;
    let Some(keyed) = keyed else {
        return work(&state, &caller, form).await;
    };
    let of_work = state.clone();
    let work = async move {
        // The work continues even if the client leaves, and holds its places until it ends.
        let _places = (slot, place);
        work(&of_work, &caller, form).await
    };
    ingest::replayed(state, keyed, work).await
}

async fn work(state: &GatewayState, caller: &Operator, form: Form) -> Result<Response, ApiError> {
    match form {
        Form::One(parsed) => one(state, caller, *parsed).await,
        Form::Batch(parsed) => batch(state, caller, parsed).await,
    }
}

type Parsed = Result<carillon_domain::Event, Vec<carillon_domain::FieldError>>;

async fn one(state: &GatewayState, caller: &Operator, parsed: Parsed) -> Result<Response, ApiError> {
    let tenant = caller.tenant();
    let checked = ingest::check(state, tenant, vec![(String::new(), parsed)]).await?;
    let checked = checked.into_iter().collect::<Result<Vec<_>, Problem>>()?;
    let accepted = ingest::publish(state, tenant, checked)
        .await?
        .into_iter()
        .collect::<Result<Vec<_>, Problem>>()?;
    match accepted.into_iter().next() {
        Some(accepted) => Ok(answer(accepted)),
        None => Err(ApiError::new(ProblemKind::Internal, "the event got no answer")),
    }
}

fn answer(accepted: Accepted) -> Response {
    let (status, word) = if accepted.duplicate {
        (StatusCode::OK, "duplicate")
    } else {
        (StatusCode::ACCEPTED, "accepted")
    };
    let query = form_urlencoded(&accepted.source);
    let status_url = format!(
        "/v1/events/{}?source={query}",
        form_urlencoded(accepted.event_id.as_str())
    );
    let source = accepted.source.to_string();
    let answer = EventAnswer {
        event_id: accepted.event_id,
        source,
        status: word,
        status_url,
    };
    (status, Json(answer)).into_response()
}

/// Percent-encodes the characters that are not allowed in a path segment or query value.
pub(crate) fn form_urlencoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
        .to_string()
        .replace("%2D", "-")
}

async fn batch(state: &GatewayState, caller: &Operator, parsed: Vec<Parsed>) -> Result<Response, ApiError> {
    let tenant = caller.tenant();
    let parsed = parsed
        .into_iter()
        .enumerate()
        .map(|(index, parsed)| (format!("/{index}"), parsed))
        .collect();
    let mut items = Vec::new();
    let (mut places, mut checked) = (Vec::new(), Vec::new());
    for (index, result) in ingest::check(state, tenant, parsed)
        .await?
        .into_iter()
        .enumerate()
    {
        match result {
            Ok(event) => {
                places.push((index, event.event.id.clone()));
                checked.push(event);
            }
            Err(problem) => items.push(BatchItem {
                index,
                event_id: None,
                status: "rejected",
                problem: Some(problem),
            }),
        }
    }
    let results = if checked.is_empty() {
        Vec::new()
    } else {
        ingest::publish(state, tenant, checked).await?
    };
    for ((index, event_id), result) in places.into_iter().zip(results) {
        let (status, problem) = match result {
            Ok(Accepted { duplicate: true, .. }) => ("duplicate", None),
            Ok(_) => ("accepted", None),
            Err(problem) => ("rejected", Some(problem)),
        };
        items.push(BatchItem {
            index,
            event_id: Some(event_id),
            status,
            problem,
        });
    }
    items.sort_by_key(|item| item.index);
    batch_answer(items, state.config.claim_lease)
}

/// The most bytes of problems in the answer to a batch. Beyond it, problems are listed without their errors.
const MAX_ERROR_BYTES: usize = 256 << 10;

fn within(bytes: usize, items: Vec<BatchItem>) -> Vec<BatchItem> {
    let mut left = bytes;
    let cut = |mut item: BatchItem| {
        item.problem = item.problem.map(|problem| {
            let size = problem.size();
            let fits = size <= left;
            left = if fits { left - size } else { 0 };
            if fits { problem } else { problem.without_errors() }
        });
        item
    };
    items.into_iter().map(cut).collect()
}

/// The answer to a batch. If another request is publishing some of its events, a repeat may be answered otherwise
/// after `lease`; if that concerns all of its events, the answer is a conflict.
fn batch_answer(items: Vec<BatchItem>, lease: Duration) -> Result<Response, ApiError> {
    if items.is_empty() {
        return Ok((StatusCode::ACCEPTED, Json(BatchAnswer { items })).into_response());
    }
    let is_rejected = |item: &BatchItem| item.status == "rejected";
    let is_open = |item: &BatchItem| {
        let problem = item.problem.as_ref();
        problem.is_some_and(|problem| ingest::is_passing(problem.status))
    };
    if items.iter().all(is_open) {
        let text = "every event of the batch is being accepted by another request";
        return Err(Problem::new(ProblemKind::InProgress, text)
            .with_retry_after(lease)
            .into());
    }
    let some_open = items.iter().any(is_open);
    let is_passing = some_open
        || items
            .iter()
            .any(|item| item.problem.as_ref().is_some_and(Problem::is_passing));
    let items = within(MAX_ERROR_BYTES, items);
    let status = if items.iter().all(is_rejected) {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::ACCEPTED
    };
    let mut response = (status, Json(BatchAnswer { items })).into_response();
    if some_open {
        let seconds = lease.as_secs().max(1);
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    if is_passing {
        response.extensions_mut().insert(Passing);
    }
    Ok(response)
}
