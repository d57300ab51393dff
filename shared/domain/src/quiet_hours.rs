//! Quiet hours: weekly windows, in a reader's timezone, in which messages wait.
//!
//! A window lasts from its local start on each of its days to its local end, which it excludes. Where clocks are put
//! forward or back, a local time may not exist or may exist twice:
//!
//! - A start or end that does not exist is the moment at which the clocks are put forward.
//! - A start that exists twice is the first of the two, an end that exists twice the second, so that no message comes
//!   within the window by either reading of the clock.
//! - A window that lies wholly in the skipped time does not occur.

mod check;
mod zone;

use chrono::{Days, NaiveDate, NaiveTime, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

pub(crate) use self::zone::{Side, instant};
pub use self::{
    check::check,
    zone::{Zone, until_text},
};
use crate::clock::Timestamp;

/// The most windows of one list.
pub const MAX_WINDOWS: usize = 32;
/// The most windows that can follow one another without a break before the search ends: those of a week, twice.
const MAX_CHAIN: usize = 2 * 7 * MAX_WINDOWS;

/// A quiet window. If its end is before its start, it runs over midnight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// The days on which it starts; none means every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// Local start, `HH:MM`.
    #[serde(with = "hh_mm")]
    pub from: NaiveTime,
    /// Local end, `HH:MM`, exclusive.
    #[serde(with = "hh_mm")]
    pub to: NaiveTime,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the days speak for themselves")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    /// All days, Monday first.
    pub const ALL: [Self; 7] = [
        Self::Mon,
        Self::Tue,
        Self::Wed,
        Self::Thu,
        Self::Fri,
        Self::Sat,
        Self::Sun,
    ];
}

impl Day {
    /// Its name in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        }
    }
}

impl From<Day> for Weekday {
    fn from(day: Day) -> Self {
        match day {
            Day::Mon => Self::Mon,
            Day::Tue => Self::Tue,
            Day::Wed => Self::Wed,
            Day::Thu => Self::Thu,
            Day::Fri => Self::Fri,
            Day::Sat => Self::Sat,
            Day::Sun => Self::Sun,
        }
    }
}

impl QuietHours {
    fn begins_on(&self, weekday: Weekday) -> bool {
        self.days.is_empty() || self.days.iter().any(|day| Weekday::from(*day) == weekday)
    }

    /// The occurrence that begins on a day: its first moment, and the first one after it.
    fn occurrence(&self, zone: Tz, day: NaiveDate) -> Option<(Timestamp, Timestamp)> {
        if !self.begins_on(chrono::Datelike::weekday(&day)) {
            return None;
        }
        let last = if self.to <= self.from {
            day.checked_add_days(Days::new(1))?
        } else {
            day
        };
        let start = zone::instant(zone, day.and_time(self.from), Side::First)?;
        let end = zone::instant(zone, last.and_time(self.to), Side::Last)?;
        (start < end).then_some((start, end))
    }
}

/// The end of the quiet time that a moment lies in; `None` if it lies in none. Windows that follow one another without a
/// break are one quiet time.
#[must_use]
pub fn quiet_until(windows: &[QuietHours], zone: Tz, at: Timestamp) -> Option<Timestamp> {
    let mut until = covering(windows, zone, at)?;
    for _ in 0..MAX_CHAIN {
        match covering(windows, zone, until) {
            Some(later) => until = later,
            None => break,
        }
    }
    Some(until)
}

/// The latest end of the windows that a moment lies in.
fn covering(windows: &[QuietHours], zone: Tz, at: Timestamp) -> Option<Timestamp> {
    let today = at.with_timezone(&zone).date_naive();
    // A window lasts less than a day by the clock. A zone may skip a whole day, so the day before yesterday counts too.
    let days = [2, 1, 0].map(|ago| today.checked_sub_days(Days::new(ago)));
    let days = days
        .into_iter()
        .flatten()
        .chain(today.checked_add_days(Days::new(1)));
    days.flat_map(|day| {
        windows
            .iter()
            .filter_map(move |window| window.occurrence(zone, day))
    })
    .filter(|(start, end)| *start <= at && at < *end)
    .map(|(_, end)| end)
    .max()
}

pub(crate) mod hh_mm {
    use chrono::NaiveTime;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::field_error::quoted;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    pub(crate) fn serialize<S: Serializer>(time: &NaiveTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&time.format("%H:%M"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NaiveTime, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let expected = |_| D::Error::custom(format!("expected a time as HH:MM, not {}", quoted(&text)));
        NaiveTime::parse_from_str(&text, "%H:%M").map_err(expected)
    }
}

#[cfg(test)]
mod tests;
