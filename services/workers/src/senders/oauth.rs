//! Google's OAuth for service accounts: a signed assertion is exchanged for a token, which is cached until shortly
//! before it expires. Concurrent senders share one exchange.

use std::{sync::Arc, time::Duration};

use carillon_domain::{
    Timestamp,
    clock::{SharedClock, later},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::{ProviderConfigError, http::exchange};
use crate::{
    config::FcmConfig,
    outcome::{Refusal, Scope, SendOutcome},
};

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The time before its expiry at which a token is renewed.
const MARGIN: Duration = Duration::from_mins(5);
/// Google's tokens last an hour. A token that claims a longer life is renewed within a day.
const LONGEST: Duration = Duration::from_hours(24);
/// The age below which a token is not renewed although an answer refuses it: that answer belongs to an older token.
const FRESH: Duration = Duration::from_secs(10);

/// The fields of a service account's JSON key that we need.
#[derive(Clone, Deserialize)]
pub(super) struct ServiceAccount {
    pub(super) project_id: String,
    client_email: String,
    private_key: String,
    token_uri: String,
}

impl ServiceAccount {
    pub(super) fn load(config: &FcmConfig) -> Result<Self, ProviderConfigError> {
        let key = "fcm.service_account";
        let json = match (&config.service_account, &config.service_account_path) {
            (Some(json), None) => json.expose_secret().to_owned(),
            (None, Some(path)) => std::fs::read_to_string(path)
                .map_err(|error| ProviderConfigError::value(key, format!("{}: {error}", path.display())))?,
            _ => {
                return Err(ProviderConfigError::value(
                    key,
                    "expected service_account or service_account_path",
                ));
            }
        };
        serde_json::from_str(&json).map_err(|_| {
            let expected = "expected JSON with project_id, client_email, private_key and token_uri";
            ProviderConfigError::value(key, expected)
        })
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'static str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

struct Token {
    text: Arc<str>,
    fetched_at: Timestamp,
    renew_at: Timestamp,
}

/// The account's current token, and how to obtain a new one.
pub(super) struct Tokens {
    account: ServiceAccount,
    key: EncodingKey,
    client: reqwest::Client,
    clock: SharedClock,
    current: Mutex<Option<Token>>,
}

impl Tokens {
    pub(super) fn new(
        account: ServiceAccount,
        client: reqwest::Client,
        clock: SharedClock,
    ) -> Result<Self, ProviderConfigError> {
        let key = EncodingKey::from_rsa_pem(account.private_key.as_bytes()).map_err(|_| {
            ProviderConfigError::value("fcm.service_account", "expected an RSA private_key in PEM")
        })?;
        Ok(Self {
            account,
            key,
            client,
            clock,
            current: Mutex::new(None),
        })
    }

    /// Returns the token; fetches a new one if there is none, it expires soon, or the last was refused (`renew`).
    pub(super) async fn get(&self, renew: bool) -> Result<Arc<str>, SendOutcome> {
        let mut current = self.current.lock().await;
        let now = self.clock.now();
        if let Some(token) = &*current {
            let is_fresh = now < later(token.fetched_at, FRESH);
            if now < token.renew_at && (!renew || is_fresh) {
                return Ok(Arc::clone(&token.text));
            }
        }
        let granted = self.fetch(now).await?;
        let lifetime = Duration::from_secs(granted.expires_in)
            .min(LONGEST)
            .saturating_sub(MARGIN);
        let text: Arc<str> = Arc::from(granted.access_token);
        let renew_at = later(now, lifetime);
        *current = Some(Token {
            text: Arc::clone(&text),
            fetched_at: now,
            renew_at,
        });
        Ok(text)
    }

    async fn fetch(&self, now: Timestamp) -> Result<Granted, SendOutcome> {
        let iat = now.timestamp();
        let claims = Claims {
            iss: &self.account.client_email,
            scope: SCOPE,
            aud: &self.account.token_uri,
            iat,
            exp: iat + 3_600,
        };
        let assertion =
            jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key).map_err(|_| {
                SendOutcome::Config(Refusal::new(
                    Scope::Account,
                    "oauth-key",
                    "the service account's key cannot sign",
                ))
            })?;
        let form = [("grant_type", GRANT), ("assertion", &assertion)];
        let Ok(answer) = exchange(self.client.post(&self.account.token_uri).form(&form), now).await else {
            // No message has been sent yet, so another try is safe.
            return Err(SendOutcome::Retry(Refusal::new(
                Scope::Connection,
                "oauth-unreachable",
                "no token could be fetched",
            )));
        };
        match answer.status {
            200..300 => serde_json::from_slice(&answer.body).map_err(|_| {
                SendOutcome::Retry(Refusal::new(
                    Scope::Account,
                    "oauth-answer",
                    "the token endpoint's answer cannot be read",
                ))
            }),
            429 | 500.. => {
                let refusal = Refusal::new(
                    Scope::Account,
                    format!("oauth-http-{}", answer.status),
                    "no token could be fetched",
                );
                Err(SendOutcome::Retry(refusal.after(answer.retry_after)))
            }
            status => {
                let refusal = Refusal::new(
                    Scope::Account,
                    format!("oauth-http-{status}"),
                    "the service account is not accepted",
                );
                Err(SendOutcome::Config(refusal))
            }
        }
    }
}
