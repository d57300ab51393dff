//! `/v1/catalog`.

use axum::{Json, extract::State, response::Response};
use carillon_domain::{Catalog, Channel, FieldError, TenantId, field_error::escape_token};
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
    responses((status = 200, description = "Replaced; `warnings` lists probable mistakes, such as a misspelt keyword of a schema",
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
    let errors = catalog.check_source_topics(state.bus.topics().prefix());
    if !errors.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let errors = missing_templates(&state, caller.tenant(), &catalog).await?;
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

/// The digests whose types have no published template. Their collected messages could not be sent, except to endpoints,
/// which get the event without a template.
async fn missing_templates(
    state: &GatewayState,
    tenant: &TenantId,
    catalog: &Catalog,
) -> Result<Vec<FieldError>, ApiError> {
    let digests = catalog
        .categories
        .iter()
        .filter_map(|(name, def)| Some((name, def.digest.as_ref()?)));
    let digests: Vec<_> = digests.collect();
    if digests.is_empty() {
        return Ok(Vec::new());
    }
    let published = state.store.templates().published(tenant).await?;
    let has_template = |id: &str| published.iter().any(|row| row.id == id && row.locale.is_none());
    let mut errors = Vec::new();
    for (name, digest) in digests {
        let of_type = catalog.types.get(&digest.event_type);
        let channels = of_type.into_iter().flat_map(|of_type| &of_type.channels.order);
        for channel in channels.filter(|channel| **channel != Channel::Webhook) {
            let id = format!("{}/{channel}", digest.event_type);
            if !has_template(&id) {
                let at = format!("/categories/{}/digest/type", escape_token(name));
                let expected = format!("expected a type whose template {id} is published");
                errors.push(FieldError::new(at, "missing-template", expected));
            }
        }
    }
    Ok(errors)
}

/// The catalog as it is stored.
#[derive(Serialize)]
struct CatalogWritten {
    #[serde(flatten)]
    catalog: Catalog,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<FieldError>,
}
