//! The windows of digests.

use std::time::Duration;

use chrono::{Datelike as _, Days, Weekday};

use super::DigestDef;
use crate::{
    clock::Timestamp,
    quiet_hours::{Side, Zone, instant},
};

/// The days around a moment in which the ends of its window lie: a week, and one day that a zone may skip.
const AROUND: u64 = 8;

/// A period whose messages go into one digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestWindow {
    /// Its first moment.
    pub start: Timestamp,
    /// Its end, which it excludes: the time at which the digest is sent.
    pub end: Timestamp,
}

impl DigestDef {
    /// The window that a moment lies in. Windows follow one another without gaps. Those of a duration begin at its whole
    /// multiples since 1970-01-01T00:00:00Z. Those of a calendar end at its times in the zone: a time that the clocks skip is
    /// the moment at which they are put forward, and one that comes twice is the first of the two. `None` beyond the range
    /// of times, or for a definition that the catalog refuses.
    #[must_use]
    pub fn window(&self, zone: Zone, at: Timestamp) -> Option<DigestWindow> {
        match self.every {
            Some(every) => of_duration(every, at),
            None => self.of_calendar(zone, at),
        }
    }

    fn of_calendar(&self, zone: Zone, at: Timestamp) -> Option<DigestWindow> {
        let today = at.with_timezone(&zone).date_naive();
        let first = today.checked_sub_days(Days::new(AROUND))?;
        let days = first.iter_days().take(2 * usize::try_from(AROUND).ok()? + 1);
        let ends = days.filter(|day| self.ends_on(day.weekday())).flat_map(|day| {
            let times = self.at.iter();
            times.filter_map(move |time| instant(zone, day.and_time(time.0), Side::First))
        });
        let (mut start, mut end) = (None, None);
        for one in ends {
            if one <= at {
                start = start.max(Some(one));
            } else {
                end = Some(end.map_or(one, |end: Timestamp| end.min(one)));
            }
        }
        Some(DigestWindow {
            start: start?,
            end: end?,
        })
    }

    fn ends_on(&self, weekday: Weekday) -> bool {
        self.days.is_empty() || self.days.iter().any(|day| Weekday::from(*day) == weekday)
    }
}

fn of_duration(every: Duration, at: Timestamp) -> Option<DigestWindow> {
    let every = i64::try_from(every.as_micros()).ok().filter(|every| *every > 0)?;
    let start = at.timestamp_micros().div_euclid(every).checked_mul(every)?;
    Some(DigestWindow {
        start: Timestamp::from_timestamp_micros(start)?,
        end: Timestamp::from_timestamp_micros(start.checked_add(every)?)?,
    })
}
