//! The token endpoint: exchanges a signed assertion for an access token of one hour (RFC 7523).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Form, http::HeaderMap};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Fcm;
use crate::SimulatorError;
use crate::clock;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// The lifetime of an access token, and the longest of an assertion, in seconds.
const LIFETIME: i64 = 3_600;
/// The lead of a client's clock that is accepted, in seconds.
const CLOCK_SKEW: i64 = 300;

/// Checks assertions, issues access tokens and verifies them.
///
/// Access tokens are signed, not stored, so that a restarted simulator still accepts the ones that it issued before.
#[derive(Clone)]
pub(crate) struct Tokens {
    keys: Arc<Keys>,
}

struct Keys {
    assertion: Option<DecodingKey>,
    issue: EncodingKey,
    recognise: DecodingKey,
}

#[derive(Deserialize)]
struct Assertion {
    iss: String,
    aud: String,
    scope: String,
    iat: i64,
    exp: i64,
}

#[derive(Serialize, Deserialize)]
struct AccessToken {
    sub: String,
    exp: i64,
}

/// The reason for which an assertion is refused; the text is Google's `error_description`.
struct InvalidGrant(&'static str);

impl Tokens {
    /// `secret` signs access tokens; `public_key_pem` verifies assertions.
    pub(crate) fn new(secret: &[u8], public_key_pem: Option<&str>) -> Result<Self, SimulatorError> {
        let assertion = public_key_pem
            .map(|pem| DecodingKey::from_rsa_pem(pem.as_bytes()))
            .transpose()
            .map_err(|_| SimulatorError::PublicKey)?;
        let keys = Keys {
            assertion,
            issue: EncodingKey::from_secret(secret),
            recognise: DecodingKey::from_secret(secret),
        };
        Ok(Self { keys: Arc::new(keys) })
    }

    fn exchange(&self, assertion: &str) -> Result<String, InvalidGrant> {
        let claims = self.verified(assertion)?;
        let now = clock::now().timestamp();
        if claims.exp <= now
            || claims.iat > now + CLOCK_SKEW
            || claims.exp.saturating_sub(claims.iat) > LIFETIME
        {
            return Err(InvalidGrant(
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. \
                 Check your iat and exp values in the JWT claim.",
            ));
        }
        if claims.iss.is_empty() {
            return Err(InvalidGrant("Invalid issuer: Not found."));
        }
        if !claims.aud.ends_with("/token") {
            return Err(InvalidGrant("Invalid JWT: Failed audience check."));
        }
        if !claims.scope.split(' ').any(|scope| scope == SCOPE) {
            return Err(InvalidGrant("Invalid OAuth scope or ID token audience provided."));
        }
        let token = AccessToken {
            sub: claims.iss,
            exp: now + LIFETIME,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &token, &self.keys.issue)
            .map_err(|_| InvalidGrant("The token could not be issued."))
    }

    fn verified(&self, assertion: &str) -> Result<Assertion, InvalidGrant> {
        let decoded = match &self.keys.assertion {
            Some(key) => jsonwebtoken::decode(assertion, key, &signature_only(Algorithm::RS256)),
            None => jsonwebtoken::dangerous::insecure_decode(assertion),
        };
        decoded
            .map(|token| token.claims)
            .map_err(|_| InvalidGrant("Invalid JWT Signature."))
    }

    /// Whether the request has an access token of this simulator that has not expired.
    pub(super) fn admit(&self, headers: &HeaderMap) -> bool {
        let bearer = headers
            .get(axum::http::header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let Some(bearer) = bearer else { return false };
        jsonwebtoken::decode::<AccessToken>(bearer, &self.keys.recognise, &signature_only(Algorithm::HS256))
            .is_ok_and(|token| token.claims.exp > clock::now().timestamp())
    }
}

/// Validates the signature only. Times and audience are checked here, against the simulator's clock.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}

#[derive(Deserialize)]
pub(super) struct Request {
    grant_type: Option<String>,
    assertion: Option<String>,
}

pub(super) async fn exchange(State(fcm): State<Fcm>, form: Result<Form<Request>, FormRejection>) -> Response {
    let Ok(Form(request)) = form else {
        return refused("invalid_request", "The request body is not a form.");
    };
    if request.grant_type.as_deref() != Some(GRANT) {
        return refused("unsupported_grant_type", "Invalid grant_type");
    }
    let Some(assertion) = request.assertion else {
        return refused("invalid_request", "Missing required parameter: assertion");
    };
    match fcm.tokens.exchange(&assertion) {
        Ok(token) => Json(json!({ "access_token": token, "expires_in": LIFETIME, "token_type": "Bearer" }))
            .into_response(),
        Err(InvalidGrant(description)) => refused("invalid_grant", description),
    }
}

fn refused(error: &str, description: &str) -> Response {
    (
        StatusCode::BAD_REQUEST,
        Json(json!({ "error": error, "error_description": description })),
    )
        .into_response()
}
