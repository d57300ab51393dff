//! The signature of Standard Webhooks: HMAC-SHA256 over id, timestamp and body.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use carillon_domain::contact::SigningSecret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The value of `webhook-signature`: one signature for each secret. A receiver accepts the request if one of them is its own, so secrets
/// can be replaced without a pause.
pub(super) fn signatures(secrets: &[SigningSecret], id: &str, seconds: i64, body: &[u8]) -> String {
    let all: Vec<String> = secrets
        .iter()
        .map(|secret| signature(secret, id, seconds, body))
        .collect();
    all.join(" ")
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn signature(secret: &SigningSecret, id: &str, seconds: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.key()).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's libraries
    /// (<https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries/python/tests/test_webhooks.py>).
    #[test]
    fn the_signature_is_that_of_the_specifications_libraries() {
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let of = |secrets: &[SigningSecret]| {
            let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
            signatures(secrets, id, 1_614_265_330, br#"{"test": 2432232314}"#)
        };
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(of(std::slice::from_ref(&secret)), expected);
        let both = of(&[SigningSecret::of([7; 32]), secret]);
        assert!(
            both.starts_with("v1,") && both.ends_with(&format!(" {expected}")),
            "{both}"
        );
        assert_eq!(both.split(' ').count(), 2);
    }
}
