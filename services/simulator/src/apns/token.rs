//! Checks provider tokens: their signature, their age, and the time between two tokens of a team.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use parking_lot::Mutex;
use serde::Deserialize;

use crate::SimulatorError;
use crate::clock;

/// The longest age of a token, in seconds.
const OLDEST: i64 = 3_600;
/// The shortest time between two tokens of a team, in seconds.
const BETWEEN: i64 = 1_200;
/// The lead of a client's clock that is accepted, in seconds.
const CLOCK_SKEW: i64 = 300;

#[derive(Deserialize)]
struct Claims {
    iss: String,
    iat: i64,
}

/// The team and key that the server knows.
pub(crate) struct ProviderTokens {
    team_id: String,
    key_id: String,
    /// Without it, signatures are not checked.
    key: Option<DecodingKey>,
    /// The token that the team uses now, and its time of issue.
    current: Mutex<Option<(String, i64)>>,
}

impl ProviderTokens {
    pub(crate) fn new(
        team_id: String,
        key_id: String,
        public_key_pem: Option<&str>,
    ) -> Result<Self, SimulatorError> {
        let key = public_key_pem
            .map(|pem| DecodingKey::from_ec_pem(pem.as_bytes()))
            .transpose()
            .map_err(SimulatorError::ApnsPublicKey)?;
        Ok(Self {
            team_id,
            key_id,
            key,
            current: Mutex::default(),
        })
    }

    /// Admits a request. The error is the status and the reason of the refusal.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<(), (u16, &'static str)> {
        let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, token)) = authorization.and_then(|value| value.split_once(' ')) else {
            return Err((403, "MissingProviderToken"));
        };
        let invalid = (403, "InvalidProviderToken");
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(invalid);
        }
        let head = jsonwebtoken::decode_header(token).map_err(|_| invalid)?;
        if head.alg != Algorithm::ES256 || head.kid.as_deref() != Some(&*self.key_id) {
            return Err(invalid);
        }
        let claims = match &self.key {
            Some(key) => jsonwebtoken::decode::<Claims>(token, key, &signature_only()),
            None => jsonwebtoken::dangerous::insecure_decode::<Claims>(token),
        };
        let claims = claims.map_err(|_| invalid)?.claims;
        if claims.iss != self.team_id {
            return Err(invalid);
        }
        let age = clock::now().timestamp() - claims.iat;
        if age > OLDEST {
            return Err((403, "ExpiredProviderToken"));
        }
        if age < -CLOCK_SKEW {
            return Err(invalid);
        }
        self.one_at_a_time(token, claims.iat)
    }

    /// Refuses a second token within 20 minutes of the first. This happens to a team whose workers each make tokens of
    /// their own.
    fn one_at_a_time(&self, token: &str, issued_at: i64) -> Result<(), (u16, &'static str)> {
        let mut current = self.current.lock();
        match &*current {
            Some((known, _)) if known == token => return Ok(()),
            Some((_, known_at)) if (issued_at - known_at).abs() < BETWEEN => {
                return Err((429, "TooManyProviderTokenUpdates"));
            }
            // The message was already under way with an older token when the current one came.
            Some((_, known_at)) if issued_at < *known_at => return Ok(()),
            _ => {}
        }
        *current = Some((token.to_owned(), issued_at));
        Ok(())
    }
}

fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::ES256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}
