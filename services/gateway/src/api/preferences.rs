//! `/v1/users/{id}/preferences`.

use axum::{Json, body::Body, extract::State, response::Response};
use carillon_domain::{FieldError, Preferences, TenantId, UserId, compiled::CompiledCatalog};
use carillon_runtime::http::{Conditions, Path, Problem, serde_sentence};
use carillon_store::{StoreError, etag};
use serde_json::Value;

use crate::{
    auth::{Caller, Operator},
    error::ApiError,
    input::{NoQuery, json, pointer, tagged},
    openapi::schemas,
    state::GatewayState,
};

/// A user's preferences; empty if none are set.
#[utoipa::path(
    get, path = "/v1/users/{id}/preferences", tag = "users", params(("id" = String, Path, min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$")),
    responses((status = 200, description = "The preferences", body = serde_json::Value),
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
        state
            .store
            .users()
            .get(caller.tenant(), &id)
            .await?
            .ok_or_else(|| ApiError::no_user(&id))?;
        Ok(tagged("\"0\"", Json(Preferences::default())))
    }
}

/// Replace a user's preferences.
#[utoipa::path(
    put, path = "/v1/users/{id}/preferences", tag = "users",
    params(("id" = String, Path, min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$"), ("If-Match" = Option<String>, Header, description = "Entity tags, one of which must be the present one, or `*`: it must exist"), ("If-None-Match" = Option<String>, Header, description = "`*`: it must not exist; or entity tags that must not be the present one")),
    request_body(content = schemas::PreferencesBody, example = json!({"global": {"email": true},
        "categories": {"marketing": {"email": false}}, "types": {"OrderShipped": {"sms": true}},
        "quiet_hours": [{"days": ["mon"], "from": "22:00", "to": "07:00"}]})),
    responses((status = 200, description = "Replaced", body = serde_json::Value),
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
    body: Body,
) -> Result<Response, ApiError> {
    let preferences: Preferences = json(body).await?;
    let id = UserId::from(id);
    let before = state.store.preferences().get(caller.tenant(), &id).await?;
    let before = before.map(|before| before.value).unwrap_or_default();
    require_known(&state, caller.tenant(), &preferences, &before).await?;
    write(&state, &caller, &id, preferences, conditions.given()).await
}

/// Change some of a user's preferences: JSON merge patch (RFC 7396); null inherits.
#[utoipa::path(
    patch, path = "/v1/users/{id}/preferences", tag = "users",
    params(("id" = String, Path, min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$"), ("If-Match" = Option<String>, Header, description = "Entity tags, one of which must be the present one, or `*`: it must exist"), ("If-None-Match" = Option<String>, Header, description = "`*`: it must not exist; or entity tags that must not be the present one")),
    request_body(content = schemas::PreferencesPatch, example = json!({"categories": {"marketing": {"email": null}}})),
    responses((status = 200, description = "Changed", body = serde_json::Value),
        (status = 404, description = "There is no such user", body = Problem),
        (status = 412, description = "`If-Match` or `If-None-Match` does not hold", body = Problem),
        (status = 422, description = "A field is wrong", body = Problem))
)]
pub(crate) async fn patch_preferences(
    State(state): State<GatewayState>,
    caller: Operator,
    NoQuery: NoQuery,
    Path(id): Path<String>,
    conditions: Conditions,
    body: Body,
) -> Result<Response, ApiError> {
    let patch: Value = json(body).await?;
    let id = UserId::from(id);
    let current = state.store.preferences().get(caller.tenant(), &id).await?;
    let read = etag(current.as_ref().map_or(0, |current| current.version));
    let current = current.map(|current| current.value).unwrap_or_default();
    let mut document = serde_json::to_value(&current).unwrap_or_default();
    merge(&mut document, patch);
    let merged: Preferences = serde_path_to_error::deserialize(document).map_err(|error| {
        let sentence = serde_sentence(error.inner());
        ApiError::fields(vec![FieldError::new(pointer(error.path()), "type", sentence)])
    })?;
    require_known(&state, caller.tenant(), &merged, &current).await?;
    if !conditions.hold(true, &read) {
        require_user(&state, &caller, &id).await?;
        return Err(StoreError::PreconditionFailed.into());
    }
    // A write since they were read is a 412, also for a caller who named no version.
    write(&state, &caller, &id, merged, Some(&Conditions::exactly(&read))).await
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

/// Refuses choices for categories and event types that are not in the catalog. Those that the user has already stay, also
/// after a catalog without them.
async fn require_known(
    state: &GatewayState,
    tenant: &TenantId,
    said: &Preferences,
    before: &Preferences,
) -> Result<(), ApiError> {
    let catalog = state.catalogs.get(tenant).await?;
    let errors = said.unknown_names(catalog.as_deref().map(CompiledCatalog::catalog), before);
    if errors.is_empty() {
        Ok(())
    } else {
        Err(ApiError::fields(errors))
    }
}

async fn require_user(state: &GatewayState, caller: &Operator, id: &UserId) -> Result<(), ApiError> {
    let user = state.store.users().get(caller.tenant(), id).await?;
    user.map(|_| ()).ok_or_else(|| ApiError::no_user(id))
}

async fn write(
    state: &GatewayState,
    caller: &Operator,
    id: &UserId,
    preferences: Preferences,
    conditions: Option<&Conditions>,
) -> Result<Response, ApiError> {
    let errors = preferences.validate();
    if !errors.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let written = state
        .store
        .preferences()
        .put(caller.tenant(), id, &preferences, conditions)
        .await
        .map_err(|error| ApiError::of_user(error, id))?;
    Ok(tagged(&written.etag(), Json(preferences)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_merge_patch_changes_what_it_names_and_null_takes_away() {
        let mut document = json!({"global": {"email": true, "sms": false}, "types": {"A": {"push": true}}});
        merge(
            &mut document,
            json!({"global": {"sms": null, "push": true}, "types": null}),
        );
        assert_eq!(document, json!({"global": {"email": true, "push": true}}));
    }
}
