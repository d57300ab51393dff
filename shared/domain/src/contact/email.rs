//! E-mail addresses (RFC 5321 §4.1.2, RFC 6531 §3.3).

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::{
    CodePointMapData,
    props::{GeneralCategory, GeneralCategoryGroup},
};
use idna::{
    AsciiDenyList,
    uts46::{DnsLength, Hyphens, Uts46},
};

use super::{AddressError, visible};

/// The most octets of a local part (RFC 5321 §4.5.3.1.1).
const LOCAL_OCTETS: usize = 64;
/// The most octets of an address: a path of 256 octets without its angle brackets (RFC 5321 §4.5.3.1.3).
const OCTETS: usize = 254;

/// An e-mail address in its SMTP form.
///
/// The local part is a dot-string of ASCII and visible Unicode characters in NFC. Quoted strings are refused, because
/// forms and relays mishandle them. The domain is a full domain name in lower-case ASCII; an internationalised one is
/// converted to punycode. Address literals and single labels are refused (RFC 5321 §2.3.5).
#[derive(Clone, PartialEq, Eq)]
pub struct EmailAddress {
    local: String,
    domain: String,
}

impl std::fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EmailAddress(…@{})", self.domain)
    }
}

impl EmailAddress {
    /// Parses an address as people write it.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.contains(['<', '>']) {
            return Err(AddressError::DisplayName);
        }
        if text.contains('"') {
            return Err(AddressError::Quoted);
        }
        visible(text)?;
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::Parts)?;
        if local.is_empty() || domain.is_empty() {
            return Err(AddressError::Parts);
        }
        let local = check_local(local)?;
        let domain = check_domain(domain)?;
        if local.len() + 1 + domain.len() > OCTETS {
            return Err(AddressError::Length);
        }
        Ok(Self { local, domain })
    }

    /// The part before the `@`, in its original spelling.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The part after the `@`, in lower-case ASCII.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Whether a server has to offer SMTPUTF8 (RFC 6531) to accept it.
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        !self.local.is_ascii()
    }

    /// The form in which two spellings are equal. RFC 5321 lets a host distinguish upper and lower case, but no host
    /// does.
    pub(super) fn normal(&self) -> String {
        format!("{}@{}", nfc(&self.local.to_lowercase()), self.domain)
    }
}

fn nfc(text: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfc().normalize(text)
}

fn check_local(local: &str) -> Result<String, AddressError> {
    if let Some(c) = local.chars().find(|c| !is_of_local_part(*c)) {
        return Err(AddressError::LocalCharacter(c));
    }
    if local.split('.').any(str::is_empty) {
        return Err(AddressError::LocalDots);
    }
    let local = nfc(local).into_owned();
    if local.len() > LOCAL_OCTETS {
        return Err(AddressError::LocalLength);
    }
    Ok(local)
}

/// Whether the character is an `atext` of RFC 5322, the dot between atoms, or a visible character that RFC
/// 6531 adds.
fn is_of_local_part(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    }
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    c != char::REPLACEMENT_CHARACTER
        && (GeneralCategoryGroup::Letter
            .union(GeneralCategoryGroup::Mark)
            .union(GeneralCategoryGroup::Number)
            .union(GeneralCategoryGroup::Punctuation)
            .union(GeneralCategoryGroup::Symbol))
        .contains(category)
}

fn check_domain(domain: &str) -> Result<String, AddressError> {
    if domain.starts_with('[') {
        return Err(AddressError::Literal);
    }
    let domain = Uts46::new()
        .to_ascii(
            domain.as_bytes(),
            AsciiDenyList::STD3,
            Hyphens::CheckFirstLast,
            DnsLength::Verify,
        )
        .map_err(|_| AddressError::Domain)?;
    let top = domain.rsplit_once('.').map(|(_, top)| top);
    // No top-level domain consists of digits; an IP address ends in them.
    if top.is_none_or(|top| top.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(AddressError::DomainNotFull);
    }
    Ok(domain.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(text: &str) -> String {
        let address = EmailAddress::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        format!("{}@{}", address.local(), address.domain())
    }

    #[test]
    fn an_address_is_kept_in_the_form_that_smtp_knows() {
        for (text, expected) in [
            ("ada@example.com", "ada@example.com"),
            ("Ada.Lovelace+x=1@Example.COM", "Ada.Lovelace+x=1@example.com"),
            ("ada@bücher.example", "ada@xn--bcher-kva.example"),
            ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
            ("ada@bu\u{308}cher.example", "ada@xn--bcher-kva.example"),
            ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
            ("ada@faß.example", "ada@xn--fa-hia.example"),
            ("ada@例え.テスト", "ada@xn--r8jz45g.xn--zckzah"),
            ("ada@例え。テスト", "ada@xn--r8jz45g.xn--zckzah"),
            ("ada@a--b.r3---x.example", "ada@a--b.r3---x.example"),
            ("jörg@example.com", "jörg@example.com"),
            ("jo\u{308}rg@example.com", "jörg@example.com"),
            ("用户@例子.广告", "用户@xn--fsqu00a.xn--4rr70v"),
            ("अजय@डाटा.भारत", "अजय@xn--c2bd1gb.xn--h2brj9c"),
            ("a@1.example", "a@1.example"),
        ] {
            assert_eq!(wire(text), expected, "{text:?}");
        }
        assert!(EmailAddress::parse("jörg@example.com").unwrap().needs_smtputf8());
        assert!(
            !EmailAddress::parse("ada@bücher.example")
                .unwrap()
                .needs_smtputf8()
        );
    }

    #[test]
    fn a_text_that_is_not_one_plain_address_is_refused_with_the_reason() {
        use AddressError::*;
        for (text, expected) in [
            ("", Parts),
            ("ada", Parts),
            ("@example.com", Parts),
            ("ada@", Parts),
            ("Display Name <a@example.com>", DisplayName),
            ("<a@example.com>", DisplayName),
            ("\"two words\"@example.com", Quoted),
            ("\"a\"@example.com", Quoted),
            ("a@[127.0.0.1]", Literal),
            ("a@[IPv6:::1]", Literal),
            ("a@127.0.0.1", DomainNotFull),
            ("a@localhost", DomainNotFull),
            ("a@b@example.com", LocalCharacter('@')),
            ("a,b@example.com", LocalCharacter(',')),
            ("mailto:a@example.com", LocalCharacter(':')),
            ("a(comment)@example.com", LocalCharacter('(')),
            ("a\u{fffd}@example.com", LocalCharacter('\u{fffd}')),
            ("a\u{e000}@example.com", LocalCharacter('\u{e000}')),
            (".a@example.com", LocalDots),
            ("a.@example.com", LocalDots),
            ("a..b@example.com", LocalDots),
            ("a@example.com.", Domain),
            ("a@.example.com", Domain),
            ("a@example..com", Domain),
            ("a@-example.com", Domain),
            ("a@example-.com", Domain),
            ("a@exa_mple.com", Domain),
            ("a@xn--zz--.example", Domain),
            ("a@example.com,b@example.com", LocalCharacter('@')),
            (" ada@example.com", WhiteSpace(' ')),
            ("ada@example.com\r\n", WhiteSpace('\r')),
            ("a da@example.com", WhiteSpace(' ')),
            ("ada\u{a0}@example.com", WhiteSpace('\u{a0}')),
            ("ada@exam\u{3000}ple.com", WhiteSpace('\u{3000}')),
            ("ada\u{200b}@example.com", Invisible('\u{200b}')),
            ("ada@exa\u{200b}mple.com", Invisible('\u{200b}')),
            ("ada@exa\u{ad}mple.com", Invisible('\u{ad}')),
            ("\u{feff}ada@example.com", Invisible('\u{feff}')),
            ("ada\u{202e}@example.com", Invisible('\u{202e}')),
            ("ada\u{2066}@example.com", Invisible('\u{2066}')),
            ("ada\u{200d}@example.com", Invisible('\u{200d}')),
            ("ada\u{fe0f}@example.com", Invisible('\u{fe0f}')),
            ("ada\0@example.com", Invisible('\0')),
            ("ada\u{85}@example.com", WhiteSpace('\u{85}')),
        ] {
            assert_eq!(EmailAddress::parse(text).unwrap_err(), expected, "{text:?}");
        }
    }

    #[test]
    fn lengths_are_counted_in_octets_after_the_domain_was_written_in_punycode() {
        let local = |octets: usize| format!("{}@example.com", "a".repeat(octets));
        assert!(EmailAddress::parse(&local(64)).is_ok());
        assert_eq!(EmailAddress::parse(&local(65)), Err(AddressError::LocalLength));
        let umlauts = |letters: usize| format!("{}@example.com", "ö".repeat(letters));
        assert!(EmailAddress::parse(&umlauts(32)).is_ok());
        assert_eq!(EmailAddress::parse(&umlauts(33)), Err(AddressError::LocalLength));

        let label = |octets: usize| format!("a@{}.example", "b".repeat(octets));
        assert!(EmailAddress::parse(&label(63)).is_ok());
        assert_eq!(EmailAddress::parse(&label(64)), Err(AddressError::Domain));
        assert_eq!(
            EmailAddress::parse(&format!("a@{}.example", "ü".repeat(60))),
            Err(AddressError::Domain)
        );

        // Three labels of 63 octets and a shorter last one, so that the whole address has 254 octets, or one
        // more.
        let whole = |last: usize| {
            let label = "b".repeat(63);
            format!("a@{label}.{label}.{label}.{}", "c".repeat(last))
        };
        assert!(EmailAddress::parse(&whole(60)).is_ok());
        assert_eq!(whole(60).len(), 254);
        assert_eq!(EmailAddress::parse(&whole(61)), Err(AddressError::Length));
    }
}
