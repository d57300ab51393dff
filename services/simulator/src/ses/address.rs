//! Addresses as SES takes them: `ada@example.com` or `Ada <ada@example.com>`.

/// The address without a display name; `None` if the text is no address. SES takes no letters beyond ASCII before the `@`,
/// and domains in punycode.
pub(super) fn bare(text: &str) -> Option<&str> {
    let text = text.trim();
    let address = match text.strip_suffix('>') {
        Some(named) => named.rsplit_once('<')?.1,
        None => text,
    };
    let (local, domain) = address.rsplit_once('@')?;
    let fits_local = |byte: u8| byte.is_ascii_graphic() && !b"<>,;@\"()[]\\".contains(&byte);
    let is_local = (1..=64).contains(&local.len()) && local.bytes().all(fits_local);
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let is_label = |label: &str| !label.is_empty() && label.len() <= 63 && label.chars().all(fits);
    let is_domain = domain.contains('.') && domain.len() <= 255 && domain.split('.').all(is_label);
    (is_local && is_domain).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_ascii_with_or_without_a_name() {
        for (text, expected) in [
            ("ada@example.com", Some("ada@example.com")),
            ("Ada <ada@example.com>", Some("ada@example.com")),
            ("ada@xn--lden-loa.example", Some("ada@xn--lden-loa.example")),
            ("ada@läden.example", None),
            ("ädä@example.com", None),
            ("ada@localhost", None),
            ("ada", None),
            ("@example.com", None),
            ("a b@example.com", None),
            ("", None),
        ] {
            assert_eq!(bare(text), expected, "{text}");
        }
    }
}
