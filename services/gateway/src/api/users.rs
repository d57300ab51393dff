//! `/v1/users/{id}` and `/v1/users/{id}/devices/{token}`.

use axum::{
    Json,
    extract::{OriginalUri, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use carillon_domain::{Channel, FieldError, Platform, UserId, contact, field_error::quoted, recipient};
use carillon_runtime::http::{
    ConditionHeaders, Conditions, JsonBody, NoConditions, Path, Problem, ProblemKind,
};
use carillon_store::users::{Device, UserPut};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    auth::{Caller, Operator},
    cancel,
    error::ApiError,
    input::{NoQuery, Query, json, json_of, tagged},
    openapi::{answers, schemas},
    privacy::{Reveal, Sight, mask_user},
    state::GatewayState,
};

/// A user's profile. Absent fields are removed, except devices, which stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserBody {
    /// One e-mail address: without display name, quotes or address literal, with a full domain name. Letters
    /// beyond ASCII are accepted on both sides of the `@`.
    #[schema(example = "ada@example.com")]
    email: Option<String>,
    /// Phone, E.164: `+` and digits, without separators.
    #[schema(example = "+4915112345678")]
    phone: Option<String>,
    /// BCP 47.
    #[schema(example = "fr-CA")]
    locale: Option<String>,
    /// IANA name.
    #[schema(example = "America/Montreal")]
    timezone: Option<String>,
    /// All devices; absent leaves them as they are.
    devices: Option<Vec<DeviceBody>>,
}

/// A device.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceBody {
    /// `android`, `ios` or `web`.
    #[schema(value_type = schemas::PlatformName, example = "android")]
    platform: Platform,
    /// The registration token.
    #[schema(
        min_length = 1,
        max_length = 4096,
        pattern = "^[!-~]+$",
        example = "fcm-token"
    )]
    token: String,
}

/// A device's platform.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlatformBody {
    /// `android`, `ios` or `web`.
    #[schema(value_type = schemas::PlatformName, example = "android")]
    platform: Platform,
}

fn user_id(id: &str) -> Result<UserId, ApiError> {
    let mut errors = Vec::new();
    recipient::validate_user_id(id, "/id", &mut errors);
    if errors.is_empty() {
        Ok(UserId::from(id))
    } else {
        Err(ApiError::fields(errors))
    }
}

impl UserBody {
    fn checked(self) -> Result<UserPut, ApiError> {
        let mut errors = Vec::new();
        if let Some(email) = &self.email {
            contact::check_field(Channel::Email, email, "/email", &mut errors);
        }
        if let Some(phone) = &self.phone {
            contact::check_field(Channel::Sms, phone, "/phone", &mut errors);
        }
        recipient::validate_locale(self.locale.as_deref(), "/locale", &mut errors);
        recipient::validate_timezone(self.timezone.as_deref(), "/timezone", &mut errors);
        for (index, device) in self.devices.iter().flatten().enumerate() {
            let pointer = format!("/devices/{index}/token");
            contact::check_field(Channel::Push, &device.token, &pointer, &mut errors);
        }
        if self.devices.as_ref().is_some_and(|devices| devices.len() > 100) {
            errors.push(FieldError::new(
                "/devices",
                "range",
                "expected at most 100 devices",
            ));
        }
        if !errors.is_empty() {
            return Err(ApiError::fields(errors));
        }
        let device = |device: DeviceBody| Device {
            platform: device.platform,
            token: device.token,
        };
        Ok(UserPut {
            email: self.email,
            phone: self.phone,
            locale: self.locale,
            timezone: self.timezone,
            devices: self
                .devices
                .map(|devices| devices.into_iter().map(device).collect()),
        })
    }
}

/// A user in the form of `PUT /v1/users/{id}`, for callers that write to the store themselves.
///
/// # Errors
/// The problem that the route would answer; it names each wrong field.
pub fn checked_user(id: &str, body: &[u8]) -> Result<(UserId, UserPut), Problem> {
    let id = user_id(id).map_err(|error| error.0)?;
    let put = json_of::<UserBody>(body).and_then(UserBody::checked);
    Ok((id, put.map_err(|error| error.0)?))
}

/// Create or replace a user. The answer shows masked addresses.
#[utoipa::path(
    put, path = "/v1/users/{id}", tag = "users",
    params(("id" = String, Path, min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$"), ConditionHeaders),
    request_body = UserBody,
    responses(
        (status = 200, description = "Replaced", body = answers::User), (status = 201, description = "Made", body = answers::User),
        (status = 412, description = "`If-Match` or `If-None-Match` does not hold", body = Problem),
        (status = 422, description = "A field is wrong", body = Problem),
    )
)]
pub(crate) async fn put_user(
    State(state): State<GatewayState>,
    caller: Operator,
    NoQuery: NoQuery,
    Path(id): Path<String>,
    conditions: Conditions,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let id = user_id(&id)?;
    let put = json::<UserBody>(body).await?.checked()?;
    let written = state
        .store
        .users()
        .put(caller.tenant(), &id, &put, conditions.given())
        .await?;
    let status = if written.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let mut user = state
        .store
        .users()
        .get(caller.tenant(), &id)
        .await?
        .ok_or_else(|| ApiError::no_user(&id))?;
    mask_user(&mut user.value);
    Ok(tagged(&written.etag(), (status, Json(user.value))))
}

/// A user.
#[utoipa::path(
    get, path = "/v1/users/{id}", tag = "users",
    params(("id" = String, Path, min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$"),
        ("reveal" = Option<bool>, Query, description = "Show addresses; admins only, noted in the audit log")),
    responses((status = 200, description = "The user", body = answers::User),
        (status = 404, description = "There is no such user", body = Problem))
)]
pub(crate) async fn get_user(
    State(state): State<GatewayState>,
    caller: Caller,
    Path(id): Path<String>,
    Query(asked): Query<Reveal>,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, ApiError> {
    let sight = Sight::asked(&state, &caller, asked.reveal, &uri).await?;
    let id = UserId::from(id);
    let user = state.store.users().get(caller.tenant(), &id).await?;
    let mut user = user.ok_or_else(|| ApiError::no_user(&id))?;
    if !sight.is_revealed() {
        mask_user(&mut user.value);
    }
    Ok(tagged(&user.etag(), Json(user.value)))
}

/// Erase a user: at once in the database, by retention in topics.
#[utoipa::path(
    delete, path = "/v1/users/{id}", tag = "users",
    params(("id" = String, Path, min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$"), ConditionHeaders),
    responses((status = 204, description = "Erased"),
        (status = 404, description = "There is no such user", body = Problem),
        (status = 412, description = "`If-Match` or `If-None-Match` does not hold", body = Problem))
)]
pub(crate) async fn delete_user(
    State(state): State<GatewayState>,
    caller: Operator,
    NoQuery: NoQuery,
    Path(id): Path<String>,
    OriginalUri(uri): OriginalUri,
    conditions: Conditions,
) -> Result<StatusCode, ApiError> {
    let id = UserId::from(id);
    let users = state.store.users();
    if users.delete(caller.tenant(), &id, conditions.given()).await? {
        // After a crash before this, the events are decided when they are due, for a user who is not known.
        cancel::of_erased(&state, &caller.0, &id, uri.path()).await?;
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::no_user(&id))
    }
}

/// Register a device.
#[utoipa::path(
    put, path = "/v1/users/{id}/devices/{token}", tag = "users",
    params(("id" = String, Path, min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$"), ("token" = String, Path, min_length = 1, max_length = 4096, pattern = "^[!-~]+$")), request_body = PlatformBody,
    responses((status = 200, description = "Registered again"), (status = 201, description = "Registered"),
        (status = 404, description = "There is no such user", body = Problem),
        (status = 422, description = "A field is wrong", body = Problem))
)]
pub(crate) async fn put_device(
    State(state): State<GatewayState>,
    caller: Operator,
    NoQuery: NoQuery,
    NoConditions: NoConditions,
    Path((id, token)): Path<(String, String)>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let platform = json::<PlatformBody>(body).await?.platform;
    let mut errors = Vec::new();
    contact::check_field(Channel::Push, &token, "/token", &mut errors);
    if !errors.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let device = Device { platform, token };
    let id = UserId::from(id);
    let written = state
        .store
        .users()
        .put_device(caller.tenant(), &id, &device)
        .await
        .map_err(|error| ApiError::of_user(error, &id))?;
    let status = if written.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let shown = Device {
        token: contact::mask(Channel::Push, &device.token),
        ..device
    };
    Ok((status, Json(shown)).into_response())
}

/// Remove a device.
#[utoipa::path(
    delete, path = "/v1/users/{id}/devices/{token}", tag = "users",
    params(("id" = String, Path, min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$"), ("token" = String, Path, min_length = 1, max_length = 4096, pattern = "^[!-~]+$")),
    responses((status = 204, description = "Removed"),
        (status = 404, description = "The user or the device does not exist", body = Problem))
)]
pub(crate) async fn delete_device(
    State(state): State<GatewayState>,
    caller: Operator,
    NoQuery: NoQuery,
    NoConditions: NoConditions,
    Path((id, token)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    if state
        .store
        .users()
        .delete_device(caller.tenant(), &UserId::from(id.as_str()), &token)
        .await?
    {
        Ok(StatusCode::NO_CONTENT)
    } else {
        let text = format!("the user {} does not exist or has no such device", quoted(&id));
        Err(ApiError::new(ProblemKind::NotFound, text))
    }
}
