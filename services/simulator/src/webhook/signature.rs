//! The check of a request's signature.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The greatest difference between a request's time and the present, in seconds.
const TOLERANCE: i64 = 300;
/// The beginning of a secret.
const PREFIX: &str = "whsec_";

/// The key of the endpoints.
pub(crate) struct Key(Vec<u8>);

impl Key {
    /// Reads a secret, `whsec_` and base64.
    pub(crate) fn parse(secret: &str) -> Option<Self> {
        let key = STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
        (!key.is_empty()).then_some(Self(key))
    }

    /// Checks a request; returns its `webhook-id`. The error is the fault of the request.
    pub(super) fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<String, &'static str> {
        let one = |name: &str, missing| {
            let mut values = headers.get_all(name).iter();
            match (values.next().map(|value| value.to_str()), values.next()) {
                (Some(Ok(value)), None) if !value.is_empty() => Ok(value),
                _ => Err(missing),
            }
        };
        let id = one("webhook-id", "expected one header webhook-id")?;
        if id.contains('.') {
            return Err("expected a webhook-id without dots");
        }
        let timestamp = one("webhook-timestamp", "expected one header webhook-timestamp")?;
        let seconds: i64 = timestamp
            .parse()
            .map_err(|_| "expected webhook-timestamp in seconds since 1970")?;
        if (now.timestamp() - seconds).abs() > TOLERANCE {
            return Err("expected a webhook-timestamp within five minutes of now");
        }
        let signatures = one("webhook-signature", "expected one header webhook-signature")?;
        let is_own = |signature: &str| {
            let Some(signature) = signature
                .strip_prefix("v1,")
                .and_then(|encoded| STANDARD.decode(encoded).ok())
            else {
                return false;
            };
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
                return false;
            };
            mac.update(format!("{id}.{timestamp}.").as_bytes());
            mac.update(body);
            mac.verify_slice(&signature).is_ok()
        };
        if signatures.split(' ').any(is_own) {
            Ok(id.to_owned())
        } else {
            Err("expected a signature v1 of this endpoint's secret")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the specification's libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    fn verified(id: &str, timestamp: &str, signature: &str, now: i64) -> Result<String, &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("webhook-id", id),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", signature),
        ] {
            if !value.is_empty() {
                headers.insert(name, value.parse().unwrap());
            }
        }
        let now = DateTime::from_timestamp(now, 0).unwrap();
        Key::parse(SECRET).unwrap().verify(&headers, BODY, now)
    }

    #[test]
    fn a_request_is_accepted_with_one_signature_of_the_secret_among_several() {
        let at = 1_614_265_330;
        let several = format!("v1a,AAAA v1,AAAA {SIGNATURE}");
        for (signature, now) in [(SIGNATURE, at), (SIGNATURE, at + 300), (&several, at)] {
            assert_eq!(verified(ID, "1614265330", signature, now).unwrap(), ID);
        }
    }

    #[test]
    fn a_request_that_is_not_genuine_is_refused() {
        let at = 1_614_265_330;
        let unversioned = SIGNATURE.trim_start_matches("v1,");
        for (id, timestamp, signature, now) in [
            ("", "1614265330", SIGNATURE, at),
            ("msg_other", "1614265330", SIGNATURE, at),
            ("a.b", "1614265330", SIGNATURE, at),
            (ID, "", SIGNATURE, at),
            (ID, "soon", SIGNATURE, at),
            (ID, "1614265331", SIGNATURE, at),
            (ID, "1614265330", SIGNATURE, at + 301),
            (ID, "1614265330", SIGNATURE, at - 301),
            (ID, "1614265330", "", at),
            (ID, "1614265330", unversioned, at),
            (ID, "1614265330", "v1,AAAA", at),
            (
                ID,
                "1614265330",
                "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
                at,
            ),
        ] {
            assert!(
                verified(id, timestamp, signature, now).is_err(),
                "{id} {timestamp} {signature}"
            );
        }
    }
}
