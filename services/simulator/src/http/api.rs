//! The simulator's own API: the received messages, and the fault script.

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri};
use axum::routing::get;
use serde::Serialize;
use serde_json::Value;

use super::problem::Problem;
use crate::context::Context;
use crate::faults::{Fault, InvalidField};
use crate::{Channel, Duplicate, Message, MessageFilter, Stats};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 500;

pub(super) fn routes(context: Context) -> Router {
    Router::new()
        .route("/v1/messages", get(list_messages).delete(clear_messages))
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
                    .ok_or_else(|| Problem::parameter("channel", "must be push, email or sms"))?;
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
        let number = value
            .parse()
            .map_err(|_| Problem::parameter("seed", "must be a whole number"))?;
        seed = Some(number);
    }
    context.faults.replace(parse_faults(&body)?, seed)?;
    Ok(Json(context.faults.list()))
}

fn parse_faults(body: &[u8]) -> Result<Vec<Fault>, Problem> {
    let script: Value = serde_json::from_slice(body).map_err(|_| Problem::MalformedJson)?;
    serde_path_to_error::deserialize(script).map_err(|error| {
        let pointer = pointer(error.path());
        Problem::Validation(vec![InvalidField {
            pointer,
            code: "malformed",
            message: error.inner().to_string(),
        }])
    })
}

/// The path as a JSON pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => format!("/{variant}"),
            Segment::Unknown => "/?".to_owned(),
        })
        .collect()
}

fn parameters(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    Query::try_from_uri(uri)
        .map(|Query(pairs)| pairs)
        .map_err(|_| Problem::parameter("", "the query string cannot be read"))
}

fn unknown(name: &str) -> Problem {
    Problem::parameter(name, "there is no such parameter")
}

fn parse_limit(value: &str) -> Result<u32, Problem> {
    value
        .parse()
        .ok()
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| Problem::parameter("limit", "must be a whole number from 1 to 500"))
}

fn parse_cursor(value: &str) -> Result<i64, Problem> {
    value
        .parse()
        .map_err(|_| Problem::parameter("cursor", "must be a next_cursor of an earlier answer"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_unknown_field_of_a_fault_is_named_by_its_pointer() {
        let body = json!([{ "provider": "fcm", "status": 500 }, { "provider": "fcm", "colour": 1 }]);
        match parse_faults(body.to_string().as_bytes()) {
            Err(Problem::Validation(fields)) => assert_eq!(fields[0].pointer, "/1/colour"),
            other => panic!("{other:?}"),
        }
    }
}
