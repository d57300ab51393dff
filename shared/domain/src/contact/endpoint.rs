//! Endpoints of webhooks: their URLs, and the secrets that sign requests to them.

use base64::{Engine as _, alphabet, engine::general_purpose};
use secrecy::{ExposeSecret as _, SecretSlice};
use url::{Host, Url};

use super::AddressError;

/// The longest URL, in bytes.
pub(super) const MAX_URL: usize = 2_048;

/// The most secrets that an endpoint has at once: the present one, and those that are being replaced.
pub const SECRETS_AT_ONCE: usize = 3;

/// Reads the URL of an endpoint: http or https, without user, password and fragment.
fn parse(address: &str) -> Option<Url> {
    if address.len() > MAX_URL || !address.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let url = Url::parse(address).ok()?;
    let is_endpoint = matches!(url.scheme(), "https" | "http")
        // Browsers, and the parser, also read "https:example.com" and "https:///example.com".
        && address.split_once("://").is_some_and(|(_, rest)| {
            let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
            !authority.is_empty() && !authority.contains('@')
        })
        && url.host().is_some_and(|host| is_possible(&host))
        && url.port() != Some(0)
        && url.fragment().is_none();
    is_endpoint.then_some(url)
}

/// Whether a host may exist: labels of a domain name have 1 to 63 letters, digits, underscores and inner hyphens.
fn is_possible(host: &Host<&str>) -> bool {
    let Host::Domain(name) = host else { return true };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.len() <= 253 && name.strip_suffix('.').unwrap_or(name).split('.').all(is_label)
}

pub(super) fn check(address: &str) -> Result<(), AddressError> {
    parse(address).map(drop).ok_or(AddressError::Endpoint)
}

/// The form in which two spellings of one URL are equal.
pub(super) fn normal(address: &str) -> String {
    parse(address).map_or_else(|| address.to_owned(), String::from)
}

/// Scheme and host. The path and the query may contain a secret.
pub(super) fn mask(address: &str) -> String {
    let Some(url) = parse(address) else {
        return "…".to_owned();
    };
    let host = match url.host() {
        Some(Host::Ipv6(ip)) => format!("[{ip}]"),
        Some(host) => host.to_string(),
        None => String::new(),
    };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}/…", url.scheme())
}

/// The beginning of every secret.
const PREFIX: &str = "whsec_";
/// The lengths of a secret in bytes, as Standard Webhooks recommends them.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// A secret that signs requests to an endpoint: `whsec_` and the key in base64, as Standard Webhooks writes it
/// (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>, "Symmetric").
#[derive(Clone)]
pub struct SigningSecret(SecretSlice<u8>);

/// The reason for which a text is not a signing secret. It does not contain the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected whsec_ and 24 to 64 bytes in base64, such as whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
pub struct SigningSecretError;

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

impl PartialEq for SigningSecret {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for SigningSecret {}

impl SigningSecret {
    /// A secret of random bytes.
    #[must_use]
    pub fn of(key: [u8; 32]) -> Self {
        Self(SecretSlice::from(key.to_vec()))
    }

    /// Reads a secret in its written form.
    pub fn parse(text: &str) -> Result<Self, SigningSecretError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SigningSecretError)?;
        let engine = general_purpose::GeneralPurpose::new(
            &alphabet::STANDARD,
            general_purpose::GeneralPurposeConfig::new()
                .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
        );
        let key = engine.decode(encoded).map_err(|_| SigningSecretError)?;
        if LENGTHS.contains(&key.len()) {
            Ok(Self(SecretSlice::from(key)))
        } else {
            Err(SigningSecretError)
        }
    }

    /// The key of the signature.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// The written form. It reveals the secret.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", general_purpose::STANDARD.encode(self.key()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_absolute_url_without_user_and_fragment() {
        for text in [
            "https://hooks.example.com/carillon",
            "https://hooks.example.com",
            "https://my_hooks.example.com./x",
            "http://127.0.0.1:8081/webhooks/a?x=1",
            "https://[2001:db8::1]:8443/",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        let long = format!("https://hooks.example.com/{}", "x".repeat(MAX_URL));
        for text in [
            "",
            "hooks.example.com/x",
            "https://a..b/",
            "https://-a.example/",
            "https://hooks.example.com:0/",
            "ftp://hooks.example.com",
            "file:///etc/passwd",
            "https:hooks.example.com",
            "https:///hooks.example.com",
            "https://",
            "https://user@hooks.example.com/",
            "https://user:hunter2@hooks.example.com/",
            "https://@hooks.example.com/",
            "https://hooks.example.com/#x",
            "https://hooks.example.com/a b",
            "https://hooks.example.com/\u{200b}",
            "https://bücher.example/",
            "https://hooks.example.com:99999/",
            &long,
        ] {
            assert_eq!(check(text), Err(AddressError::Endpoint), "{text}");
        }
    }

    #[test]
    fn a_masked_endpoint_shows_scheme_and_host_only() {
        for (text, expected) in [
            (
                "https://hooks.example.com/services/T0/B0/hunter2?token=hunter2",
                "https://hooks.example.com/…",
            ),
            ("http://127.0.0.1:8081/webhooks/a", "http://127.0.0.1:8081/…"),
            ("https://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443/…"),
            ("https://u:hunter2@h", "…"),
            ("hunter2", "…"),
        ] {
            assert_eq!(mask(text), expected);
        }
    }

    #[test]
    fn two_spellings_of_an_endpoint_are_one() {
        assert_eq!(
            normal("https://Hooks.Example.com:443/A"),
            "https://hooks.example.com/A"
        );
        assert_eq!(normal("https://hooks.example.com"), "https://hooks.example.com/");
        assert_ne!(normal("https://h.example/a"), normal("https://h.example/A"));
    }

    #[test]
    fn a_secret_is_read_and_written_as_standard_webhooks_does_and_never_printed() {
        let text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let secret = SigningSecret::parse(text).unwrap();
        assert_eq!(secret.key().len(), 24);
        assert_eq!(secret.reveal(), text);
        assert_eq!(format!("{secret:?}"), "SigningSecret(…)");
        let own = SigningSecret::of([7; 32]);
        assert_eq!(SigningSecret::parse(&own.reveal()).unwrap(), own);
        assert_eq!(
            SigningSecret::parse(own.reveal().trim_end_matches('=')).unwrap(),
            own
        );
        for wrong in [
            "",
            "whsec_",
            "hunter2",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_hunter2!",
            "whsec_aHVudGVyMg==",
            "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            let refused = SigningSecret::parse(wrong).unwrap_err().to_string();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }
}
