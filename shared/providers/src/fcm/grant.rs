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

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

/// The meaning of an answer to a request for a token. No message has been sent yet, so another try is safe.
pub fn granted(answer: &ProviderResponse) -> Result<GrantedToken, SendOutcome> {
    let refusal = |code: String, detail| Refusal::new(Scope::Account, code, detail);
    match answer.status {
        200..300 => read(&answer.body).ok_or_else(|| {
            let detail = "the token endpoint's answer cannot be read";
            SendOutcome::Retry(refusal("oauth-answer".to_owned(), detail))
        }),
        status @ (429 | 500..) => {
            let refusal = refusal(format!("oauth-http-{status}"), "no token could be fetched");
            Err(SendOutcome::Retry(refusal.after(answer.retry_after)))
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
        life: Duration::from_secs(granted.expires_in),
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
    fn an_answer_without_a_token_is_tried_again_unless_the_account_is_refused() {
        for (status, body, expected) in [
            (200, "<html>", "retry oauth-answer"),
            (
                200,
                r#"{"access_token":"a\nb","expires_in":1}"#,
                "retry oauth-answer",
            ),
            (429, "", "retry oauth-http-429"),
            (503, "", "retry oauth-http-503"),
            (400, r#"{"error":"invalid_grant"}"#, "config oauth-http-400"),
            (401, "", "config oauth-http-401"),
        ] {
            assert_eq!(refused(status, body), expected);
        }
    }
}
