//! Bounds of the HTTP server. Every bound holds before a request is authenticated.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::config::{duration, listen};

/// The address of a process, and the bounds of its connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// The gateway's address, the templates role's, or that of another role's health and metrics.
    #[serde(with = "listen")]
    pub listen: SocketAddr,
    /// The most connections at the same time. At the bound, connections without a request are closed to make
    /// room: first those that never had a request, then those that have been idle longest. If every
    /// connection has a request in progress, a new connection is answered 503 and closed.
    pub max_connections: usize,
    /// The longest time from the connection, or from the first byte of a later request, to the end of the
    /// request's head.
    #[serde(with = "duration")]
    pub header_timeout: Duration,
    /// The longest time from the first wait for a request's body to the body's end.
    #[serde(with = "duration")]
    pub body_timeout: Duration,
    /// The longest time between two pieces of a request's body, and between two pieces of an answer that the
    /// client reads.
    #[serde(with = "duration")]
    pub stall_timeout: Duration,
    /// The time for which a connection is kept open between two requests.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// The most bytes in a request's head.
    pub max_header_bytes: usize,
    /// The most header fields of a request.
    pub max_headers: usize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 8080).into(),
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
    /// Checks the bounds.
    pub fn validate(&self) -> Result<(), BadBound> {
        let times = [
            ("header_timeout", self.header_timeout),
            ("body_timeout", self.body_timeout),
            ("stall_timeout", self.stall_timeout),
            ("idle_timeout", self.idle_timeout),
        ];
        for (key, time) in times {
            if !(Duration::from_millis(100)..=Duration::from_hours(1)).contains(&time) {
                return Err((key, format!("expected 100ms to 1h, got {time:?}")));
            }
        }
        if self.stall_timeout > self.body_timeout {
            let expected = format!("expected no more than body_timeout ({:?})", self.body_timeout);
            return Err(("stall_timeout", expected));
        }
        let counts = [
            ("max_connections", self.max_connections, 16, 1_000_000),
            ("max_header_bytes", self.max_header_bytes, 1 << 10, 1 << 20),
            ("max_headers", self.max_headers, 16, 1_000),
        ];
        for (key, count, least, most) in counts {
            if !(least..=most).contains(&count) {
                return Err((key, format!("expected {least} to {most}, got {count}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_cannot_work_are_named() {
        let refused = |change: fn(&mut HttpConfig)| {
            let mut config = HttpConfig::default();
            change(&mut config);
            config.validate().unwrap_err().0
        };
        HttpConfig::default().validate().unwrap();
        assert_eq!(
            refused(|http| http.header_timeout = Duration::ZERO),
            "header_timeout"
        );
        assert_eq!(refused(|http| http.idle_timeout = Duration::MAX), "idle_timeout");
        assert_eq!(
            refused(|http| http.stall_timeout = http.body_timeout * 2),
            "stall_timeout"
        );
        assert_eq!(refused(|http| http.max_connections = 0), "max_connections");
        assert_eq!(refused(|http| http.max_header_bytes = 10), "max_header_bytes");
        assert_eq!(refused(|http| http.max_headers = 100_000), "max_headers");
    }
}
