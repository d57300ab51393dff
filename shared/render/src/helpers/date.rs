//! `{{date time "long"}}`: a point in time on the recipient's clock, as readers of the locale write it. Styles: `short`,
//! `long` (default), `full`, `time`, `datetime`.

use std::sync::LazyLock;

use carillon_domain::Timestamp;
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use chrono_tz::Tz;
use icu_datetime::{fieldsets::builder::DateFields, options::Length};

use super::{Arg, Conventions, Fields};
use crate::{budget::Budget, fault::Fault};

/// Steps of preparing a format of single fields in a locale.
const STEPS: u64 = 400;

pub(crate) fn date(at: &Arg<'_>, style: Option<&Arg<'_>>, reader: LocalReader<'_>) -> Result<String, Fault> {
    let style = match style {
        Some(arg) => arg
            .value
            .as_str()
            .and_then(Style::parse)
            .ok_or_else(|| arg.refuse("a date style: short, long, full, time or datetime"))?,
        None => Style::LONG,
    };
    written_in_style(at, style, reader)
}

/// The format of Fluent's `DATETIME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DateFormat {
    Style(Style),
    /// Single fields.
    Fields(Fields),
}

impl DateFormat {
    /// Whether the time of day is written.
    pub(crate) fn has_time(self) -> bool {
        match self {
            Self::Style(style) => style.time,
            Self::Fields(fields) => fields.has_time(),
        }
    }
}

/// Whether a text is a date; with `needs_time`, whether it has a time of day, too.
pub(crate) fn is_date(text: &str, needs_time: bool) -> bool {
    Moment::parse(text, None).is_some_and(|moment| moment.has_time || !needs_time)
}

/// Whether a text is the name of a style.
pub(crate) fn is_date_style(text: &str) -> bool {
    Style::parse(text).is_some()
}

/// The reader for whom a point in time is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalReader<'r> {
    pub(crate) conventions: &'r Conventions,
    /// IANA name.
    pub(crate) timezone: Option<&'r str>,
}

impl LocalReader<'_> {
    /// A reader whose locale does not matter.
    pub(crate) fn any() -> LocalReader<'static> {
        static ROOT: LazyLock<Conventions> = LazyLock::new(|| Conventions::of("und"));
        LocalReader {
            conventions: &ROOT,
            timezone: None,
        }
    }
}

pub(crate) fn formatted_date(
    at: &Arg<'_>,
    format: DateFormat,
    reader: LocalReader<'_>,
    budget: &Budget,
) -> Result<String, Fault> {
    match format {
        DateFormat::Style(style) => written_in_style(at, style, reader),
        DateFormat::Fields(fields) => {
            let moment = Moment::of(at, fields.has_time(), reader.timezone)?;
            budget.pay(STEPS)?;
            reader
                .conventions
                .fields(moment.at, fields)
                .ok_or_else(|| no_year(at))
        }
    }
}

fn written_in_style(at: &Arg<'_>, style: Style, reader: LocalReader<'_>) -> Result<String, Fault> {
    let moment = Moment::of(at, style.time, reader.timezone)?;
    reader
        .conventions
        .date(moment.at, style)
        .ok_or_else(|| no_year(at))
}

fn no_year(at: &Arg<'_>) -> Fault {
    at.refuse("a date of the years 1 to 9999")
}

/// A named style of dates and times. It writes the date, the time of day (hours and minutes), or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) date: Option<DateStyle>,
    pub(crate) time: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DateStyle {
    /// `Nov 24, 2026`
    Short,
    /// `November 24, 2026`
    Long,
    /// `Tuesday, November 24, 2026`
    Full,
}

impl Style {
    const LONG: Self = Self {
        date: Some(DateStyle::Long),
        time: false,
    };
    /// The number of different [`Style::index`]es.
    pub(super) const COUNT: usize = 8;

    fn parse(name: &str) -> Option<Self> {
        let (date, time) = match name {
            "short" => (Some(DateStyle::Short), false),
            "long" => (Some(DateStyle::Long), false),
            "full" => (Some(DateStyle::Full), false),
            "time" => (None, true),
            "datetime" => (Some(DateStyle::Long), true),
            _ => return None,
        };
        Some(Self { date, time })
    }

    pub(super) fn index(self) -> usize {
        let date = match self.date {
            None => 0,
            Some(DateStyle::Short) => 1,
            Some(DateStyle::Long) => 2,
            Some(DateStyle::Full) => 3,
        };
        date * 2 + usize::from(self.time)
    }

    /// The fields of CLDR. `None` for neither date nor time.
    pub(super) fn fields(self) -> Option<Fields> {
        let date = self.date.map(|date| match date {
            DateStyle::Short => (DateFields::YMD, Length::Medium),
            DateStyle::Long => (DateFields::YMD, Length::Long),
            DateStyle::Full => (DateFields::YMDE, Length::Long),
        });
        Fields::of_style(date, self.time)
    }
}

/// A date and time on the recipient's clock; a bare date is its midnight.
struct Moment {
    at: NaiveDateTime,
    has_time: bool,
}

impl Moment {
    /// Reads a date or a time; with `needs_time`, a bare date is refused.
    fn of(at: &Arg<'_>, needs_time: bool, zone: Option<&str>) -> Result<Self, Fault> {
        let moment = at.value.as_str().and_then(|text| Self::parse(text, zone));
        let moment =
            moment.ok_or_else(|| at.refuse("a date (2026-11-24) or a time (2026-11-24T10:00:00Z)"))?;
        if needs_time && !moment.has_time {
            return Err(at.refuse("a date with its time (2026-11-24T10:00:00Z), because the time is written"));
        }
        Ok(moment)
    }

    /// A time with an offset is moved to the recipient's timezone; a bare date is the same date everywhere.
    fn parse(text: &str, zone: Option<&str>) -> Option<Self> {
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            let utc: Timestamp = time.with_timezone(&Utc);
            let at = match zone.and_then(|zone| zone.parse::<Tz>().ok()) {
                Some(zone) => utc.with_timezone(&zone).naive_local(),
                None => utc.naive_utc(),
            };
            return Some(Self { at, has_time: true });
        }
        let at = text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0)?;
        Some(Self { at, has_time: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, zone: Option<&str>, style: &str, tag: &str) -> String {
        let moment = Moment::parse(text, zone).unwrap();
        Conventions::of(tag)
            .date(moment.at, Style::parse(style).unwrap())
            .unwrap()
    }

    #[test]
    fn a_time_is_written_on_the_recipients_clock() {
        let at = "2026-11-24T23:30:00Z";
        for (zone, tag, expected) in [
            (None, "en", "November 24, 2026 at 11:30 PM"),
            (Some("Europe/Berlin"), "de", "25. November 2026 um 00:30"),
            (Some("America/Montreal"), "fr-CA", "24 novembre 2026 à 18 h 30"),
            (Some("Europe/London"), "en-GB", "24 November 2026 at 23:30"),
            (Some("Asia/Tokyo"), "ja", "2026年11月25日 8:30"),
        ] {
            assert_eq!(written(at, zone, "datetime", tag), expected, "{tag}");
        }
    }

    #[test]
    fn dates_are_written_as_readers_of_each_locale_do() {
        for (tag, style, expected) in [
            ("en", "long", "December 1, 2026"),
            ("en", "full", "Tuesday, December 1, 2026"),
            ("en", "short", "Dec 1, 2026"),
            ("en-GB", "long", "1 December 2026"),
            ("en-GB", "short", "1 Dec 2026"),
            ("fr", "long", "1 décembre 2026"),
            ("fr", "full", "mardi 1 décembre 2026"),
            ("de", "full", "Dienstag, 1. Dezember 2026"),
            ("de", "short", "01.12.2026"),
            ("es", "full", "martes, 1 de diciembre de 2026"),
            ("pl", "long", "1 grudnia 2026"),
            ("ja", "long", "2026年12月1日"),
        ] {
            assert_eq!(
                written("2026-12-01", Some("Asia/Tokyo"), style, tag),
                expected,
                "{tag} {style}"
            );
        }
        assert!(Moment::parse("tomorrow", None).is_none());
    }
}
