//! `{{date time "long"}}`: a point in time in the recipient's timezone and language. Styles: `short`, `long` (default),
//! `full`, `time`, `datetime`.

use carillon_domain::Timestamp;
use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, Timelike as _, Utc};
use chrono_tz::Tz;

use super::{Arg, Fields, Language};
use crate::{budget::Budget, fault::Fault};

pub(crate) fn date(
    at: &Arg<'_>,
    style: Option<&Arg<'_>>,
    timezone: Option<&str>,
    language: Language,
) -> Result<String, Fault> {
    let style = match style {
        Some(arg) => arg
            .value
            .as_str()
            .and_then(Style::parse)
            .ok_or_else(|| arg.refuse("a date style: short, long, full, time or datetime"))?,
        None => Style::Long,
    };
    let needs_time = matches!(style, Style::Time | Style::DateTime);
    Ok(Moment::of(at, needs_time, timezone)?.write(style, language))
}

/// The format of Fluent's `DATETIME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DateFormat {
    /// The date, the time of day, or both.
    Styles { date: Option<Style>, time: bool },
    /// Single fields.
    Fields(Fields),
}

impl DateFormat {
    /// Whether the time of day is written.
    pub(crate) fn has_time(self) -> bool {
        match self {
            Self::Styles { time, .. } => time,
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
    /// The locale of the texts that serves the reader.
    pub(crate) tag: &'r str,
    pub(crate) language: Language,
    /// IANA name.
    pub(crate) timezone: Option<&'r str>,
}

pub(crate) fn formatted_date(
    at: &Arg<'_>,
    format: DateFormat,
    reader: LocalReader<'_>,
    budget: &Budget,
) -> Result<String, Fault> {
    let LocalReader {
        tag,
        language,
        timezone,
    } = reader;
    Ok(match format {
        DateFormat::Styles { date, time } => {
            let moment = Moment::of(at, time, timezone)?;
            match date {
                Some(date) if time => moment.write_both(date, language),
                Some(date) => moment.write(date, language),
                None => moment.write(Style::Time, language),
            }
        }
        DateFormat::Fields(fields) => {
            let moment = Moment::of(at, fields.has_time(), timezone)?;
            let text = fields.write(moment.at, tag, budget)?;
            text.ok_or_else(|| at.refuse("a date of the years 1 to 9999"))?
        }
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Short,
    Long,
    Full,
    Time,
    DateTime,
}

impl Style {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "short" => Self::Short,
            "long" => Self::Long,
            "full" => Self::Full,
            "time" => Self::Time,
            "datetime" => Self::DateTime,
            _ => return None,
        })
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

    fn write_both(&self, date: Style, language: Language) -> String {
        let date = self.write(date, language);
        let time = self.write(Style::Time, language);
        match language {
            Language::English => format!("{date} at {time}"),
            Language::French => format!("{date} à {time}"),
            Language::German => format!("{date} um {time} Uhr"),
            Language::Other => format!("{date} {time}"),
        }
    }

    fn write(&self, style: Style, language: Language) -> String {
        match (style, language) {
            (Style::Time, Language::English) => {
                let (pm, hour) = self.at.hour12();
                format!("{hour}:{:02} {}", self.at.minute(), if pm { "PM" } else { "AM" })
            }
            (Style::Time, _) => format!("{:02}:{:02}", self.at.hour(), self.at.minute()),
            (Style::DateTime, _) => self.write_both(Style::Long, language),
            (_, Language::Other) => self.at.date().to_string(),
            (Style::Short, Language::English) => self.at.format("%b %-d, %Y").to_string(),
            (Style::Short, Language::French) => self.at.format("%d/%m/%Y").to_string(),
            (Style::Short, Language::German) => self.at.format("%d.%m.%Y").to_string(),
            (Style::Long, Language::English) => self.at.format("%B %-d, %Y").to_string(),
            (Style::Long, Language::French) => {
                let first = if self.at.day() == 1 { "er" } else { "" };
                format!(
                    "{}{first} {} {}",
                    self.at.day(),
                    MONTHS_FR[self.at.month0() as usize],
                    self.at.year()
                )
            }
            (Style::Long, Language::German) => {
                format!(
                    "{}. {} {}",
                    self.at.day(),
                    MONTHS_DE[self.at.month0() as usize],
                    self.at.year()
                )
            }
            (Style::Full, _) => {
                let date = self.write(Style::Long, language);
                let day = self.at.weekday().num_days_from_monday() as usize;
                match language {
                    Language::French => format!("{} {date}", DAYS_FR[day]),
                    Language::German => format!("{}, {date}", DAYS_DE[day]),
                    Language::English | Language::Other => format!("{}, {date}", self.at.format("%A")),
                }
            }
        }
    }
}

const MONTHS_FR: [&str; 12] = [
    "janvier",
    "février",
    "mars",
    "avril",
    "mai",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
];
const MONTHS_DE: [&str; 12] = [
    "Januar",
    "Februar",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
];
const DAYS_FR: [&str; 7] = [
    "lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche",
];
const DAYS_DE: [&str; 7] = [
    "Montag",
    "Dienstag",
    "Mittwoch",
    "Donnerstag",
    "Freitag",
    "Samstag",
    "Sonntag",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, zone: Option<&str>, style: &str, language: Language) -> String {
        Moment::parse(text, zone)
            .unwrap()
            .write(Style::parse(style).unwrap(), language)
    }

    #[test]
    fn a_time_is_written_on_the_recipients_clock() {
        let at = "2026-11-24T23:30:00Z";
        assert_eq!(
            written(at, None, "datetime", Language::English),
            "November 24, 2026 at 11:30 PM"
        );
        assert_eq!(
            written(at, Some("Europe/Berlin"), "datetime", Language::German),
            "25. November 2026 um 00:30 Uhr"
        );
        assert_eq!(
            written(at, Some("America/Montreal"), "datetime", Language::French),
            "24 novembre 2026 à 18:30"
        );
    }

    #[test]
    fn dates_are_written_as_each_language_does() {
        let day = "2026-12-01";
        assert_eq!(
            written(day, Some("Asia/Tokyo"), "long", Language::English),
            "December 1, 2026"
        );
        assert_eq!(written(day, None, "long", Language::French), "1er décembre 2026");
        assert_eq!(
            written(day, None, "full", Language::German),
            "Dienstag, 1. Dezember 2026"
        );
        assert_eq!(
            written(day, None, "full", Language::French),
            "mardi 1er décembre 2026"
        );
        assert_eq!(
            written(day, None, "full", Language::English),
            "Tuesday, December 1, 2026"
        );
        assert_eq!(written(day, None, "short", Language::English), "Dec 1, 2026");
        assert_eq!(written(day, None, "short", Language::German), "01.12.2026");
        assert_eq!(written(day, None, "full", Language::Other), "2026-12-01");
        assert!(Moment::parse("tomorrow", None).is_none());
    }
}
