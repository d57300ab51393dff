//! `/v1/users/{id}/webhooks/{name}`: a user's endpoints, which receive webhooks.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use carillon_domain::{
    Channel, FieldError, UserId,
    contact::{self, SECRETS_AT_ONCE, SigningSecret},
    field_error::quoted,
};
use carillon_providers::webhook::{EndpointRules, NotSendable};
use carillon_runtime::http::{JsonBody, NoConditions, Path, Problem, ProblemKind};
use carillon_store::users::EndpointPut;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    auth::Operator,
    error::ApiError,
    input::{NoQuery, json},
    openapi::answers,
    state::GatewayState,
};

/// The longest name of an endpoint.
const LONGEST_NAME: usize = 64;

/// An endpoint of a user.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndpointBody {
    /// An absolute https URL of visible ASCII characters, without user, password and fragment.
    #[schema(max_length = 2048, example = "https://hooks.example.com/carillon")]
    url: String,
    /// The secrets that sign requests, the present one first: `whsec_` and 24 to 64 bytes in base64. Each request has one
    /// signature for each secret. Absent leaves those that the endpoint has, or generates one for a new endpoint.
    #[schema(min_items = 1, max_items = 3, example = json!(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]))]
    secrets: Option<Vec<String>>,
}

/// An endpoint as it was written.
#[derive(Serialize)]
struct Registered<'a> {
    name: &'a str,
    url: String,
    /// A generated secret, which is shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl EndpointBody {
    fn checked(self, name: String, rules: &EndpointRules) -> Result<EndpointPut, ApiError> {
        let mut errors = Vec::new();
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(fits) {
            let expected = format!("expected 1 to {LONGEST_NAME} letters, digits, '.', '_' and '-'");
            errors.push(FieldError::new("/name", "format", expected));
        }
        contact::check_field(Channel::Webhook, &self.url, "/url", &mut errors);
        if errors.iter().all(|error| error.pointer != "/url")
            && let Err(why) = rules.check(&self.url)
        {
            errors.push(not_allowed(why, &self.url));
        }
        let is_count = |secrets: &Vec<String>| (1..=SECRETS_AT_ONCE).contains(&secrets.len());
        if self.secrets.as_ref().is_some_and(|secrets| !is_count(secrets)) {
            let expected = format!("expected 1 to {SECRETS_AT_ONCE} secrets, or no member");
            errors.push(FieldError::new("/secrets", "range", expected));
        }
        let given = self.secrets.unwrap_or_default();
        let mut secrets: Vec<SigningSecret> = Vec::with_capacity(given.len());
        for (index, text) in given.iter().take(SECRETS_AT_ONCE).enumerate() {
            let pointer = format!("/secrets/{index}");
            match SigningSecret::parse(text) {
                Ok(secret) if secrets.contains(&secret) => {
                    errors.push(FieldError::new(pointer, "duplicate", "expected each secret once"));
                }
                Ok(secret) => secrets.push(secret),
                // The text is not repeated: it may be a secret in another form.
                Err(error) => errors.push(FieldError::new(pointer, "format", error.to_string())),
            }
        }
        if !errors.is_empty() {
            return Err(ApiError::fields(errors));
        }
        Ok(EndpointPut {
            name,
            url: self.url,
            secrets,
            first_secret: SigningSecret::of(rand::random()),
        })
    }
}

/// The error of a URL that no account may call: the workers would never send there.
fn not_allowed(why: NotSendable, url: &str) -> FieldError {
    let shown = quoted(&contact::mask(Channel::Webhook, url));
    let (code, expected) = match why {
        NotSendable::Url | NotSendable::NotHttps => (
            "format",
            "expected an https URL; http is for development (allow_http of the webhook account)".to_owned(),
        ),
        NotSendable::Address => (
            why.code(),
            format!(
                "expected an address on the public internet, or in a network of allowed_networks of the webhook account, not {shown}"
            ),
        ),
    };
    FieldError::new("/url", code, expected)
}

/// Register an endpoint, or replace its URL or its secrets. A generated secret is in the answer, and never shown again.
#[utoipa::path(
    put, path = "/v1/users/{id}/webhooks/{name}", tag = "users",
    params(("id" = String, Path, min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$"),
        ("name" = String, Path, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$")),
    request_body = EndpointBody,
    responses((status = 200, description = "Replaced", body = answers::RegisteredEndpoint),
        (status = 201, description = "Registered", body = answers::RegisteredEndpoint),
        (status = 404, description = "There is no such user", body = Problem),
        (status = 422, description = "A field is wrong, or the user has as many endpoints as a user may have", body = Problem))
)]
pub(crate) async fn put_endpoint(
    State(state): State<GatewayState>,
    caller: Operator,
    NoQuery: NoQuery,
    NoConditions: NoConditions,
    Path((id, name)): Path<(String, String)>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let body = json::<EndpointBody>(body).await?;
    let put = body.checked(name, &state.endpoint_rules)?;
    let id = UserId::from(id);
    let written = state.store.users().put_endpoint(caller.tenant(), &id, &put).await;
    let written = written.map_err(|error| ApiError::of_user(error, &id))?;
    let status = if written.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let generated = written.created && put.secrets.is_empty();
    let shown = Registered {
        name: &put.name,
        url: contact::mask(Channel::Webhook, &put.url),
        secret: generated.then(|| put.first_secret.reveal()),
    };
    Ok((status, Json(shown)).into_response())
}

/// Remove an endpoint.
#[utoipa::path(
    delete, path = "/v1/users/{id}/webhooks/{name}", tag = "users",
    params(("id" = String, Path, min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$"),
        ("name" = String, Path, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$")),
    responses((status = 204, description = "Removed"),
        (status = 404, description = "The user or the endpoint does not exist", body = Problem))
)]
pub(crate) async fn delete_endpoint(
    State(state): State<GatewayState>,
    caller: Operator,
    NoQuery: NoQuery,
    NoConditions: NoConditions,
    Path((id, name)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let users = state.store.users();
    if users
        .delete_endpoint(caller.tenant(), &UserId::from(id.as_str()), &name)
        .await?
    {
        Ok(StatusCode::NO_CONTENT)
    } else {
        let text = format!(
            "the user {} does not exist or has no endpoint {}",
            quoted(&id),
            quoted(&name)
        );
        Err(ApiError::new(ProblemKind::NotFound, text))
    }
}
