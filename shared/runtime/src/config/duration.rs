//! Durations in a configuration. They are read as people write them (`30s`, `1h 30m`, `90days`), and written
//! in the largest unit that divides them (`30s`, `90m`, `90d`), so that they can be read back.

use std::time::Duration;

use humantime_serde::re::humantime;
use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

use crate::quoted::quoted;

/// Writes a duration.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&text(*duration))
}

/// Reads a duration from `LEAST` to `MOST` milliseconds.
pub fn between<'de, D: Deserializer<'de>, const LEAST: u64, const MOST: u64>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let duration = deserialize(deserializer)?;
    let [least, most] = [LEAST, MOST].map(Duration::from_millis);
    if (least..=most).contains(&duration) {
        return Ok(duration);
    }
    let [least, most, duration] = [least, most, duration].map(text);
    Err(D::Error::custom(format!(
        "expected a duration from {least} to {most}, not {duration}"
    )))
}

/// Reads a duration.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|_| {
        let start: String = text.chars().take(100).collect();
        D::Error::custom(format!(
            "expected a duration such as 500ms, 30s, 15m, 1h or 7d, not {}",
            quoted(&start)
        ))
    })
}

/// The duration in the largest unit that divides it.
#[must_use]
pub fn text(duration: Duration) -> String {
    let units = [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
    ];
    let small = [("ms", 1_000_000), ("us", 1_000), ("ns", 1_u128)];
    let nanos = duration.as_nanos();
    let fits = |(_, size): &(&str, u128)| nanos.is_multiple_of(*size);
    match units
        .into_iter()
        .chain(small)
        .find(|unit| nanos > 0 && fits(unit))
    {
        Some((unit, size)) => format!("{}{unit}", nanos / size),
        None => "0s".to_owned(),
    }
}

/// Reads a duration from `LEAST` to `MOST` milliseconds, or its absence.
pub fn between_or_none<'de, D: Deserializer<'de>, const LEAST: u64, const MOST: u64>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    struct Present<const LEAST: u64, const MOST: u64>(Duration);
    impl<'de, const LEAST: u64, const MOST: u64> Deserialize<'de> for Present<LEAST, MOST> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            between::<D, LEAST, MOST>(deserializer).map(Self)
        }
    }
    let read = Option::<Present<LEAST, MOST>>::deserialize(deserializer)?;
    Ok(read.map(|Present(duration)| duration))
}

/// The same for durations that may be absent.
pub mod option {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the duration, if there is one.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_some(&super::text(*duration)),
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
    fn a_duration_is_written_so_that_it_can_be_read_back() {
        for (written, expected) in [
            ("90days", "90d"),
            ("1h 30m", "90m"),
            ("20s", "20s"),
            ("1500ms", "1500ms"),
            ("7us", "7us"),
            ("0s", "0s"),
            ("2months", "5260032s"),
        ] {
            let duration = humantime::parse_duration(written).unwrap();
            assert_eq!(text(duration), expected);
            assert_eq!(humantime::parse_duration(&text(duration)).unwrap(), duration);
        }
    }
}
