//! Google's OAuth for service accounts: a signed assertion is exchanged for a token.

use std::time::Duration;

use carillon_domain::Timestamp;
use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use url::{Url, form_urlencoded};

use super::service_account::{KEY, ServiceAccount};
use crate::{
    http::{ProviderRequest, ProviderResponse},
    outcome::{Refusal, Scope, SendOutcome},
    setting::SettingError,
};

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The life of an assertion; Google accepts an hour at most.
const LIFE_OF_ASSERTION: i64 = 3_600;

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'static str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

/// The requests for tokens of one service account.
pub struct TokenRequests {
    client_email: String,
    token_uri: String,
    url: Url,
    key: EncodingKey,
}

impl TokenRequests {
    /// Reads the account's key.
    pub fn new(account: ServiceAccount) -> Result<Self, SettingError> {
        let key = EncodingKey::from_rsa_pem(account.private_key.as_bytes())
            .map_err(|_| SettingError::new(KEY, "expected an RSA private_key in PEM"))?;
        let url = Url::parse(&account.token_uri).ok();
        let url = url
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| SettingError::new(KEY, "expected an http or https URL as token_uri"))?;
        if !account.client_email.contains('@') {
            return Err(SettingError::new(
                KEY,
                "expected an e-mail address as client_email",
            ));
        }
        Ok(Self {
            client_email: account.client_email,
            token_uri: account.token_uri,
            url,
            key,
        })
    }

    /// The request for a token.
    pub fn build(&self, now: Timestamp) -> Result<ProviderRequest, SendOutcome> {
        let iat = now.timestamp();
        let claims = Claims {
            iss: &self.client_email,
            scope: SCOPE,
            aud: &self.token_uri,
            iat,
            exp: iat + LIFE_OF_ASSERTION,
        };
        let assertion =
            jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key).map_err(|_| {
                SendOutcome::Config(Refusal::new(
                    Scope::Account,
                    "oauth-key",
                    "the service account's key cannot sign",
                ))
            })?;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", GRANT)
            .append_pair("assertion", &assertion);
        Ok(ProviderRequest::form(self.url.clone(), form.finish()))
    }
}

/// A token that the provider has granted.
pub struct GrantedToken {
    /// The value of the header `Authorization`.
    pub authorization: HeaderValue,
    /// The life of the token.
    pub life: Duration,
}

/// The life of a token whose answer names none, which RFC 6749 §5.1 allows.
const LIFE_UNLESS_NAMED: Duration = Duration::from_mins(5);

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// Seconds. Some servers write the number as a text.
    expires_in: Option<Seconds>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

impl Seconds {
    fn read(self) -> Option<Duration> {
        let seconds = match self {
            Self::Number(seconds) => seconds,
            Self::Text(text) => text.parse().ok()?,
        };
        Some(Duration::from_secs(seconds))
    }
}

/// The meaning of an answer to a request for a token. All messages of the account wait for the token, so the account is
/// held, and no message counts an attempt.
pub fn granted(answer: &ProviderResponse) -> Result<GrantedToken, SendOutcome> {
    let refusal = |code: String, detail| Refusal::new(Scope::Account, code, detail);
    match answer.status {
        200..300 => read(&answer.body).ok_or_else(|| {
            let detail = "the token endpoint's answer cannot be read";
            SendOutcome::Throttle(refusal("oauth-answer".to_owned(), detail))
        }),
        status @ (429 | 500..) => {
            let refusal = refusal(format!("oauth-http-{status}"), "no token could be fetched");
            Err(SendOutcome::Throttle(refusal.after(answer.retry_after)))
        }
        status => {
            let detail = "the service account is not accepted";
            Err(SendOutcome::Config(refusal(
                format!("oauth-http-{status}"),
                detail,
            )))
        }
    }
}

fn read(body: &[u8]) -> Option<GrantedToken> {
    let granted: Granted = serde_json::from_slice(body).ok()?;
    let mut authorization = HeaderValue::try_from(format!("Bearer {}", granted.access_token)).ok()?;
    authorization.set_sensitive(true);
    Some(GrantedToken {
        authorization,
        life: granted
            .expires_in
            .map_or(Some(LIFE_UNLESS_NAMED), Seconds::read)?,
    })
}

/// The outcome of a send for which the token endpoint gave no answer.
pub fn unreachable() -> SendOutcome {
    SendOutcome::Retry(Refusal::new(
        Scope::Connection,
        "oauth-unreachable",
        "no token could be fetched",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> ProviderResponse {
        ProviderResponse {
            status,
            body: body.as_bytes().to_vec(),
            ..ProviderResponse::default()
        }
    }

    fn refused(status: u16, body: &str) -> String {
        let Err(outcome) = granted(&answer(status, body)) else {
            panic!("{status} {body} grants a token")
        };
        let code = outcome.refusal().unwrap().code.clone();
        format!("{} {code}", outcome.name())
    }

    #[test]
    fn a_granted_token_is_a_header_that_no_log_shows() {
        let granted = granted(&answer(200, r#"{"access_token":"t-1","expires_in":3600}"#)).unwrap();
        assert_eq!(granted.authorization, "Bearer t-1");
        assert!(!format!("{:?}", granted.authorization).contains("t-1"));
        assert_eq!(granted.life, Duration::from_hours(1));
    }

    #[test]
    fn the_life_of_a_token_may_be_a_text_or_absent() {
        for (body, life) in [
            (
                r#"{"access_token":"t","expires_in":"3600"}"#,
                Duration::from_hours(1),
            ),
            (r#"{"access_token":"t"}"#, LIFE_UNLESS_NAMED),
        ] {
            assert_eq!(granted(&answer(200, body)).unwrap().life, life);
        }
    }

    #[test]
    fn an_answer_without_a_token_pauses_the_account_unless_the_account_is_refused() {
        for (status, body, expected) in [
            (200, "<html>", "throttle oauth-answer"),
            (
                200,
                r#"{"access_token":"a\nb","expires_in":1}"#,
                "throttle oauth-answer",
            ),
            (
                200,
                r#"{"access_token":"t","expires_in":"soon"}"#,
                "throttle oauth-answer",
            ),
            (429, "", "throttle oauth-http-429"),
            (503, "", "throttle oauth-http-503"),
            (400, r#"{"error":"invalid_grant"}"#, "config oauth-http-400"),
            (401, "", "config oauth-http-401"),
        ] {
            assert_eq!(refused(status, body), expected);
        }
    }
}
