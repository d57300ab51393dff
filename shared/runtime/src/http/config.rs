//! Bounds of the HTTP server. Every bound holds before a request is authenticated.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    config::{HttpUrl, duration, listen, number},
    quoted::quoted,
};

/// The address of a process, and the bounds of its connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// The gateway's address, the templates role's, or that of another role's health and metrics.
    #[serde(with = "listen")]
    pub listen: SocketAddr,
    /// The URL under which the gateway is reached from outside; without it, mails have no link to unsubscribe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<HttpUrl>,
    /// The most connections at the same time. At the bound, connections without a request are closed to make
    /// room: first those that never had a request, then those that have been idle longest. If every
    /// connection has a request in progress, a new connection is answered 503 and closed.
    #[serde(deserialize_with = "number::between::<_, _, 16, 1_000_000>")]
    pub max_connections: usize,
    /// The longest time from the connection, or from the first byte of a later request, to the end of the
    /// request's head.
    #[serde(
        deserialize_with = "duration::between::<_, 100, 3_600_000>",
        serialize_with = "duration::serialize"
    )]
    pub header_timeout: Duration,
    /// The longest time from the first wait for a request's body to the body's end.
    #[serde(
        deserialize_with = "duration::between::<_, 100, 3_600_000>",
        serialize_with = "duration::serialize"
    )]
    pub body_timeout: Duration,
    /// The longest time between two pieces of a request's body, and between two pieces of an answer that the
    /// client reads.
    #[serde(
        deserialize_with = "duration::between::<_, 100, 3_600_000>",
        serialize_with = "duration::serialize"
    )]
    pub stall_timeout: Duration,
    /// The time for which a connection is kept open between two requests.
    #[serde(
        deserialize_with = "duration::between::<_, 100, 3_600_000>",
        serialize_with = "duration::serialize"
    )]
    pub idle_timeout: Duration,
    /// The most bytes in a request's head.
    #[serde(deserialize_with = "number::between::<_, _, 1_024, 1_048_576>")]
    pub max_header_bytes: usize,
    /// The most header fields of a request.
    #[serde(deserialize_with = "number::between::<_, _, 16, 1_000>")]
    pub max_headers: usize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 8080).into(),
            public_url: None,
            max_connections: 4_096,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            max_header_bytes: 32 << 10,
            max_headers: 100,
        }
    }
}

/// An invalid bound: its key within `[http]`, and the expected value.
pub type BadBound = (&'static str, String);

impl HttpConfig {
    /// Checks that the bounds are consistent, and that mail clients accept links below the public URL.
    /// Returns the mistakes.
    #[must_use]
    pub fn validate(&self) -> Vec<BadBound> {
        let mut mistakes = Vec::new();
        if let Some(url) = &self.public_url
            && !url.is_fit_for_mail()
        {
            let expected = format!(
                "expected an https URL in ASCII, because mail clients unsubscribe by no other (http is for this machine alone), not {}",
                quoted(url.as_str())
            );
            mistakes.push(("public_url", expected));
        }
        if self.stall_timeout > self.body_timeout {
            let [body, stall] = [self.body_timeout, self.stall_timeout].map(duration::text);
            let expected = format!("expected no more than http.body_timeout ({body}), not {stall}");
            mistakes.push(("stall_timeout", expected));
        }
        mistakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<HttpConfig, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn bounds_that_cannot_work_are_refused_with_their_value() {
        for (text, expected) in [
            (
                "header_timeout = '0s'",
                "expected a duration from 100ms to 1h, not 0s",
            ),
            (
                "idle_timeout = '2h'",
                "expected a duration from 100ms to 1h, not 2h",
            ),
            (
                "max_connections = 0",
                "invalid value: integer `0`, expected a whole number from 16 to 1000000",
            ),
            (
                "max_header_bytes = 10",
                "invalid value: integer `10`, expected a whole number from 1024 to 1048576",
            ),
            (
                "max_headers = -1",
                "invalid value: integer `-1`, expected a whole number from 16 to 1000",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), expected);
        }
        assert_eq!(read("").unwrap(), HttpConfig::default());
    }

    #[test]
    fn a_public_url_is_one_that_mail_clients_take() {
        let of = |url: &str| HttpConfig {
            public_url: Some(url.parse().unwrap()),
            ..HttpConfig::default()
        };
        for url in [
            "https://notify.shop.example/base",
            "http://127.0.0.1:8080",
            "http://localhost",
            "http://[::1]:8080",
        ] {
            assert_eq!(of(url).validate(), []);
        }
        for url in [
            "http://notify.shop.example",
            "https://läden.example",
            "http://127.0.0.1.example",
        ] {
            let (key, expected) = of(url).validate().swap_remove(0);
            assert_eq!(key, "public_url");
            assert!(expected.ends_with(&quoted(url)), "{expected}");
        }
    }

    #[test]
    fn bounds_that_do_not_go_together_are_named() {
        assert_eq!(HttpConfig::default().validate(), []);
        let http = HttpConfig {
            stall_timeout: Duration::from_secs(40),
            ..HttpConfig::default()
        };
        let (key, expected) = http.validate().swap_remove(0);
        assert_eq!(key, "stall_timeout");
        assert_eq!(expected, "expected no more than http.body_timeout (30s), not 40s");
    }
}
