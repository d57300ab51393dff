//! Provider tokens: signed statements of the team's identity, one in each request.
//!
//! Apple refuses a token older than an hour, and refuses a team that makes new ones more often than every 20 minutes
//! (`TooManyProviderTokenUpdates`). All workers of a team therefore make the *same* token: its time of issue is rounded
//! down to a slot of 40 minutes, and the signature follows from key and text alone (RFC 6979), so that equal claims
//! give equal bytes. Clocks of workers that differ by some seconds cause two tokens at the end of a slot only.

use std::time::Duration;

use carillon_domain::Timestamp;
use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use super::config::ApnsConfig;
use crate::setting::SettingError;

/// The time for which one token is used.
const SLOT: Duration = Duration::from_mins(40);
/// The slot after Apple has called a token expired: the shortest time between two tokens that Apple accepts.
const SHORT_SLOT: Duration = Duration::from_mins(20);
/// The age of a token at its first use. It keeps a token of a fast clock from being issued in Apple's future.
const LEAD: Duration = Duration::from_mins(1);

/// The setting that errors in a key name.
const KEY: &str = "key";

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: i64,
}

/// The tokens of one key.
pub struct ProviderTokens {
    header: Header,
    team_id: String,
    key: EncodingKey,
}

/// A token.
#[derive(Clone)]
pub struct ProviderToken {
    /// The value of the header `authorization`.
    pub authorization: HeaderValue,
    /// The time of issue, in seconds since 1970.
    pub issued_at: i64,
}

impl ProviderTokens {
    /// Reads the account's key, and signs with it once: a key of another curve is found here.
    pub fn new(config: &ApnsConfig, pem: &str) -> Result<Self, SettingError> {
        let wrong = || {
            SettingError::new(
                KEY,
                "expected a private key of the curve P-256 in PEM, as a .p8 file has it",
            )
        };
        let header = Header {
            // Apple reads `alg` and `kid`.
            typ: None,
            kid: Some(config.key_id.as_str().to_owned()),
            ..Header::new(Algorithm::ES256)
        };
        let tokens = Self {
            header,
            team_id: config.team_id.as_str().to_owned(),
            key: EncodingKey::from_ec_pem(pem.as_bytes()).map_err(|_| wrong())?,
        };
        tokens.sign(0).ok_or_else(wrong)?;
        Ok(tokens)
    }

    /// The time of issue of the token that all workers use at a time.
    #[must_use]
    pub fn issued_at(now: Timestamp) -> i64 {
        Self::slot(now, SLOT)
    }

    /// The time of issue of the token to use after Apple has called the present one expired: the same time, or one 20
    /// minutes later.
    #[must_use]
    pub fn renewed_at(now: Timestamp) -> i64 {
        Self::slot(now, SHORT_SLOT)
    }

    #[expect(clippy::cast_possible_wrap, reason = "minutes")]
    fn slot(now: Timestamp, slot: Duration) -> i64 {
        let (lead, slot) = (LEAD.as_secs() as i64, slot.as_secs() as i64);
        (now.timestamp() - lead).div_euclid(slot) * slot
    }

    /// The token of a time of issue; `None` if the key cannot sign.
    #[must_use]
    pub fn sign(&self, issued_at: i64) -> Option<ProviderToken> {
        let claims = Claims {
            iss: &self.team_id,
            iat: issued_at,
        };
        let token = jsonwebtoken::encode(&self.header, &claims, &self.key).ok()?;
        let mut authorization = HeaderValue::try_from(format!("bearer {token}")).ok()?;
        authorization.set_sensitive(true);
        Some(ProviderToken {
            authorization,
            issued_at,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A key that signs nothing but tests.
    pub(in crate::apns) const TEST_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg4dG3+lIRVw7RBHyj
vaglC0uSulY3t/3FcIjTjqjhTwihRANCAARctnOGqXPYWOsDWNEOWBVo96dY+QIL
D0XhLWoNlrlMDbvK1UZlPvClnRyifWbT9KQ74PpTHLsUytAJuKD8ncRj
-----END PRIVATE KEY-----
";

    fn tokens() -> ProviderTokens {
        ProviderTokens::new(&config(), TEST_KEY).unwrap()
    }

    fn config() -> ApnsConfig {
        let json = r#"{"team_id":"TEAM000001","key_id":"KEY0000001","topic":"com.example.shop"}"#;
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn workers_that_read_the_same_key_make_the_same_token_to_the_byte() {
        let [one, other] = [tokens(), tokens()].map(|tokens| tokens.sign(1_764_000_000).unwrap());
        assert_eq!(one.authorization, other.authorization);
        assert!(one.authorization.to_str().unwrap().starts_with("bearer eyJ"));
        assert!(!format!("{:?}", one.authorization).contains("eyJ"));
    }

    #[test]
    fn a_token_names_its_key_its_team_and_its_time() {
        use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

        let token = tokens().sign(1_764_000_000).unwrap();
        let text = token
            .authorization
            .to_str()
            .unwrap()
            .strip_prefix("bearer ")
            .unwrap();
        let parts: Vec<String> = text
            .split('.')
            .take(2)
            .map(|part| String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
            .collect();
        assert_eq!(parts[0], r#"{"alg":"ES256","kid":"KEY0000001"}"#);
        assert_eq!(parts[1], r#"{"iss":"TEAM000001","iat":1764000000}"#);
    }

    #[test]
    fn a_text_that_is_not_a_p256_key_is_refused_and_not_repeated() {
        for wrong in [
            "",
            "secret",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            let Err(fault) = ProviderTokens::new(&config(), wrong) else {
                panic!("{wrong} is a key")
            };
            assert!(fault.expected.contains("P-256") && !fault.expected.contains("secret"));
        }
    }

    proptest! {
        #[test]
        fn a_token_is_never_older_than_an_hour_nor_of_the_future_and_changes_every_40_minutes_at_most(
            seconds in 1_700_000_000_i64..4_000_000_000,
            later in 0_i64..2_400,
        ) {
            let at = |seconds| Timestamp::from_timestamp(seconds, 0).unwrap();
            let (first, second) = (ProviderTokens::issued_at(at(seconds)), ProviderTokens::issued_at(at(seconds + later)));
            for (now, issued) in [(seconds, first), (seconds + later, second)] {
                prop_assert!((60..=2_460).contains(&(now - issued)));
            }
            prop_assert!(second == first || second == first + 2_400);
            let renewed = ProviderTokens::renewed_at(at(seconds));
            prop_assert!(renewed == first || renewed == first + 1_200);
        }
    }
}
