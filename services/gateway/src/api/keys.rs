//! `/v1/keys`.

use axum::{
    Json,
    extract::{OriginalUri, State},
    http::StatusCode,
};
use carillon_domain::FieldError;
use carillon_runtime::http::{JsonBody, NoConditions, Problem};
use carillon_store::api_keys::{ApiKeyInfo, ApiKeys, Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    auth::Admin,
    error::ApiError,
    input::{Id, Listed, NoQuery, json},
    openapi::{answers, schemas},
    state::GatewayState,
};

/// An API key to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyBody {
    /// A name that describes the key's use.
    #[schema(example = "order service", min_length = 1, max_length = 128, pattern = "\\S")]
    name: String,
    /// `viewer`, `operator` or `admin`.
    #[schema(value_type = schemas::RoleName, example = "operator")]
    role: Role,
}

/// A new API key.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyAnswer {
    id: Uuid,
    name: String,
    #[schema(value_type = schemas::RoleName)]
    role: Role,
    /// The key itself, which is shown only here.
    secret: String,
}

/// Make an API key; its secret is shown once.
#[utoipa::path(
    post, path = "/v1/keys", tag = "keys", request_body = KeyBody,
    responses((status = 201, description = "Made", body = KeyAnswer),
        (status = 403, description = "Needs the role admin", body = Problem),
        (status = 422, description = "A field is wrong", body = Problem))
)]
pub(crate) async fn create_key(
    State(state): State<GatewayState>,
    caller: Admin,
    NoQuery: NoQuery,
    NoConditions: NoConditions,
    body: JsonBody,
) -> Result<(StatusCode, Json<KeyAnswer>), ApiError> {
    let body: KeyBody = json(body).await?;
    if body.name.trim().is_empty() || body.name.chars().count() > 128 {
        return Err(ApiError::fields(vec![FieldError::new(
            "/name",
            "format",
            ApiKeys::NAME,
        )]));
    }
    let key = state
        .store
        .api_keys()
        .create(caller.tenant(), body.name.trim(), body.role)
        .await?;
    let answer = KeyAnswer {
        id: key.id,
        name: body.name,
        role: body.role,
        secret: key.secret,
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// The tenant's API keys, without their secrets.
#[utoipa::path(
    get, path = "/v1/keys", tag = "keys",
    responses((status = 200, description = "The keys", body = answers::KeyList),
        (status = 403, description = "Needs the role admin", body = Problem))
)]
pub(crate) async fn list_keys(
    State(state): State<GatewayState>,
    caller: Admin,
    NoQuery: NoQuery,
) -> Result<Json<Listed<ApiKeyInfo>>, ApiError> {
    let items = state.store.api_keys().list(caller.tenant()).await?;
    Ok(Json(Listed {
        items,
        next_cursor: None,
    }))
}

/// End an API key. The audit log gets an entry.
#[utoipa::path(
    delete, path = "/v1/keys/{id}", tag = "keys", params(("id" = uuid::Uuid, Path)),
    responses((status = 204, description = "Revoked; other gateways may accept the key for a few seconds more"),
        (status = 404, description = "The key does not exist", body = Problem))
)]
pub(crate) async fn revoke_key(
    State(state): State<GatewayState>,
    caller: Admin,
    NoQuery: NoQuery,
    NoConditions: NoConditions,
    Id(id): Id,
    OriginalUri(uri): OriginalUri,
) -> Result<StatusCode, ApiError> {
    if state
        .store
        .api_keys()
        .revoke_as(&caller.0, id, uri.path())
        .await?
    {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::missing("API key", id))
    }
}
