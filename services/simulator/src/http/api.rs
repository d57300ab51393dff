//! The simulator's own API: the received messages, and the fault script.

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri};
use axum::routing::{get, post};
use serde::Serialize;

use super::problem::Problem;
use super::script;
use crate::context::Context;
use crate::faults::{Fault, InvalidField};
use crate::replies::Reply;
use crate::twilio::is_e164;
use crate::{Channel, Duplicate, Message, MessageFilter, Stats};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 500;

pub(super) fn routes(context: Context) -> Router {
    Router::new()
        .route("/v1/messages", get(list_messages).delete(clear_messages))
        .route("/v1/replies", post(reply))
        .route("/v1/stats", get(stats))
        .route("/v1/duplicates", get(duplicates))
        .route(
            "/v1/faults",
            get(list_faults).put(replace_faults).delete(clear_faults),
        )
        .with_state(context)
}

#[derive(Serialize)]
struct Page<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

async fn list_messages(State(context): State<Context>, uri: Uri) -> Result<Json<Page<Message>>, Problem> {
    let mut filter = MessageFilter::default();
    let mut limit = DEFAULT_LIMIT;
    for (name, value) in parameters(&uri)? {
        match name.as_str() {
            "delivery_id" => filter.delivery_id = Some(value),
            "event_id" => filter.event_id = Some(value),
            "to" => filter.to = Some(value),
            "channel" => {
                let channel = Channel::parse(&value)
                    .ok_or_else(|| Problem::parameter("channel", "push, email, sms or webhook", &value))?;
                filter.channel = Some(channel);
            }
            "limit" => limit = parse_limit(&value)?,
            "cursor" => filter.older_than = Some(parse_cursor(&value)?),
            _ => return Err(unknown(&name)),
        }
    }
    filter.limit = Some(limit + 1);
    let mut found = context.store.messages().list_stored(&filter).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next_cursor = found.last().filter(|_| more).map(|last| last.place.to_string());
    Ok(Json(Page {
        items: found.into_iter().map(|stored| stored.message).collect(),
        next_cursor,
    }))
}

async fn clear_messages(State(context): State<Context>) -> Result<StatusCode, Problem> {
    context.store.clear().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn stats(State(context): State<Context>) -> Result<Json<Stats>, Problem> {
    Ok(Json(context.store.messages().stats().await?))
}

async fn duplicates(State(context): State<Context>, uri: Uri) -> Result<Json<Page<Duplicate>>, Problem> {
    let mut after = None;
    let mut limit = DEFAULT_LIMIT;
    for (name, value) in parameters(&uri)? {
        match name.as_str() {
            "limit" => limit = parse_limit(&value)?,
            "cursor" => after = Some(value),
            _ => return Err(unknown(&name)),
        }
    }
    let mut items = context
        .store
        .messages()
        .duplicates(after.as_deref(), limit + 1)
        .await?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next_cursor = items.last().filter(|_| more).map(|last| last.delivery_id.clone());
    Ok(Json(Page { items, next_cursor }))
}

/// Takes a text message that a recipient sends to a Twilio number. It is passed on to Twilio's webhook afterwards.
async fn reply(State(context): State<Context>, body: Bytes) -> Result<StatusCode, Problem> {
    let reply: Reply = script::read(&body)?;
    if !is_e164(&reply.from) {
        return Err(Problem::parameter(
            "from",
            "a number such as +4915112345678",
            &reply.from,
        ));
    }
    if reply.to.is_empty() {
        return Err(Problem::parameter(
            "to",
            "a number or a messaging service",
            &reply.to,
        ));
    }
    context.replies.take(&reply);
    Ok(StatusCode::ACCEPTED)
}

async fn list_faults(State(context): State<Context>) -> Json<Vec<Fault>> {
    Json(context.faults.list())
}

async fn clear_faults(State(context): State<Context>) -> StatusCode {
    context.faults.clear();
    StatusCode::NO_CONTENT
}

/// Puts a script in force; answers with the script, defaults filled in.
async fn replace_faults(
    State(context): State<Context>,
    uri: Uri,
    body: Bytes,
) -> Result<Json<Vec<Fault>>, Problem> {
    let mut seed = None;
    for (name, value) in parameters(&uri)? {
        if name != "seed" {
            return Err(unknown(&name));
        }
        let number = value.parse();
        let wrong = |_| Problem::parameter("seed", "a whole number", &value);
        seed = Some(number.map_err(wrong)?);
    }
    context.faults.replace(script::parse(&body)?, seed)?;
    Ok(Json(context.faults.list()))
}

fn parameters(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    Query::try_from_uri(uri).map(|Query(pairs)| pairs).map_err(|_| {
        Problem::parameter(
            "",
            "a query string such as limit=50",
            uri.query().unwrap_or_default(),
        )
    })
}

fn unknown(name: &str) -> Problem {
    Problem::Validation(vec![InvalidField {
        pointer: format!("/{name}"),
        code: "unknown",
        message: "there is no such parameter".to_owned(),
    }])
}

fn parse_limit(value: &str) -> Result<u32, Problem> {
    value
        .parse()
        .ok()
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| Problem::parameter("limit", "a whole number from 1 to 500", value))
}

fn parse_cursor(value: &str) -> Result<i64, Problem> {
    value
        .parse()
        .map_err(|_| Problem::parameter("cursor", "next_cursor of an earlier answer", value))
}
