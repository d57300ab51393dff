//! A point in time as a person writes it.

use std::{fmt, str::FromStr};

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{
    clock::{FIRST, LAST, Timestamp, truncate},
    field_error::quoted,
};

/// The expected value, as part of a sentence.
const EXPECTED: &str =
    "a time such as 2027-01-31T10:00:00Z, or a date such as 2027-01-31, which begins at 00:00 UTC";

/// A point in time, written as an instant in RFC 3339 or as a date. A date means the instant at which it begins in UTC.
/// The API, the command line and imported files read times by this one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Moment(pub Timestamp);

/// A text that is neither a time in RFC 3339 nor a date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {EXPECTED}, not {0}")]
pub struct NoMoment(String);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl FromStr for Moment {
    type Err = NoMoment;

    fn from_str(text: &str) -> Result<Self, NoMoment> {
        let at = instant(text)
            .or_else(|| date(text))
            .ok_or_else(|| NoMoment(quoted(text)))?;
        // Converted to UTC, the time may lie outside the years that the stores can hold.
        Ok(Self(truncate(at).clamp(FIRST, LAST)))
    }
}

fn instant(text: &str) -> Option<Timestamp> {
    let at = DateTime::parse_from_rfc3339(text).ok()?;
    Some(at.with_timezone(&Utc))
}

fn date(text: &str) -> Option<Timestamp> {
    // chrono also reads dates with other numbers of digits, which may be typing errors.
    let is_padded = text.len() == "2027-01-31".len() && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let date: NaiveDate = text.parse().ok().filter(|_| is_padded)?;
    Some(date.and_time(NaiveTime::MIN).and_utc())
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl de::Visitor<'_> for Written {
            type Value = Moment;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Moment, E> {
                let wrong = |_| E::invalid_value(de::Unexpected::Str(text), &self);
                text.parse().map_err(wrong)
            }
        }

        deserializer.deserialize_str(Written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let read: Result<Moment, NoMoment> = text.parse();
        read.map(|moment| moment.0.to_rfc3339())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_moment_is_an_instant_of_rfc_3339_or_a_date_which_means_its_beginning_in_utc() {
        for (text, means) in [
            ("2027-01-31T10:00:00Z", "2027-01-31T10:00:00+00:00"),
            (
                "2027-01-31T10:00:00.1234567+02:00",
                "2027-01-31T08:00:00.123456+00:00",
            ),
            ("2027-01-31", "2027-01-31T00:00:00+00:00"),
            ("9999-12-31T23:59:59-01:00", "9999-12-31T23:59:59.999999+00:00"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(means), "{text}");
        }
    }

    #[test]
    fn any_other_text_is_refused_with_the_value_and_the_two_forms() {
        for text in [
            "",
            "tomorrow",
            "2027-02-30",
            "2027-1-5",
            "+12027-01-31",
            "31.01.2027",
            "2027-01-31T10:00:00",
            "2027-01-31T10:00Z",
            "1769853600",
            "20270131",
        ] {
            let said = read(text).unwrap_err();
            assert!(
                said.starts_with("expected a time such as 2027-01-31T10:00:00Z, or a date such as")
                    && said.ends_with(&format!("not \"{text}\"")),
                "{said}"
            );
        }
    }

    #[test]
    fn a_wrong_value_in_json_has_the_same_error_text() {
        let said = serde_json::from_str::<Moment>("5").unwrap_err().to_string();
        assert!(said.contains(EXPECTED), "{said}");
        let moment: Moment = serde_json::from_str("\"2027-01-31\"").unwrap();
        assert_eq!(
            serde_json::to_string(&moment).unwrap(),
            "\"2027-01-31T00:00:00Z\""
        );
    }
}
