//! Texts in people's languages: Fluent messages. The library fluent-syntax parses them. This crate formats them
//! itself, so that references are resolved along the fallback locales, every piece counts against the budget, and
//! numbers and dates have the formats of templates.

mod check;
mod functions;
mod levels;
mod literals;
mod read;
mod resolve;
mod syntax;
mod tree;

use std::{collections::BTreeSet, sync::Arc};

use carillon_domain::json::Value;
use intl_pluralrules::{PluralRuleType, PluralRules};
use sha2::{Digest as _, Sha256};

use self::{
    read::MessagesFile,
    resolve::{Resolver, TermSite},
    tree::{Pattern, Texts},
};
use crate::{
    budget::{Budget, Exceeded},
    fault::Fault,
    helpers::LocalReader,
};

/// One locale's messages.
pub(crate) struct Bundle {
    texts: Texts,
    /// The keys that the file defines and that cannot be read.
    unreadable: BTreeSet<String>,
    /// Whether some keys of the file are unknown, because a part of it, or all of it, cannot be read.
    is_incomplete: bool,
    issues: Vec<MessageIssue>,
    /// The SHA-256 of the file.
    digest: [u8; 32],
    cardinal: Option<PluralRules>,
    ordinal: Option<PluralRules>,
}

/// An issue of a file of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageIssue {
    /// The line in the file, from 1.
    pub(crate) line: usize,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Bundle {
    /// Reads a file of messages. Readable messages are kept; an issue names each of the others.
    pub(crate) fn read(tag: &str, ftl: &str) -> Self {
        let MessagesFile {
            texts,
            unreadable,
            is_incomplete,
            issues,
        } = read::read(ftl);
        Self {
            texts,
            unreadable,
            is_incomplete,
            issues,
            digest: Sha256::digest(ftl).into(),
            cardinal: Self::rules(tag, PluralRuleType::CARDINAL),
            ordinal: Self::rules(tag, PluralRuleType::ORDINAL),
        }
    }

    /// The issues of reading the file.
    pub(crate) fn issues(&self) -> &[MessageIssue] {
        &self.issues
    }

    /// Whether the key is, or may be, defined in a way that cannot be read.
    fn is_unreadable(&self, key: &str) -> bool {
        let name = key.split_once('.').map_or(key, |(name, _)| name);
        self.is_incomplete || self.unreadable.contains(key) || self.unreadable.contains(name)
    }
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle")
            .field("texts", &self.texts.len())
            .finish_non_exhaustive()
    }
}

/// Why a message has no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MessageError {
    /// No locale of the chain has it.
    UnknownKey,
    /// It needs a variable that was not passed.
    MissingArgument(String),
    /// It refers to a missing text.
    Broken(String),
    /// It does not accept a value, or it takes too much work.
    Fault(Fault),
}

impl From<Fault> for MessageError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Exceeded> for MessageError {
    fn from(exceeded: Exceeded) -> Self {
        Self::Fault(exceeded.into())
    }
}

/// The messages of a locale and of its fallback locales.
#[derive(Debug, Clone)]
pub(crate) struct Messages(Vec<Arc<Bundle>>);

impl Messages {
    /// The chain begins with the locale itself.
    pub(crate) fn new(chain: Vec<Arc<Bundle>>) -> Self {
        Self(chain)
    }

    /// The locale's own messages, if its file is this one.
    pub(crate) fn own_if_of(&self, ftl: &str) -> Option<&Arc<Bundle>> {
        let own = self.0.first()?;
        (own.digest[..] == Sha256::digest(ftl)[..]).then_some(own)
    }

    /// The text of a message, or of an attribute of one (`order-shipped.subject`). `root` are all variables of
    /// the template, in which a refused value is looked for.
    pub(crate) fn format(
        &self,
        key: &str,
        args: &[(&str, &Value)],
        root: Option<&Value>,
        reader: LocalReader<'_>,
        budget: &Budget,
    ) -> Result<String, MessageError> {
        let (bundle, pattern) = self
            .find(key, 0)
            .filter(|_| is_message(key))
            .ok_or(MessageError::UnknownKey)?;
        let resolver = Resolver {
            messages: self,
            args,
            root,
            reader,
            budget,
        };
        let mut text = String::new();
        resolver.pattern(pattern, TermSite { bundle, term: None }, &mut text)?;
        Ok(text)
    }

    /// The first text of the key from a bundle of the chain on, and the bundle that has it.
    fn find(&self, key: &str, from: usize) -> Option<(usize, &Pattern)> {
        let mut later = self.0.iter().enumerate().skip(from);
        later.find_map(|(index, bundle)| Some((index, &bundle.texts.get(key)?.pattern)))
    }
}

/// Whether the key is a message. Terms begin with a hyphen and are visible to messages only.
fn is_message(key: &str) -> bool {
    !key.starts_with('-')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FTL: &str = "\
brand = Shop
hello = Hello { $name } from { brand }
letter =
    .subject = { $count ->
        [one] One parcel
       *[other] { $count } parcels
    } for { $name }
nested = { hello }!
";

    fn format(ftl: &str, key: &str, args: &serde_json::Value) -> Result<String, MessageError> {
        format_in("en", ftl, key, &args.to_string())
    }

    fn format_in(tag: &str, ftl: &str, key: &str, args: &str) -> Result<String, MessageError> {
        let messages = Messages::new(vec![Arc::new(Bundle::read(tag, ftl))]);
        let args = carillon_domain::json::object(args).unwrap();
        let args: Vec<_> = args.iter().map(|(name, value)| (name.as_str(), value)).collect();
        messages.format(key, &args, None, LocalReader::any(), &Budget::new(100_000))
    }

    #[test]
    fn a_message_and_an_attribute_are_formatted_with_plurals() {
        let args = |count: i64| json!({"name": "Ada", "count": count});
        assert_eq!(format(FTL, "hello", &args(1)).unwrap(), "Hello Ada from Shop");
        assert_eq!(
            format(FTL, "letter.subject", &args(1)).unwrap(),
            "One parcel for Ada"
        );
        assert_eq!(
            format(FTL, "letter.subject", &args(3)).unwrap(),
            "3 parcels for Ada"
        );
    }

    #[test]
    fn an_unknown_key_and_a_missing_argument_are_told_apart() {
        assert_eq!(format(FTL, "none", &json!({})), Err(MessageError::UnknownKey));
        assert_eq!(
            format(FTL, "hello", &json!({})),
            Err(MessageError::MissingArgument("name".into()))
        );
    }

    #[test]
    fn a_numeric_text_selects_as_a_number_and_is_written_as_it_came() {
        let ftl = "n = { $n ->\n    [0] none\n    [one] { $n } item\n   *[other] { $n } items\n }\n";
        let say = |n: serde_json::Value| format(ftl, "n", &json!({ "n": n })).unwrap();
        assert_eq!(say(json!("1")), "1 item");
        assert_eq!(say(json!(1)), "1 item");
        assert_eq!(say(json!("0")), "none");
        assert_eq!(say(json!("2")), "2 items");
        assert_eq!(say(json!("01")), "01 item");
        for odd in [
            "",
            "-",
            ".",
            "1.",
            "1e3",
            "NaN",
            "many",
            "99999999999999999999999999",
            "0.1e-300",
        ] {
            assert_eq!(say(json!(odd)), format!("{odd} items"));
        }
        assert_eq!(say(json!(1e-300)), "1e-300 items");
        assert_eq!(say(json!(null)), " items");
    }

    #[test]
    fn a_number_of_any_length_selects_its_plural_form_and_keeps_its_digits() {
        let ftl = "n = { $n ->\n    [1000] exactly\n    [one] { $n } заказ\n    [few] { $n } заказа\n   *[other] { $n } заказов\n }\n";
        let say = |n: &str| format_in("ru", ftl, "n", &format!("{{\"n\":{n}}}")).unwrap();
        assert_eq!(say("1"), "1 заказ");
        assert_eq!(say("123456789012345678901221"), "123456789012345678901221 заказ");
        assert_eq!(say("123456789012345678901222"), "123456789012345678901222 заказа");
        assert_eq!(
            say("123456789012345678901211"),
            "123456789012345678901211 заказов"
        );
        assert_eq!(say("18446744073709551615"), "18446744073709551615 заказов");
        assert_eq!(say("1E3"), "exactly");
        assert_eq!(say("1.10"), "1.10 заказов");
        let ftl = "n = { NUMBER($n, maximumFractionDigits: 1) }\n";
        let say = |n: &str| format_in("en", ftl, "n", &format!("{{\"n\":{n}}}")).unwrap();
        assert_eq!(
            say("123456789012345678901234.56"),
            "123,456,789,012,345,678,901,234.6"
        );
        assert_eq!(say("-0"), "0");
    }

    #[test]
    fn a_term_sees_only_its_own_arguments() {
        let ftl = "-shop = { $case ->\n   *[nominative] Laden\n    [genitive] Ladens\n }\n\
                   a = { -shop } { -shop(case: \"genitive\") }\n";
        assert_eq!(
            format(ftl, "a", &json!({"case": "genitive"})).unwrap(),
            "Laden Ladens"
        );
    }

    #[test]
    fn texts_that_multiply_each_other_or_refer_to_themselves_are_stopped() {
        let line = |level: usize| match level {
            0 => "l0 = ha\n".to_owned(),
            _ => format!("l{level} = {}\n", format!("{{ l{} }}", level - 1).repeat(10)),
        };
        let laughs = (0..40).map(line).collect::<Vec<_>>().concat();
        for (ftl, key) in [
            (laughs.as_str(), "l39"),
            ("a = { b }\nb = { a }\n", "a"),
            ("-a = { -b }\n-b = { -a }\nx = { -a }\n", "x"),
        ] {
            let error = format(ftl, key, &json!({})).unwrap_err();
            assert!(
                matches!(error, MessageError::Fault(Fault::Exceeded(_))),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_file_that_would_exhaust_the_stack_is_refused() {
        for source in [
            format!("a = {}", "{".repeat(40_000)),
            format!("a = {}$x{}", "{".repeat(20_000), "}".repeat(20_000)),
            format!("a = {{ {}$x{} }}", "NUMBER(".repeat(20_000), ")".repeat(20_000)),
            format!("a = {}x{}", "{ $x ->\n *[a] ".repeat(3_000), "\n }".repeat(3_000)),
            "a = {".repeat(100_000),
            format!("a = {}", "{\nb(".repeat(1_900)),
        ] {
            let bundle = Bundle::read("en", &source);
            assert!(!bundle.issues.is_empty() && bundle.texts.is_empty());
        }
    }

    #[test]
    fn a_broken_file_is_named_by_line_and_the_rest_is_kept() {
        let bundle = Bundle::read("en", "a = 1\nb = { $x\nc = 3\nc = 4\n");
        assert_eq!(
            bundle.issues.iter().map(|issue| issue.line).collect::<Vec<_>>(),
            [2, 4]
        );
        assert!(bundle.texts.contains_key("a"));
        assert!(bundle.texts.contains_key("c"));
    }
}
