//! The base URL of a server.

use std::{fmt, str::FromStr};

use reqwest::Url;
use serde::{Deserialize, Serialize};
use url::Host;

use crate::quoted::quoted;

/// The most characters of a value that an error repeats.
const MAX_ECHO: usize = 100;

/// The http or https URL of a server, to which paths are appended, without a slash at its end. It has no user or password,
/// since it is printed and logged, and neither query nor fragment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpUrl(String);

impl HttpUrl {
    /// The URL as text, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether mails can contain links below this URL: it is ASCII, and its scheme is https unless its host is this
    /// machine.
    #[must_use]
    pub fn is_fit_for_mail(&self) -> bool {
        let is_local = |url: &Url| match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        self.0.is_ascii() && (self.is_https() || Url::parse(&self.0).is_ok_and(|url| is_local(&url)))
    }

    /// Whether the scheme is https.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0
            .get(.."https:".len())
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
    }
}

impl FromStr for HttpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_base = |url: &Url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        };
        if Url::parse(text).is_ok_and(|url| is_base(&url)) && text.trim() == text {
            return Ok(Self(text.trim_end_matches('/').to_owned()));
        }
        let expected = "expected an http or https URL without user, query and fragment, such as https://carillon.example";
        // The text before an @ may be a password.
        let shown = match text.rsplit_once('@') {
            Some((_, host)) => format!("***@{host}"),
            None => text.to_owned(),
        };
        let shown: String = shown.chars().take(MAX_ECHO).collect();
        Err(format!("{expected}, not {}", quoted(&shown)))
    }
}

impl TryFrom<String> for HttpUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<HttpUrl> for String {
    fn from(url: HttpUrl) -> Self {
        url.0
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_http_or_https_and_errors_show_no_password() {
        for (text, kept) in [
            ("http://templates:8080", "http://templates:8080"),
            ("https://notify.example.com/", "https://notify.example.com"),
            ("HTTPS://[::1]:1/a/", "HTTPS://[::1]:1/a"),
        ] {
            assert_eq!(text.parse::<HttpUrl>().unwrap().as_str(), kept);
        }
        for text in [
            "",
            "foo",
            "localhost:8080",
            "ftp://h",
            "http://",
            "http://h:99999",
            "http://u:hunter2@h",
            "htp://u:hunter2@h",
            "https://h?x=1",
            "https://h#x",
            " http://h",
        ] {
            let said = text.parse::<HttpUrl>().unwrap_err();
            assert!(said.starts_with("expected an http or https URL"), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}
