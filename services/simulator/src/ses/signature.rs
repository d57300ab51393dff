//! Signatures of requests: Signature Version 4, verified as IAM's user guide describes it
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>). The simulator computes
//! them by itself, so that it also checks the signer of its clients.

use std::fmt::Write as _;

use axum::http::{HeaderMap, Uri, header};
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Account;
use super::error::SesError;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "ses";
/// The longest time between the date of a request and its arrival, either way.
const TOLERANCE: TimeDelta = TimeDelta::minutes(15);
const TOKEN: &str = "x-amz-security-token";

/// The `Authorization` header.
struct Authorization<'a> {
    access_key_id: &'a str,
    /// `date/region/service/aws4_request`.
    scope: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let fields = text.strip_prefix(ALGORITHM)?.strip_prefix(' ')?;
        let (mut credential, mut signed, mut signature) = (None, None, None);
        for field in fields.split(',') {
            match field.trim().split_once('=')? {
                ("Credential", value) => credential = Some(value),
                ("SignedHeaders", value) => signed = Some(value),
                ("Signature", value) => signature = Some(value),
                _ => return None,
            }
        }
        let (access_key_id, scope) = credential?.split_once('/')?;
        Some(Self {
            access_key_id,
            scope,
            signed_headers: signed?.split(';').collect(),
            signature: signature?,
        })
    }
}

/// Checks who sent a request, when, and that it is unchanged.
pub(super) fn verify(
    account: &Account,
    method: &str,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<(), SesError> {
    let Some(given) = text(headers, header::AUTHORIZATION.as_str()) else {
        let message = "Missing Authentication Token";
        return Err(SesError::forbidden(
            "MissingAuthenticationTokenException",
            message,
        ));
    };
    let incomplete = || {
        SesError::forbidden(
            "IncompleteSignatureException",
            "The Authorization header is not complete.",
        )
    };
    let authorization = Authorization::parse(given).ok_or_else(incomplete)?;
    let token = text(headers, TOKEN);
    if authorization.access_key_id != account.access_key_id || token != account.session_token.as_deref() {
        let message = "The security token included in the request is invalid.";
        return Err(SesError::forbidden("UnrecognizedClientException", message));
    }
    let invalid = |message: String| SesError::forbidden("InvalidSignatureException", message);
    let date = text(headers, "x-amz-date").ok_or_else(incomplete)?;
    let at = NaiveDateTime::parse_from_str(date, "%Y%m%dT%H%M%SZ").map_err(|_| incomplete())?;
    let at = at.and_utc();
    if at + TOLERANCE < now {
        return Err(invalid(format!(
            "Signature expired: {date} is now earlier than the tolerated time."
        )));
    }
    if at - TOLERANCE > now {
        return Err(invalid(format!(
            "Signature not yet current: {date} is still later than the tolerated time."
        )));
    }
    let scope = format!("{}/{}/{SERVICE}/aws4_request", &date[..8], account.region);
    if authorization.scope != scope {
        return Err(invalid(format!("Credential should be scoped to {scope}.")));
    }
    let is_signed = |name: &str| authorization.signed_headers.contains(&name);
    let must_be_signed =
        |name: &&str| *name == "host" || *name == "content-type" || name.starts_with("x-amz-");
    let names = headers.keys().map(header::HeaderName::as_str);
    if let Some(name) = names.filter(must_be_signed).find(|name| !is_signed(name)) {
        return Err(invalid(format!(
            "'{name}' must be a 'SignedHeader' in the AWS Authorization."
        )));
    }
    let Some(request) = canonical_request(method, uri, headers, &authorization.signed_headers, body) else {
        return Err(invalid(
            "A signed header is missing, or the signed headers are not sorted.".to_owned(),
        ));
    };
    let to_sign = format!("{ALGORITHM}\n{date}\n{scope}\n{}", hex(&Sha256::digest(request)));
    let mut key = format!("AWS4{}", account.secret_access_key).into_bytes();
    for part in scope.split('/') {
        key = hmac(&key, part);
    }
    let expected = hex(&hmac(&key, &to_sign));
    if bool::from(expected.as_bytes().ct_eq(authorization.signature.as_bytes())) {
        return Ok(());
    }
    let message = "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                   Access Key and signing method. Consult the service documentation for details.";
    Err(invalid(message.to_owned()))
}

/// The request in the form that is signed; `None` if a signed header is missing or they are not sorted.
fn canonical_request(
    method: &str,
    uri: &Uri,
    headers: &HeaderMap,
    signed: &[&str],
    body: &[u8],
) -> Option<String> {
    let mut lines = String::new();
    for (at, name) in signed.iter().enumerate() {
        let is_sorted = at == 0 || signed[at - 1] < *name;
        if !is_sorted || !headers.contains_key(*name) {
            return None;
        }
        let values: Option<Vec<String>> = headers
            .get_all(*name)
            .iter()
            .map(|value| {
                Some(
                    value
                        .to_str()
                        .ok()?
                        .split_whitespace()
                        .collect::<Vec<_>>()
                        .join(" "),
                )
            })
            .collect();
        // Writing to a string does not fail.
        let _ = writeln!(lines, "{name}:{}", values?.join(","));
    }
    let query = uri.query().unwrap_or_default();
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            if pair.contains('=') {
                pair.to_owned()
            } else {
                format!("{pair}=")
            }
        })
        .collect();
    pairs.sort();
    Some(format!(
        "{method}\n{}\n{}\n{lines}\n{}\n{}",
        encoded_path(uri.path()),
        pairs.join("&"),
        signed.join(";"),
        hex(&Sha256::digest(body))
    ))
}

/// The path as it was sent, percent-encoded once more.
fn encoded_path(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    // HMAC takes keys of every length, so that there is no error.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of IAM's user guide, whose parts are published:
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-signing-examples.html>, and AWS's test suite
    /// (`get-vanilla`): the canonical request's hash and the key are known.
    #[test]
    fn the_canonical_request_and_the_key_are_those_of_awss_test_suite() {
        let mut headers = HeaderMap::new();
        headers.insert("host", "example.amazonaws.com".parse().unwrap());
        headers.insert("x-amz-date", "20150830T123600Z".parse().unwrap());
        let uri = "/".parse().unwrap();
        let request = canonical_request("GET", &uri, &headers, &["host", "x-amz-date"], b"").unwrap();
        assert_eq!(
            hex(&Sha256::digest(request)),
            "bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63"
        );
        let mut key = b"AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_vec();
        for part in ["20150830", "us-east-1", "service", "aws4_request"] {
            key = hmac(&key, part);
        }
        let to_sign = "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/service/aws4_request\n\
                       bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63";
        assert_eq!(
            hex(&hmac(&key, to_sign)),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
    }

    #[test]
    fn a_header_that_is_missing_or_out_of_order_has_no_canonical_request() {
        let mut headers = HeaderMap::new();
        headers.insert("host", "h".parse().unwrap());
        headers.insert("x-amz-date", "d".parse().unwrap());
        let uri = "/".parse().unwrap();
        let of = |signed: &[&str]| canonical_request("GET", &uri, &headers, signed, b"");
        assert!(of(&["host", "x-amz-date"]).is_some());
        for signed in [
            &["x-amz-date", "host"][..],
            &["host", "x-other"],
            &["host", "host"],
        ] {
            assert!(of(signed).is_none(), "{signed:?}");
        }
    }
}
