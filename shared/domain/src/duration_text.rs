//! Durations in the spelling of people: `90s`, `15m`, `1h`, `7d`, `500ms`, `1h 30m`, `30 days`. For `#[serde(with =
//! "duration_text")]`.

use std::time::Duration;

use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

use crate::field_error::quoted;

/// Writes the duration in the largest unit that divides it.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format(*duration))
}

/// Reads numbers with units.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| {
        D::Error::custom(format!(
            "expected a duration such as 30s, 15m, 1h or 7d, not {}",
            quoted(&text)
        ))
    })
}

/// The milliseconds of a unit.
fn millis(unit: &str) -> Option<u64> {
    Some(match unit {
        "ms" | "millisecond" | "milliseconds" => 1,
        "s" | "sec" | "second" | "seconds" => 1_000,
        "m" | "min" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        "w" | "week" | "weeks" => 7 * 86_400_000,
        _ => return None,
    })
}

/// Reads whole numbers with units, and returns their sum.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        total = total.checked_add(number.checked_mul(millis(&rest[..letters])?)?)?;
        rest = rest[letters..].trim_start();
    }
    (!text.trim().is_empty()).then(|| Duration::from_millis(total))
}

/// The duration in the largest unit that divides it.
#[must_use]
pub fn format(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if millis > 0 && millis.is_multiple_of(size) {
            return format!("{}{unit}", millis / size);
        }
    }
    format!("{millis}ms")
}

/// The same for durations that may be absent.
pub mod option {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the duration, if there is one.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_some(&super::format(*duration)),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a duration, or its absence.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        #[derive(Deserialize)]
        struct Present(#[serde(with = "super")] Duration);
        Ok(Option::<Present>::deserialize(deserializer)?.map(|Present(duration)| duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_people_do() {
        for text in ["500ms", "90s", "15m", "1h", "7d", "0ms", "90m"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
        for (text, expected) in [
            ("1 hour", "1h"),
            ("1h 30m", "90m"),
            ("90days", "90d"),
            ("2w", "14d"),
            ("1h30m15s", "5415s"),
        ] {
            assert_eq!(format(parse(text).unwrap()), expected, "{text}");
        }
        for text in [
            "",
            " ",
            "h",
            "1",
            "1 fortnight",
            "-1s",
            "1.5h",
            "99999999999999999999s",
            "1h,30m",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
