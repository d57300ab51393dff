//! `/v1/catalog`.

use axum::{Json, body::Body, extract::State, http::HeaderMap, response::Response};
use carillon_domain::Catalog;
use carillon_runtime::http::Problem;

use crate::{
    auth::{Admin, Caller},
    error::ApiError,
    input::{if_match, json, tagged},
    openapi::schemas,
    state::GatewayState,
};

/// The catalog: event types, categories, providers.
#[utoipa::path(
    get, path = "/v1/catalog", tag = "catalog",
    responses((status = 200, description = "The catalog", body = serde_json::Value),
        (status = 404, description = "There is none yet", body = Problem))
)]
pub(crate) async fn get_catalog(
    State(state): State<GatewayState>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let catalog = state
        .store
        .catalog()
        .get(caller.tenant())
        .await?
        .ok_or_else(|| ApiError::not_found("catalog"))?;
    Ok(tagged(&catalog.etag(), Json(catalog.value)))
}

/// Replace the catalog.
#[utoipa::path(
    put, path = "/v1/catalog", tag = "catalog",
    params(("If-Match" = Option<String>, Header, description = "The version to be replaced")),
    request_body(content = schemas::CatalogBody, example = json!({
        "types": {"OrderShipped": {"category": "transactional", "channels": {"order": ["email", "sms", "push"]}}},
        "categories": {"transactional": {}}})),
    responses((status = 200, description = "Replaced", body = serde_json::Value),
        (status = 412, description = "If-Match names another version", body = Problem),
        (status = 422, description = "A field is wrong", body = Problem))
)]
pub(crate) async fn put_catalog(
    State(state): State<GatewayState>,
    caller: Admin,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let catalog: Catalog = json(body).await?;
    let errors = catalog.validate();
    if !errors.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let expected = if_match(&headers)?;
    let written = state
        .store
        .catalog()
        .put(caller.tenant(), &catalog, expected)
        .await?;
    state.catalogs.refresh().await?;
    Ok(tagged(&written.etag(), Json(written.value)))
}
