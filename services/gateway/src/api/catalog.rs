//! `/v1/catalog`.

use axum::{Json, extract::State, response::Response};
use carillon_domain::{Catalog, FieldError};
use carillon_runtime::http::{ConditionHeaders, Conditions, JsonBody, Problem};
use serde::Serialize;

use crate::{
    auth::{Admin, Caller},
    error::ApiError,
    input::{NoQuery, json, tagged},
    openapi::{answers, schemas},
    state::GatewayState,
};

/// The catalog: event types and categories.
#[utoipa::path(
    get, path = "/v1/catalog", tag = "catalog",
    responses((status = 200, description = "The catalog", body = schemas::CatalogBody),
        (status = 404, description = "There is none yet", body = Problem))
)]
pub(crate) async fn get_catalog(
    State(state): State<GatewayState>,
    caller: Caller,
    NoQuery: NoQuery,
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
    params(ConditionHeaders),
    request_body(content = schemas::CatalogBody, example = json!({
        "types": {"OrderShipped": {"category": "transactional", "channels": {"order": ["email", "sms", "push"]}}},
        "categories": {"transactional": {}}})),
    responses((status = 200, description = "Replaced; `warnings` names what is probably a mistake, such as a misspelt keyword of a schema",
            body = answers::CatalogWritten),
        (status = 412, description = "`If-Match` or `If-None-Match` does not hold", body = Problem),
        (status = 422, description = "A field is wrong", body = Problem))
)]
pub(crate) async fn put_catalog(
    State(state): State<GatewayState>,
    caller: Admin,
    NoQuery: NoQuery,
    conditions: Conditions,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let catalog: Catalog = json(body).await?;
    let errors = catalog.validate();
    if !errors.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let written = state
        .store
        .catalog()
        .put(caller.tenant(), &catalog, conditions.given())
        .await?;
    state.catalogs.refresh().await?;
    let etag = written.etag();
    let document = CatalogWritten {
        warnings: written.value.warnings(),
        catalog: written.value,
    };
    Ok(tagged(&etag, Json(document)))
}

/// The catalog as it is stored.
#[derive(Serialize)]
struct CatalogWritten {
    #[serde(flatten)]
    catalog: Catalog,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<FieldError>,
}
