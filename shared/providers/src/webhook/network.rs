//! The addresses that endpoints may have. An endpoint's owner chooses its name, and the name's addresses, so requests to addresses
//! inside of the operator's network are refused (server-side request forgery).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carillon_domain::field_error::quoted;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// The most networks of an account.
const MOST: usize = 100;

/// Networks in CIDR notation. In a configuration they are a list, or one text with commas.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Networks in CIDR notation, such as `10.1.0.0/16`.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let read = texts.into_iter().map(|text| {
            let network: Option<IpNet> = text.parse().ok();
            // 10.1.2.3/8 may be a mistake for a single address.
            network.filter(|network| network.trunc() == *network).ok_or_else(|| {
                format!(
                    "expected networks such as 10.1.0.0/16 or fd00:1::/64, without bits after the prefix, not {}",
                    quoted(text)
                )
            })
        });
        let networks: Vec<IpNet> = read.collect::<Result<_, _>>()?;
        if networks.len() > MOST {
            return Err(format!(
                "expected at most {MOST} networks, not {}",
                networks.len()
            ));
        }
        Ok(Self(networks))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address belongs to one of them.
    pub(super) fn contain(&self, address: IpAddr) -> bool {
        let address = plain(address);
        self.0.iter().any(|network| network.contains(&address))
    }

    /// A network that includes more than an operator is likely to mean: every address of a family, or link-local ones, under which clouds
    /// offer credentials.
    pub(super) fn widest(&self) -> Option<IpNet> {
        let metadata = [
            IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
            IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
        ];
        let is_wide = |network: &&IpNet| metadata.iter().any(|address| network.contains(address));
        self.0.iter().find(is_wide).copied()
    }
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a list of networks, or one text with commas")]
        enum Form {
            List(Vec<String>),
            Text(String),
        }
        let read = match Form::deserialize(deserializer)? {
            Form::List(texts) => Self::parse(texts.iter().map(String::as_str)),
            Form::Text(text) => Self::parse(text.split(',').map(str::trim).filter(|text| !text.is_empty())),
        };
        read.map_err(D::Error::custom)
    }
}

/// An IPv4 address that is written as an IPv6 one (`::ffff:10.0.0.1`), as itself.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Whether an address belongs to the public internet, by IANA's registries of special-purpose addresses
/// (<https://www.iana.org/assignments/iana-ipv4-special-registry>, <https://www.iana.org/assignments/iana-ipv6-special-registry>).
/// `Ipv4Addr::is_global` of the standard library is not stable yet.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match plain(address) {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

#[expect(clippy::unnested_or_patterns, reason = "one pattern for each network")]
fn is_public_v4(address: Ipv4Addr) -> bool {
    // In this order: "this network", private, loopback, link-local with the metadata services of clouds; shared addresses of carriers
    // (CGNAT), in which some clouds have metadata services too; IETF protocols, documentation, relays from IPv6, benchmarks;
    // multicast, reserved, broadcast.
    let is_special = matches!(
        address.octets(),
        [0 | 10 | 127, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            | [169, 254, ..]
            | [100, 64..=127, ..]
            | [192, 0, 0 | 2, _]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
            | [192, 88, 99, _]
            | [198, 18 | 19, ..]
            | [224..=255, ..]
    );
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // NAT64 and 6to4 lead to the IPv4 address that they contain.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        // IETF protocols (Teredo, benchmarks, ORCHID), documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // Only 2000::/3 is assigned to the public internet: loopback, unique local, link-local and multicast addresses are outside of it.
        [0x2000..=0x3fff, ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public_in_each_of_their_spellings() {
        for public in [
            "8.8.8.8",
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }

    #[test]
    fn networks_are_read_from_a_list_or_a_text_and_contain_mapped_addresses() {
        let read = |json: &str| serde_json::from_str::<Networks>(json).map_err(|error| error.to_string());
        let networks = read(r#""10.1.0.0/16, fd00:1::/64""#).unwrap();
        assert_eq!(networks, read(r#"["10.1.0.0/16","fd00:1::/64"]"#).unwrap());
        for (address, expected) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.2.0.1", false),
            ("fd00:1::7", true),
            ("fd00:2::7", false),
        ] {
            assert_eq!(networks.contain(address.parse().unwrap()), expected, "{address}");
        }
        assert!(read(r#""""#).unwrap().is_empty());
        for wrong in [r#""10.1.2.3/8""#, r#""10.1.2.3""#, r#"["localhost"]"#, "7"] {
            let said = read(wrong).unwrap_err();
            assert!(said.starts_with("expected"), "{wrong}: {said}");
        }
    }

    #[test]
    fn a_network_with_a_metadata_service_is_noticed() {
        let widest = |text: &str| Networks::parse([text]).unwrap().widest().is_some();
        assert!(widest("0.0.0.0/0"));
        assert!(widest("169.254.0.0/16"));
        assert!(widest("fd00::/8"));
        assert!(!widest("10.0.0.0/8"));
        assert!(!widest("127.0.0.0/8"));
    }
}
