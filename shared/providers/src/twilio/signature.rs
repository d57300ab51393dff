//! The signature of Twilio's callbacks (<https://www.twilio.com/docs/usage/security#validating-requests>): base64 of an
//! HMAC-SHA1 under the account's auth token over the URL exactly as it is called, followed by the name and the value of
//! each parameter of a form, sorted. If the body is JSON, the URL's parameter `bodySHA256` is the body's SHA-256.

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::{
    digest::{SHA1_OUTPUT_LEN, SHA256, digest},
    hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, verify},
};
use secrecy::ExposeSecret as _;
use url::{Url, form_urlencoded};

use super::{
    TwilioConfig,
    callback::RETRIES,
    inbound::Sender,
    receipt::{is_json, query, read},
};
use crate::receipt::{Callback, NotGenuine, Receipt, SignedReceipts, UnreadableCall};

/// Verifies and reads the callbacks to one account.
pub(super) struct TwilioReceipts {
    /// The spellings of the public URL, without the query.
    urls: Vec<String>,
    /// One token, or two during a rotation.
    tokens: Vec<Key>,
    /// The sender of the account's messages.
    sender: Sender,
}

impl TwilioReceipts {
    /// `url` is the URL of the account's callbacks.
    pub(super) fn new(url: &Url, config: &TwilioConfig) -> Self {
        let tokens = [&config.auth_token, &config.secondary_auth_token]
            .into_iter()
            .flatten();
        Self {
            sender: Sender::of(config),
            urls: spellings(url),
            tokens: tokens
                .map(|token| Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.expose_secret().as_bytes()))
                .collect(),
        }
    }
}

/// The URL without a port, and with the default port of its scheme. Behind a proxy, Twilio may have called either one.
/// Twilio's own validators try both.
fn spellings(url: &Url) -> Vec<String> {
    let mut urls = vec![url.to_string()];
    let path = url.path();
    if let (None, Some(host), Some(port)) = (url.port(), url.host_str(), url.port_or_known_default()) {
        urls.push(format!("{}://{host}:{port}{path}", url.scheme()));
    } else if let Some(host) = url.host_str() {
        urls.push(format!("{}://{host}{path}", url.scheme()));
    }
    urls
}

/// The signature in a call's header.
fn signature(call: &Callback<'_>) -> Result<Vec<u8>, NotGenuine> {
    let text = call.header("x-twilio-signature").ok_or(NotGenuine::Unsigned)?;
    let signature = BASE64_STANDARD.decode(text).map_err(|_| NotGenuine::Unsigned)?;
    if signature.len() != SHA1_OUTPUT_LEN {
        return Err(NotGenuine::Unsigned);
    }
    Ok(signature)
}

impl SignedReceipts for TwilioReceipts {
    fn check_head(&self, head: &Callback<'_>, _: carillon_domain::Timestamp) -> Result<(), NotGenuine> {
        signature(head)?;
        if is_json(head) && !query(head).contains_key("bodySHA256") {
            return Err(NotGenuine::Unsigned);
        }
        Ok(())
    }

    fn verify(&self, call: &Callback<'_>, _: carillon_domain::Timestamp) -> Result<(), NotGenuine> {
        let signature = signature(call)?;
        let parameters = if is_json(call) {
            let named = query(call).remove("bodySHA256").ok_or(NotGenuine::Unsigned)?;
            let hash = hexadecimal(digest(&SHA256, call.body).as_ref());
            // The hash is not secret, because it stands in the URL, so the comparison need not take constant time.
            if !named.eq_ignore_ascii_case(&hash) {
                return Err(NotGenuine::WrongSignature);
            }
            String::new()
        } else {
            sorted(call.body)
        };
        let query = call.query.map(|query| format!("?{query}")).unwrap_or_default();
        // Twilio does not send the URL's fragment, and its documentation does not say whether the fragment is signed.
        // Both are tried.
        for (url, fragment) in self.urls.iter().flat_map(|url| [(url, ""), (url, RETRIES)]) {
            let content = format!("{url}{query}{fragment}{parameters}");
            if self
                .tokens
                .iter()
                .any(|token| verify(token, content.as_bytes(), &signature).is_ok())
            {
                return Ok(());
            }
        }
        Err(NotGenuine::WrongSignature)
    }

    fn read(&self, call: &Callback<'_>) -> Result<Vec<Receipt>, UnreadableCall> {
        read(call, &self.sender).map(|receipt| vec![receipt])
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Name and value of each parameter, sorted; of equal ones only the first.
fn sorted(form: &[u8]) -> String {
    let mut pairs: Vec<_> = form_urlencoded::parse(form).collect();
    pairs.sort();
    pairs.dedup();
    pairs
        .iter()
        .flat_map(|(name, value)| [&**name, &**value])
        .collect()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    fn receipts(url: &str, tokens: [Option<&str>; 2]) -> TwilioReceipts {
        let [auth_token, secondary_auth_token] =
            tokens.map(|token| token.map(|token| token.to_owned().into()));
        let config = TwilioConfig {
            auth_token,
            secondary_auth_token,
            ..super::super::testing::config()
        };
        TwilioReceipts::new(&url.parse().unwrap(), &config)
    }

    fn judge(
        receipts: &TwilioReceipts,
        query: Option<&str>,
        signature: Option<&str>,
        body: &str,
    ) -> Result<(), NotGenuine> {
        judge_as(
            "application/x-www-form-urlencoded",
            receipts,
            query,
            signature,
            body,
        )
    }

    fn judge_as(
        media: &'static str,
        receipts: &TwilioReceipts,
        query: Option<&str>,
        signature: Option<&str>,
        body: &str,
    ) -> Result<(), NotGenuine> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(media));
        if let Some(signature) = signature {
            headers.insert(
                HeaderName::from_static("x-twilio-signature"),
                HeaderValue::from_str(signature).unwrap(),
            );
        }
        let call = Callback {
            query,
            headers: &headers,
            body: body.as_bytes(),
        };
        receipts.verify(&call, carillon_domain::Timestamp::UNIX_EPOCH)
    }

    // The example of Twilio's documentation, which its own libraries test.
    const EXAMPLE: &str =
        "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212";
    const SIGNED: &str = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";

    #[test]
    fn the_documented_example_is_genuine_and_any_change_of_it_is_not() {
        let receipts = receipts("https://mycompany.com/myapp.php", [Some("12345"), None]);
        let query = Some("foo=1&bar=2");
        judge(&receipts, query, Some(SIGNED), EXAMPLE).unwrap();
        // The order of parameters does not matter.
        let reversed: Vec<&str> = EXAMPLE.split('&').rev().collect();
        judge(&receipts, query, Some(SIGNED), &reversed.join("&")).unwrap();
        let wrong = Err(NotGenuine::WrongSignature);
        assert_eq!(
            judge(&receipts, Some("bar=2&foo=1"), Some(SIGNED), EXAMPLE),
            wrong
        );
        assert_eq!(judge(&receipts, None, Some(SIGNED), EXAMPLE), wrong);
        assert_eq!(
            judge(&receipts, query, Some(SIGNED), &EXAMPLE.replace("1234&", "1235&")),
            wrong
        );
        assert_eq!(
            judge(&receipts, query, Some(SIGNED), &format!("{EXAMPLE}&More=1")),
            wrong
        );
        assert_eq!(
            judge(&receipts, query, Some("RSOYDt4T1cUTdK1PDd93/VVr8B9="), EXAMPLE),
            Err(NotGenuine::Unsigned)
        );
        assert_eq!(
            judge(&receipts, query, Some("AAAADt4T1cUTdK1PDd93/VVr8B8="), EXAMPLE),
            wrong
        );
        for unsigned in [None, Some("not base64!"), Some(""), Some("AAAA")] {
            assert_eq!(
                judge(&receipts, query, unsigned, EXAMPLE),
                Err(NotGenuine::Unsigned)
            );
        }
    }

    #[test]
    fn during_a_rotation_either_token_signs_and_the_port_of_the_scheme_may_be_written() {
        let query = Some("foo=1&bar=2");
        for tokens in [[Some("12345"), Some("new")], [Some("new"), Some("12345")]] {
            let receipts = receipts("https://mycompany.com/myapp.php", tokens);
            judge(&receipts, query, Some(SIGNED), EXAMPLE).unwrap();
        }
        let other = receipts("https://mycompany.com/myapp.php", [Some("new"), None]);
        assert_eq!(
            judge(&other, query, Some(SIGNED), EXAMPLE),
            Err(NotGenuine::WrongSignature)
        );
        let with_port = receipts("https://mycompany.com:8443/myapp.php", [Some("12345"), None]);
        judge(&with_port, query, Some(SIGNED), EXAMPLE).unwrap();
        let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"12345");
        let content = format!(
            "https://mycompany.com:443/myapp.php?foo=1{}",
            sorted(EXAMPLE.as_bytes())
        );
        let signature = BASE64_STANDARD.encode(ring::hmac::sign(&key, content.as_bytes()));
        let receipts = receipts("https://mycompany.com/myapp.php", [Some("12345"), None]);
        judge(&receipts, Some("foo=1"), Some(&signature), EXAMPLE).unwrap();
    }

    #[test]
    fn a_json_body_is_signed_through_its_hash_in_the_url() {
        let receipts = receipts("https://mycompany.com/myapp.php", [Some("12345"), None]);
        let body = r#"{"MessageSid":"SM1"}"#;
        let hash = hexadecimal(digest(&SHA256, body.as_bytes()).as_ref());
        let query = format!("foo=1&bodySHA256={hash}");
        let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"12345");
        let signed = format!("https://mycompany.com/myapp.php?{query}");
        let signature = BASE64_STANDARD.encode(ring::hmac::sign(&key, signed.as_bytes()));
        let judge =
            |query: &str, body| judge_as("application/json", &receipts, Some(query), Some(&signature), body);
        judge(&query, body).unwrap();
        assert_eq!(
            judge(&query, r#"{"MessageSid":"SM2"}"#),
            Err(NotGenuine::WrongSignature)
        );
        assert_eq!(judge("foo=1", body), Err(NotGenuine::Unsigned));
    }

    #[test]
    fn each_different_value_of_a_repeated_parameter_is_signed_once() {
        assert_eq!(sorted(b"b=2&a=1&b=1&b=2"), "a1b1b2");
    }
}
