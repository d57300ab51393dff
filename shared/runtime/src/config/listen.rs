//! Addresses to listen on: `127.0.0.1:8080`, `[::1]:8080` or a name with a port, such as `localhost:8080`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};

use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

use crate::{os_sentence, quoted::quoted};

const EXPECTED: &str = "expected HOST:PORT, such as 127.0.0.1:8080, [::1]:8080 or localhost:8080";
/// The most characters of a value that an error repeats.
const MAX_ECHO: usize = 100;

/// Reads an address. A name is looked up; if it has IPv4 and IPv6 addresses, the IPv4 address is used.
pub fn parse(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').ok_or(EXPECTED)?;
    let port: u16 = port.parse().map_err(|_| EXPECTED)?;
    if host.is_empty() || host.contains(':') {
        return Err(EXPECTED.to_owned());
    }
    let found = (host, port).to_socket_addrs().map_err(|error| {
        format!(
            "{EXPECTED}; the name {host} is not known here: {}",
            os_sentence(&error)
        )
    })?;
    found
        .min_by_key(|address| !address.is_ipv4())
        .ok_or_else(|| format!("{EXPECTED}; the name {host} has no address"))
}

/// The address at which this machine reaches a listener.
#[must_use]
pub fn reachable(mut listening: SocketAddr) -> SocketAddr {
    if listening.ip().is_unspecified() {
        listening.set_ip(match listening {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    listening
}

/// Writes an address.
pub fn serialize<S: Serializer>(address: &SocketAddr, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
}

/// Reads an address.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(|error| {
        if error != EXPECTED {
            return D::Error::custom(error);
        }
        let shown: String = text.chars().take(MAX_ECHO).collect();
        D::Error::custom(format!("{error}, not {}", quoted(&shown)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_port_is_an_address_and_localhost_is_loopback() {
        assert_eq!(parse("localhost:80").unwrap(), "127.0.0.1:80".parse().unwrap());
        assert_eq!(parse("[::1]:80").unwrap(), "[::1]:80".parse().unwrap());
        assert_eq!(parse("0.0.0.0:0").unwrap(), "0.0.0.0:0".parse().unwrap());
        for text in [
            "",
            "80",
            ":80",
            "localhost",
            "localhost:",
            "localhost:x",
            "::1:80",
            "localhost:65536",
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with("expected HOST:PORT"), "{text}: {error}");
        }
    }
}
