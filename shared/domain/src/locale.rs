//! Locales of readers: BCP 47 language tags in the spellings of producers.

use std::borrow::Cow;

pub use icu_locale_core::LanguageIdentifier;
use icu_locale_core::Locale;

/// The longest accepted tag, in octets.
const MAX_OCTETS: usize = 100;

/// Tags that were registered as a whole (RFC 5646 §2.2.8), and the language that each one names.
const GRANDFATHERED: [(&str, &str); 26] = [
    ("art-lojban", "jbo"),
    ("cel-gaulish", "xtg"),
    ("en-gb-oed", "en-GB-oxendict"),
    ("i-ami", "ami"),
    ("i-bnn", "bnn"),
    ("i-default", "und"),
    ("i-enochian", "und"),
    ("i-hak", "hak"),
    ("i-klingon", "tlh"),
    ("i-lux", "lb"),
    ("i-mingo", "see"),
    ("i-navajo", "nv"),
    ("i-pwn", "pwn"),
    ("i-tao", "tao"),
    ("i-tay", "tay"),
    ("i-tsu", "tsu"),
    ("no-bok", "nb"),
    ("no-nyn", "nn"),
    ("sgn-be-fr", "sfb"),
    ("sgn-be-nl", "vgt"),
    ("sgn-ch-de", "sgg"),
    ("zh-guoyu", "zh"),
    ("zh-hakka", "hak"),
    ("zh-min", "nan"),
    ("zh-min-nan", "nan"),
    ("zh-xiang", "hsn"),
];

/// The text is no language tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a BCP 47 language tag of at most {MAX_OCTETS} characters, such as fr-CA")]
pub struct NotALocale;

/// Parses a tag. Case does not matter, `_` counts as `-`, and extensions and private subtags are ignored. A tag of
/// private subtags alone, or `und`, names no language.
pub fn parse(tag: &str) -> Result<LanguageIdentifier, NotALocale> {
    if tag.len() > MAX_OCTETS || !tag.is_ascii() {
        return Err(NotALocale);
    }
    let tag = if tag.contains('_') {
        Cow::Owned(tag.replace('_', "-"))
    } else {
        Cow::Borrowed(tag)
    };
    // A single letter begins no language, and three letters behind one are an extended language (RFC 5646 §2.2.2):
    // `zh-yue` is `yue`.
    let tag = if let Some(language) = grandfathered(&tag) {
        Cow::Borrowed(language)
    } else if starts_with_private(&tag) {
        Cow::Owned(format!("und-{tag}"))
    } else {
        without_extended(tag)
    };
    match Locale::try_from_str(&tag) {
        // BCP 47 reserves longer language subtags, but none was ever registered, so `english` is not a
        // language tag.
        Ok(locale) if locale.id.language.as_str().len() <= 3 => Ok(locale.id),
        _ => Err(NotALocale),
    }
}

fn grandfathered(tag: &str) -> Option<&'static str> {
    let mut known = GRANDFATHERED.iter();
    known
        .find(|(name, _)| name.eq_ignore_ascii_case(tag))
        .map(|(_, language)| *language)
}

fn starts_with_private(tag: &str) -> bool {
    tag.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"))
}

fn without_extended(tag: Cow<'_, str>) -> Cow<'_, str> {
    let mut subtags = tag.split('-');
    let is_language =
        |subtag: &str| (2..=3).contains(&subtag.len()) && subtag.bytes().all(|b| b.is_ascii_alphabetic());
    if !subtags.next().is_some_and(is_language) {
        return tag;
    }
    let extended: Vec<&str> = subtags
        .clone()
        .take(3)
        .take_while(|subtag| subtag.len() == 3 && is_language(subtag))
        .collect();
    let Some(language) = extended.first() else {
        return tag;
    };
    let rest = subtags.skip(extended.len());
    let kept: Vec<&str> = std::iter::once(*language).chain(rest).collect();
    Cow::Owned(kept.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_accepted_in_the_spellings_of_producers_and_their_extensions_are_ignored() {
        for (tag, expected) in [
            ("fr-CA", "fr-CA"),
            ("FR-ca", "fr-CA"),
            ("de_DE", "de-DE"),
            ("es_419", "es-419"),
            ("zh_hant_tw", "zh-Hant-TW"),
            ("de-DE-u-co-phonebk", "de-DE"),
            ("en-US-x-foo", "en-US"),
            ("fr-CA-t-en-u-ca-gregory-x-a-b", "fr-CA"),
            ("de-1996", "de-1996"),
            ("de-DE-1996", "de-DE-1996"),
            ("sr-Latn", "sr-Latn"),
            ("i-klingon", "tlh"),
            ("I-Klingon", "tlh"),
            ("zh-min-nan", "nan"),
            ("no-bok", "nb"),
            ("en-GB-oed", "en-GB-oxendict"),
            ("zh-yue", "yue"),
            ("zh-cmn-Hans-CN", "cmn-Hans-CN"),
            ("zh-yue-HK-x-foo", "yue-HK"),
            ("x-whatever", "und"),
            ("und", "und"),
            ("und-TW", "und-TW"),
        ] {
            let parsed = parse(tag).map(|id| id.to_string());
            assert_eq!(parsed.as_deref(), Ok(expected), "{tag}");
        }
        for (_, language) in GRANDFATHERED {
            assert!(Locale::try_from_str(language).is_ok(), "{language}");
        }
    }

    #[test]
    fn a_text_that_is_not_a_language_tag_is_refused() {
        let long = format!("en-x-{}", "abcdefgh-".repeat(20));
        for tag in [
            "",
            " ",
            "-",
            "en-",
            "-en",
            "en--US",
            "english",
            "C",
            "POSIX",
            "de_DE.UTF-8",
            "de-DE,de;q=0.9",
            "*",
            "x-",
            "fr CA",
            "fr-CA ",
            "fr\u{200b}-CA",
            "дe",
            "12",
            "en-US-u",
            "de-DE-1996-1996",
            "a-b",
            &long,
        ] {
            assert_eq!(parse(tag), Err(NotALocale), "{tag:?}");
        }
    }
}
