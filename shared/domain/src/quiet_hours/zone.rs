//! Local times as instants, and instants as local times.

use chrono::{NaiveDateTime, TimeZone as _, Utc, offset::LocalResult};
use chrono_tz::{GapInfo, Tz};

use crate::clock::Timestamp;

/// A timezone with its rules.
pub type Zone = Tz;

/// Which of two instants with the same local time is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    First,
    Last,
}

/// The instant of a local time. A time that the clocks skip is the moment at which they are put forward. `None` beyond the
/// range of the time zone data.
pub(crate) fn instant(zone: Tz, local: NaiveDateTime, side: Side) -> Option<Timestamp> {
    let at = match (zone.from_local_datetime(&local), side) {
        (LocalResult::Single(at) | LocalResult::Ambiguous(at, _), Side::First)
        | (LocalResult::Single(at) | LocalResult::Ambiguous(_, at), Side::Last) => at,
        (LocalResult::None, _) => GapInfo::new(&local, &zone)?.end?,
    };
    Some(at.with_timezone(&Utc))
}

/// A moment as a reader in a zone says it: `07:00, 28 Nov (Europe/Berlin)`.
#[must_use]
pub fn until_text(until: Timestamp, zone: Tz) -> String {
    let local = until.with_timezone(&zone);
    // A window ends on a whole minute, the skipped time of a former century may not.
    format!("{} ({})", local.format("%H:%M, %-d %b"), zone.name())
}
