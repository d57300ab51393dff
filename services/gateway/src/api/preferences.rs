//! `/v1/users/{id}/preferences`.

use axum::{Json, extract::State, response::Response};
use carillon_domain::{Catalog, FieldError, Preferences, UserId, compiled::CompiledCatalog};
use carillon_runtime::http::{
    ConditionHeaders, Conditions, JsonBody, Path, Problem, serde_code, serde_sentence,
};
use carillon_store::{before_first, etag};
use serde_json::Value;

use crate::{
    auth::{Caller, Operator},
    error::ApiError,
    input::{MergePatch, NoQuery, json, pointer, tagged},
    openapi::schemas,
    state::GatewayState,
};

/// A user's preferences; empty if none are set.
#[utoipa::path(
    get, path = "/v1/users/{id}/preferences", tag = "users", params(("id" = String, Path, min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$")),
    responses((status = 200, description = "The preferences", body = schemas::PreferencesBody),
        (status = 404, description = "There is no such user", body = Problem))
)]
pub(crate) async fn get_preferences(
    State(state): State<GatewayState>,
    caller: Caller,
    NoQuery: NoQuery,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = UserId::from(id);
    if let Some(preferences) = state.store.preferences().get(caller.tenant(), &id).await? {
        Ok(tagged(&preferences.etag(), Json(preferences.value)))
    } else {
        let user = state.store.users().get(caller.tenant(), &id).await?;
        let user = user.ok_or_else(|| ApiError::no_user(&id))?;
        let unset = etag(before_first(user.version));
        Ok(tagged(&unset, Json(Preferences::default())))
    }
}

/// Replace a user's preferences.
#[utoipa::path(
    put, path = "/v1/users/{id}/preferences", tag = "users",
    params(("id" = String, Path, min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$"), ConditionHeaders),
    request_body(content = schemas::PreferencesBody, example = json!({"global": {"email": true},
        "categories": {"marketing": {"email": false}}, "types": {"OrderShipped": {"sms": true}},
        "quiet_hours": [{"days": ["mon"], "from": "22:00", "to": "07:00"}]})),
    responses((status = 200, description = "Replaced", body = schemas::PreferencesBody),
        (status = 404, description = "There is no such user", body = Problem),
        (status = 412, description = "`If-Match` or `If-None-Match` does not hold", body = Problem),
        (status = 422, description = "A field is wrong", body = Problem))
)]
pub(crate) async fn put_preferences(
    State(state): State<GatewayState>,
    caller: Operator,
    NoQuery: NoQuery,
    Path(id): Path<String>,
    conditions: Conditions,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let preferences: Preferences = json(body).await?;
    let id = UserId::from(id);
    let before = state.store.preferences().get(caller.tenant(), &id).await?;
    let before = before.map(|before| before.value).unwrap_or_default();
    let catalog = state.catalogs.get(caller.tenant()).await?;
    let catalog = catalog.as_deref().map(CompiledCatalog::catalog);
    check(&preferences, &before, catalog).map_err(ApiError::fields)?;
    let written = state
        .store
        .preferences()
        .put(caller.tenant(), &id, &preferences, conditions.given())
        .await
        .map_err(|error| ApiError::of_user(error, &id))?;
    Ok(tagged(&written.etag(), Json(preferences)))
}

/// Change some of a user's preferences: JSON merge patch (RFC 7396); null inherits.
#[utoipa::path(
    patch, path = "/v1/users/{id}/preferences", tag = "users",
    params(("id" = String, Path, min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$"), ConditionHeaders),
    request_body(content = schemas::PreferencesPatch, example = json!({"categories": {"marketing": {"email": null}}})),
    responses((status = 200, description = "Changed", body = schemas::PreferencesBody),
        (status = 404, description = "There is no such user", body = Problem),
        (status = 412, description = "`If-Match` or `If-None-Match` does not hold", body = Problem),
        (status = 415, description = "Neither a merge patch nor JSON", body = Problem),
        (status = 422, description = "A field is wrong", body = Problem))
)]
pub(crate) async fn patch_preferences(
    State(state): State<GatewayState>,
    caller: Operator,
    NoQuery: NoQuery,
    Path(id): Path<String>,
    conditions: Conditions,
    MergePatch: MergePatch,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let patch: Value = json(body).await?;
    let id = UserId::from(id);
    let catalog = state.catalogs.get(caller.tenant()).await?;
    let catalog = catalog.as_deref().map(CompiledCatalog::catalog);
    let written = state
        .store
        .preferences()
        .change(caller.tenant(), &id, &conditions, |before| {
            merged(before, patch.clone(), catalog)
        })
        .await
        .map_err(|error| ApiError::of_user(error, &id))?
        .map_err(ApiError::fields)?;
    Ok(tagged(&written.etag(), Json(written.value)))
}

/// The preferences with a merge patch applied.
fn merged(
    before: &Preferences,
    patch: Value,
    catalog: Option<&Catalog>,
) -> Result<Preferences, Vec<FieldError>> {
    let mut document = serde_json::to_value(before).unwrap_or_default();
    merge(&mut document, patch);
    let merged: Preferences = serde_path_to_error::deserialize(document).map_err(|error| {
        let sentence = serde_sentence(error.inner());
        vec![FieldError::new(
            pointer(error.path()),
            serde_code(error.inner()),
            sentence,
        )]
    })?;
    check(&merged, before, catalog)?;
    Ok(merged)
}

/// Refuses invalid preferences, and choices for categories and event types that are not in the catalog. Choices that
/// the user has already stay valid, even if the catalog no longer has their names.
pub(crate) fn check(
    said: &Preferences,
    before: &Preferences,
    catalog: Option<&Catalog>,
) -> Result<(), Vec<FieldError>> {
    let unknown = said.unknown_names(catalog, before);
    let errors = if unknown.is_empty() {
        said.validate(before)
    } else {
        unknown
    };
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Applies a merge patch (RFC 7396).
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Some(target) = target.as_object_mut() else {
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(&key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_merge_patch_changes_the_named_members_and_null_removes_them() {
        let mut document = json!({"global": {"email": true, "sms": false}, "types": {"A": {"push": true}}});
        merge(
            &mut document,
            json!({"global": {"sms": null, "push": true}, "types": null}),
        );
        assert_eq!(document, json!({"global": {"email": true, "push": true}}));
    }
}
