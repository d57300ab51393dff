//! `/v1/suppressions` and `/v1/suppressions/{channel}/{address}`.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use carillon_domain::{
    Channel, FieldError, Moment, Timestamp, contact, field_error::quoted, suppression::SuppressionReason,
};
use carillon_runtime::http::{Conditions, JsonBody, Path, Problem, ProblemKind};
use carillon_store::suppressions::{Change, SuppressionFilter, SuppressionPut, SuppressionView};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    auth::{Caller, Operator},
    error::ApiError,
    input::{Given, Listed, NoQuery, Query, json_or_default, page, tagged},
    openapi::{answers, schemas},
    privacy::mask_suppression,
    state::GatewayState,
};

/// The most characters of a note.
const MAX_NOTE: usize = 500;

/// The query. Each filter may be repeated; an entry has to match one of its values.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    channel: Vec<Channel>,
    reason: Vec<SuppressionReason>,
    limit: Given<u32>,
    cursor: Given<String>,
}

/// A person's entry. A field that is absent stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SuppressionBody {
    /// A note for other people; it should not name the recipient. Null removes the present one.
    #[schema(value_type = Option<String>, max_length = 500, example = "asked us by phone")]
    #[serde(default)]
    note: Change<String>,
    /// The time at which the entry stops counting: an instant, or a date, which begins at 00:00 UTC. Null: never, which
    /// is also the default of a new entry.
    #[schema(value_type = Option<schemas::MomentText>)]
    #[serde(default)]
    expires_at: Change<Moment>,
}

/// Checks the note and the expiry of a body, or of a line.
pub(super) fn check(
    note: Option<&str>,
    expires_at: Option<Moment>,
    now: Timestamp,
    errors: &mut Vec<FieldError>,
) {
    if let Some(note) = note
        && (note.chars().count() > MAX_NOTE || note.contains('\0'))
    {
        let text = format!("expected a note of at most {MAX_NOTE} characters, without U+0000");
        errors.push(FieldError::new("/note", "range", text));
    }
    if let Some(Moment(expires_at)) = expires_at
        && expires_at <= now
    {
        let text = format!(
            "expected a time in the future, after {}, not {}",
            Moment(now),
            Moment(expires_at)
        );
        errors.push(FieldError::new("/expires_at", "range", text));
    }
}

/// The channel and the address of a path.
fn place(channel: &str, address: &str) -> Result<Channel, ApiError> {
    let channel: Channel = channel.parse().map_err(|_| {
        let expected = format!("expected {}, not {}", Channel::names(), quoted(channel));
        ApiError::fields(vec![FieldError::new("/channel", "type", expected)])
    })?;
    let mut errors = Vec::new();
    contact::check_field(channel, address, "/address", &mut errors);
    if errors.is_empty() {
        Ok(channel)
    } else {
        Err(ApiError::fields(errors))
    }
}

fn not_listed(channel: Channel, address: &str) -> ApiError {
    let masked = contact::mask(channel, address);
    let text = format!(
        "the {channel} address {} is not on the suppression list",
        quoted(&masked)
    );
    ApiError::new(ProblemKind::NotFound, text)
}

/// The suppression list, newest first: addresses that take no messages, and why.
///
/// Addresses are always masked: the list keeps only their keyed hashes.
#[utoipa::path(
    get, path = "/v1/suppressions", tag = "suppressions",
    params(
        ("channel" = Option<Vec<schemas::ChannelName>>, Query, description = "May be repeated, like all filters; one of the values has to match"),
        ("reason" = Option<Vec<schemas::SuppressionReasonName>>, Query),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, default 50"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$", description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "A page", body = answers::SuppressionPage),
        (status = 422, description = "A filter is wrong", body = Problem))
)]
pub(crate) async fn list_suppressions(
    State(state): State<GatewayState>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<Listed<SuppressionView>>, ApiError> {
    let page = page(asked.limit.0, asked.cursor.0.as_deref())?;
    let filter = SuppressionFilter {
        channels: asked.channel,
        reasons: asked.reason,
    };
    let mut found = state
        .store
        .suppressions()
        .list(caller.tenant(), &filter, page)
        .await?;
    found.items.iter_mut().for_each(mask_suppression);
    Ok(Json(Listed {
        items: found.items,
        next_cursor: found.next_cursor,
    }))
}

/// The entry of an address, which may be spelled in any way that means the same address.
#[utoipa::path(
    get, path = "/v1/suppressions/{channel}/{address}", tag = "suppressions",
    params(("channel" = schemas::ChannelName, Path),
        ("address" = String, Path, min_length = 1, description = "E-mail address, phone in E.164 or registration token")),
    responses((status = 200, description = "The entry", body = answers::Suppression),
        (status = 404, description = "The address is not on the list", body = Problem),
        (status = 422, description = "This is not an address of the channel", body = Problem))
)]
pub(crate) async fn get_suppression(
    State(state): State<GatewayState>,
    caller: Caller,
    NoQuery: NoQuery,
    Path((channel, address)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let channel = place(&channel, &address)?;
    let entry = state
        .store
        .suppressions()
        .get(caller.tenant(), channel, &address)
        .await?;
    let mut entry = entry.ok_or_else(|| not_listed(channel, &address))?;
    mask_suppression(&mut entry.value);
    Ok(tagged(&entry.etag(), Json(entry.value)))
}

/// Put an address on the suppression list by hand, or change its entry. From then on no user or guest gets messages at
/// this address, critical ones included.
///
/// The body may be left out. A field that is absent stays as it is, so a request never removes a note or an expiry that it
/// does not name. `created_at` and the cause of an entry that is there already (`provider`, `code`, `delivery_id`) stay,
/// too. A provider's verdict (`hard_bounce`, `dead_token`) becomes `manual`, which a registration of the address does not
/// end. An entry for the recipient's own wish (`opted_out`, `complaint`) does not expire: only its note is written. The
/// audit log gets an entry.
#[utoipa::path(
    put, path = "/v1/suppressions/{channel}/{address}", tag = "suppressions",
    params(("channel" = schemas::ChannelName, Path),
        ("address" = String, Path, min_length = 1, description = "E-mail address, phone in E.164 or registration token"),
        ("If-Match" = Option<String>, Header, description = "Entity tags, one of which must be the present one, or `*`: it must exist"), ("If-None-Match" = Option<String>, Header, description = "`*`: it must not exist; or entity tags that must not be the present one")),
    request_body = Option<SuppressionBody>,
    responses((status = 200, description = "It was on the list", body = answers::Suppression),
        (status = 201, description = "It is on the list now", body = answers::Suppression),
        (status = 412, description = "`If-Match` or `If-None-Match` does not hold", body = Problem),
        (status = 422, description = "A field is wrong", body = Problem))
)]
pub(crate) async fn put_suppression(
    State(state): State<GatewayState>,
    caller: Operator,
    NoQuery: NoQuery,
    Path((channel, address)): Path<(String, String)>,
    conditions: Conditions,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let channel = place(&channel, &address)?;
    let SuppressionBody { note, expires_at } = json_or_default(body).await?;
    let mut errors = Vec::new();
    check(
        note.value().map(String::as_str),
        expires_at.value().copied(),
        state.clock.now(),
        &mut errors,
    );
    if !errors.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let put = SuppressionPut {
        note,
        expires_at: expires_at.map(|Moment(at)| at),
    };
    let suppressions = state.store.suppressions();
    let written = suppressions
        .put(&caller.0, channel, &address, &put, conditions.given())
        .await?;
    let entry = suppressions.get(caller.tenant(), channel, &address).await?;
    let mut entry = entry.ok_or_else(|| not_listed(channel, &address))?;
    mask_suppression(&mut entry.value);
    let status = if written.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(tagged(&entry.etag(), (status, Json(entry.value))))
}

/// Take an address from the suppression list. Entries of every reason can be removed. The audit log gets an entry.
#[utoipa::path(
    delete, path = "/v1/suppressions/{channel}/{address}", tag = "suppressions",
    params(("channel" = schemas::ChannelName, Path),
        ("address" = String, Path, min_length = 1, description = "E-mail address, phone in E.164 or registration token"),
        ("If-Match" = Option<String>, Header, description = "Entity tags, one of which must be the present one, or `*`: it must exist"), ("If-None-Match" = Option<String>, Header, description = "`*`: it must not exist; or entity tags that must not be the present one")),
    responses((status = 204, description = "It takes messages again"),
        (status = 404, description = "The address is not on the list", body = Problem),
        (status = 412, description = "`If-Match` or `If-None-Match` does not hold", body = Problem))
)]
pub(crate) async fn delete_suppression(
    State(state): State<GatewayState>,
    caller: Operator,
    NoQuery: NoQuery,
    Path((channel, address)): Path<(String, String)>,
    conditions: Conditions,
) -> Result<StatusCode, ApiError> {
    let channel = place(&channel, &address)?;
    let lifted = state
        .store
        .suppressions()
        .lift(&caller.0, channel, &address, conditions.given())
        .await?;
    if lifted {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(not_listed(channel, &address))
    }
}
