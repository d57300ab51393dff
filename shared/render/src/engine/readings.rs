//! The readings of helpers: a helper reads a number, a date, a link and so on from a value. The publish gate refuses a
//! parameter whose values its helper can never read.

use carillon_domain::field_error::echo;
use serde_json::Value;

use super::{
    program::Helper,
    schemas::{Schema, shown},
};
use crate::helpers::{is_currency, is_date, is_date_style, is_link, is_number};

/// A kind of value that helpers read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reading {
    Number,
    /// An amount of money.
    Amount,
    /// A date, with or without a time of day.
    Date,
    /// A date with its time of day.
    Time,
    /// The style of a date.
    Style,
    /// ISO 4217.
    Currency,
    Link,
    /// The key of a text.
    Key,
    /// The number of items, fields or characters.
    Length,
    /// The items of a list, or the fields of an object.
    Items,
}

const NUMBERS: &[&str] = &["number", "integer", "string"];
const TEXTS: &[&str] = &["string"];

impl Reading {
    /// The reading of one parameter of a helper; `None` if the helper accepts any value. `style` is the literal style of
    /// a date.
    pub(super) fn of(helper: Helper, index: usize, style: Option<&str>) -> Option<Self> {
        Some(match (helper, index) {
            (Helper::Date, 0) if matches!(style, Some("time" | "datetime")) => Self::Time,
            (Helper::Date, 0) => Self::Date,
            (Helper::Date, _) => Self::Style,
            (Helper::Money, 0) => Self::Amount,
            (Helper::Money, _) => Self::Currency,
            (Helper::Number, _) => Self::Number,
            (Helper::Url, _) => Self::Link,
            (Helper::T, 0) => Self::Key,
            (Helper::Len, _) => Self::Length,
            _ => return None,
        })
    }

    fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Number | Self::Amount => NUMBERS,
            Self::Date | Self::Time | Self::Style | Self::Currency | Self::Link | Self::Key => TEXTS,
            Self::Length => &["array", "object", "string"],
            Self::Items => &["array", "object"],
        }
    }

    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Amount => "an amount such as 129.90",
            Self::Date => "a date (2026-11-24) or a time (2026-11-24T10:00:00Z)",
            Self::Time => "a date with its time (2026-11-24T10:00:00Z), because the time is written",
            Self::Style => "a date style: short, long, full, time or datetime",
            Self::Currency => "an ISO 4217 code such as EUR",
            Self::Link => "a link that begins with https://, http://, mailto: or tel:",
            Self::Key => "the key of a text",
            Self::Length => "a list, an object or a text, which have a length",
            Self::Items => "a list or an object",
        }
    }

    /// Whether it can be read from this value.
    fn takes(self, value: &Value) -> bool {
        let text = value.as_str();
        match self {
            Self::Number | Self::Amount => is_number(&value.clone().into()),
            Self::Date => text.is_some_and(|text| is_date(text, false)),
            Self::Time => text.is_some_and(|text| is_date(text, true)),
            Self::Style => text.is_some_and(is_date_style),
            Self::Currency => text.is_some_and(is_currency),
            Self::Link => text.is_some_and(is_link),
            Self::Key => text.is_some(),
            Self::Length => value.is_array() || value.is_object() || value.is_string(),
            Self::Items => value.is_array() || value.is_object(),
        }
    }

    /// The lengths, in characters, of the shortest and the longest text that it can be read from.
    fn lengths(self) -> (u64, u64) {
        match self {
            Self::Number | Self::Amount => (1, u64::MAX),
            Self::Date => (10, u64::MAX),
            Self::Time => (20, u64::MAX),
            Self::Style => (4, 8),
            Self::Currency => (3, 3),
            Self::Link => (4, u64::MAX),
            Self::Key | Self::Length | Self::Items => (0, u64::MAX),
        }
    }

    /// Whether no text of a format can be read. Carillon's own formats, such as `carillon-locale`, are those of its
    /// variables and of the results of helpers; see [`super::made`].
    fn never_reads(self, format: &str) -> bool {
        // Texts of these formats fit no reading.
        let other = matches!(
            format,
            "time"
                | "duration"
                | "email"
                | "idn-email"
                | "ipv4"
                | "ipv6"
                | "uuid"
                | "json-pointer"
                | "carillon-locale"
                | "carillon-timezone"
                | "carillon-money"
        );
        let link = matches!(format, "uri" | "iri");
        let date = matches!(format, "date" | "date-time");
        match self {
            Self::Number | Self::Amount => other || link || date || format == "carillon-date",
            Self::Date => other || link || format == "carillon-number",
            Self::Time => {
                other
                    || link
                    || matches!(
                        format,
                        "date" | "carillon-number" | "carillon-date" | "carillon-encoded"
                    )
            }
            Self::Style | Self::Currency => {
                other || link || date || matches!(format, "carillon-number" | "carillon-date")
            }
            Self::Link => {
                other
                    || date
                    || matches!(
                        format,
                        "hostname"
                            | "idn-hostname"
                            | "carillon-number"
                            | "carillon-date"
                            | "carillon-encoded"
                    )
            }
            Self::Key | Self::Length | Self::Items => false,
        }
    }
}

impl<'e> Schema<'e> {
    /// A description of the schema's values, if none of them can be read in this way; `None` if some may be.
    pub(super) fn unreadable<'s>(self, schema: &'s Value, reading: Reading) -> Option<String>
    where
        'e: 's,
    {
        if let Some(found) = self.never_one_of(schema, reading.kinds()) {
            return Some(shown(&found));
        }
        let all = self.conjuncts(schema);
        for schema in &all {
            let constant = schema.get("const").map(std::slice::from_ref);
            let listed = || schema.get("enum")?.as_array().map(Vec::as_slice);
            if let Some(values) = constant.or_else(listed)
                && !values.is_empty()
                && !values.iter().any(|value| reading.takes(value))
            {
                let shown: Vec<String> = values.iter().take(3).map(echo).collect();
                let more = if values.len() > 3 { ", …" } else { "" };
                return Some(match values {
                    [_] => shown.concat(),
                    _ => format!("one of {}{more}", shown.join(", ")),
                });
            }
        }
        // The schema may rule the kinds out by keywords that name none, such as `not`.
        if self.rules_out_kinds(schema, reading.kinds()) {
            return Some("never of that kind".to_owned());
        }
        // The rest concerns texts, so it decides only if nothing else than a text can be read.
        let kinds = self.kinds(schema)?;
        if kinds
            .iter()
            .any(|kind| *kind != "string" && reading.kinds().contains(kind))
        {
            return None;
        }
        let (shortest, longest) = reading.lengths();
        for schema in &all {
            if let Some(format) = schema.get("format").and_then(Value::as_str)
                && reading.never_reads(format)
            {
                return Some(match format {
                    "carillon-locale" => "a language tag".to_owned(),
                    "carillon-timezone" => "the name of a timezone".to_owned(),
                    "carillon-date" => "a date in the words of the reader's language".to_owned(),
                    "carillon-number" => "a number in the format of the reader's language".to_owned(),
                    "carillon-money" => {
                        "an amount of money in the format of the reader's language".to_owned()
                    }
                    "carillon-encoded" => "a percent-encoded text".to_owned(),
                    format => format!("a text of the format {format}"),
                });
            }
            let length = |keyword: &str| schema.get(keyword).and_then(Value::as_u64);
            if let Some(most) = length("maxLength").filter(|most| *most < shortest) {
                return Some(format!("a text of at most {most} characters"));
            }
            if let Some(least) = length("minLength").filter(|least| *least > longest) {
                return Some(format!("a text of at least {least} characters"));
            }
        }
        None
    }
}
