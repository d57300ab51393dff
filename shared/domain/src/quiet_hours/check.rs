//! The rules of a list of quiet windows that reading it does not check.

use chrono::{NaiveTime, Timelike as _, Weekday};

use super::{Day, MAX_WINDOWS, QuietHours};
use crate::field_error::FieldError;

/// The minutes of a day and of a week.
const DAY: u32 = 24 * 60;
const WEEK: u32 = 7 * DAY;

/// An occurrence of a window in the week, in minutes since its Monday began.
struct Occurrence {
    window: usize,
    day: Day,
    start: u32,
    minutes: u32,
}

impl Occurrence {
    /// Whether it and another one have a minute in common.
    fn meets(&self, other: &Self) -> bool {
        let after = |from: u32, to: u32| (to + WEEK - from) % WEEK;
        after(self.start, other.start) < self.minutes || after(other.start, self.start) < other.minutes
    }
}

/// Checks a list of windows at a pointer: at most 32 windows, none empty, no two at the same time, and some time of the week
/// left.
pub fn check(windows: &[QuietHours], pointer: &str, errors: &mut Vec<FieldError>) {
    if windows.len() > MAX_WINDOWS {
        let expected = format!("expected at most {MAX_WINDOWS} windows, not {}", windows.len());
        errors.push(FieldError::new(pointer, "range", expected));
        return;
    }
    let before = errors.len();
    for (index, window) in windows.iter().enumerate() {
        if window.from == window.to {
            let expected = format!(
                "expected from and to to differ, not {} for both",
                hh_mm(window.from)
            );
            errors.push(FieldError::new(format!("{pointer}/{index}"), "range", expected));
        }
        for (place, day) in window.days.iter().enumerate() {
            if window.days[..place].contains(day) {
                let expected = format!("expected each day once, not {} again", day.as_str());
                let at = format!("{pointer}/{index}/days/{place}");
                errors.push(FieldError::new(at, "duplicate", expected));
            }
        }
    }
    if errors.len() > before {
        return;
    }
    let all: Vec<Occurrence> = windows
        .iter()
        .enumerate()
        .flat_map(|(index, window)| occurrences(index, window))
        .collect();
    let mut refused = None;
    for (place, one) in all.iter().enumerate() {
        let Some(other) = all[..place].iter().find(|other| other.meets(one)) else {
            continue;
        };
        if refused != Some(one.window) {
            refused = Some(one.window);
            let expected = format!(
                "expected windows at different times, but {} and {} of window {} overlap",
                text(windows, one),
                text(windows, other),
                other.window
            );
            let at = format!("{pointer}/{}", one.window);
            errors.push(FieldError::new(at, "overlap", expected));
        }
    }
    if errors.len() == before && all.iter().map(|one| one.minutes).sum::<u32>() >= WEEK {
        let expected = "expected some time of the week without quiet hours, not windows that cover all of it";
        errors.push(FieldError::new(pointer, "range", expected));
    }
}

fn occurrences(index: usize, window: &QuietHours) -> impl Iterator<Item = Occurrence> {
    let minute = |time: NaiveTime| time.hour() * 60 + time.minute();
    let (from, to) = (minute(window.from), minute(window.to));
    let days: &[Day] = if window.days.is_empty() {
        &Day::ALL
    } else {
        &window.days
    };
    days.iter().map(move |day| Occurrence {
        window: index,
        day: *day,
        start: Weekday::from(*day).num_days_from_monday() * DAY + from,
        minutes: (to + DAY - from) % DAY,
    })
}

fn hh_mm(time: NaiveTime) -> String {
    time.format("%H:%M").to_string()
}

fn text(windows: &[QuietHours], one: &Occurrence) -> String {
    let window = &windows[one.window];
    format!(
        "{} {} to {}",
        one.day.as_str(),
        hh_mm(window.from),
        hh_mm(window.to)
    )
}
