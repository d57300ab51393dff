//! Dates and times by single fields, such as the weekday or the month and day, in every language that CLDR has.

use chrono::{Datelike as _, NaiveDateTime, Timelike as _};
use icu_calendar::Gregorian;
use icu_datetime::{
    FixedCalendarDateTimeFormatter,
    fieldsets::{
        builder::{DateFields, FieldSetBuilder},
        enums::CompositeDateTimeFieldSet,
    },
    input::{Date, DateTime, Time},
    options::{Alignment, Length, TimePrecision, YearStyle},
    preferences::HourCycle,
};
use icu_locale::Locale;

/// Writes dates and times of one set of fields in one locale.
pub(super) type DateFormatter = FixedCalendarDateTimeFormatter<Gregorian, CompositeDateTimeFieldSet>;

/// The fields that are written, and their form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fields {
    set: CompositeDateTimeFieldSet,
    /// The clock of 12 or of 24 hours; by default it is the one of the language.
    clock: Option<HourCycle>,
    has_time: bool,
}

/// The fields of date and time that a template asks for. `None` stands for a field that is not written.
#[derive(Debug, Clone, Copy, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each field, independent of each other"
)]
pub(crate) struct DateTimeFields {
    pub(crate) weekday: Option<Width>,
    pub(crate) month: Option<Width>,
    pub(crate) year: bool,
    pub(crate) day: bool,
    pub(crate) hour: bool,
    pub(crate) minute: bool,
    pub(crate) second: bool,
    /// Whether numbers of one digit get a 0 before them.
    pub(crate) padded: bool,
    pub(crate) twelve_hours: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    Long,
    Short,
    Numeric,
}

impl Fields {
    /// The fields that are written together. The error names the expected fields.
    pub(crate) fn of(wanted: DateTimeFields) -> Result<Self, &'static str> {
        let date = match (
            wanted.weekday.is_some(),
            wanted.year,
            wanted.month.is_some(),
            wanted.day,
        ) {
            (false, false, false, false) => None,
            (false, false, false, true) => Some(DateFields::D),
            (false, false, true, true) => Some(DateFields::MD),
            (false, true, true, true) => Some(DateFields::YMD),
            (true, false, false, true) => Some(DateFields::DE),
            (true, false, true, true) => Some(DateFields::MDE),
            (true, true, true, true) => Some(DateFields::YMDE),
            (true, false, false, false) => Some(DateFields::E),
            (false, false, true, false) => Some(DateFields::M),
            (false, true, true, false) => Some(DateFields::YM),
            (false, true, false, false) => Some(DateFields::Y),
            _ => {
                return Err(
                    "year, month and day, month and day, year and month, or one of them; weekday alone, or \
                            beside day, month and day, or all three",
                );
            }
        };
        let time = match (wanted.hour, wanted.minute, wanted.second) {
            (false, false, false) => None,
            (true, false, false) => Some(TimePrecision::Hour),
            (true, true, false) => Some(TimePrecision::Minute),
            (true, true, true) => Some(TimePrecision::Second),
            _ => return Err("hour, hour and minute, or hour, minute and second"),
        };
        if time.is_some() && matches!(date, Some(DateFields::D | DateFields::DE | DateFields::E)) {
            // ICU4X writes minutes of one digit there.
            return Err("month beside day or weekday, where hour and minute stand beside them");
        }
        let length = match (wanted.weekday, wanted.month) {
            (None | Some(Width::Long), Some(Width::Long)) | (Some(Width::Long), None) => Length::Long,
            (None | Some(Width::Short), Some(Width::Short) | None) => Length::Medium,
            (None | Some(Width::Short), Some(Width::Numeric)) => Length::Short,
            (Some(Width::Long), _) => return Err("month: \"long\" beside weekday: \"long\""),
            (Some(_), _) => {
                return Err("month: \"short\", \"numeric\" or \"2-digit\" beside weekday: \"short\"");
            }
        };
        let has_date = date.is_some();
        let mut builder = FieldSetBuilder::new();
        builder.date_fields = date;
        builder.time_precision = time;
        builder.length = Some(length);
        builder.alignment = wanted.padded.then_some(Alignment::Column);
        builder.year_style = wanted.year.then_some(YearStyle::Full);
        let set = builder.build_composite_datetime().map_err(|_| {
            if time.is_some() && has_date {
                "month and day beside hour and minute"
            } else {
                "\"numeric\" where \"2-digit\" stands, because these fields cannot be padded"
            }
        })?;
        Ok(Self {
            set,
            clock: wanted
                .twelve_hours
                .map(|twelve| if twelve { HourCycle::H12 } else { HourCycle::H23 }),
            has_time: time.is_some(),
        })
    }

    pub(crate) fn has_time(self) -> bool {
        self.has_time
    }

    /// A named style's fields. The error is a combination that does not exist.
    pub(super) fn of_style(date: Option<(DateFields, Length)>, time: bool) -> Option<Self> {
        let mut builder = FieldSetBuilder::new();
        builder.date_fields = date.map(|(fields, _)| fields);
        builder.length = date.map(|(_, length)| length);
        builder.time_precision = time.then_some(TimePrecision::Minute);
        let set = builder.build_composite_datetime().ok()?;
        Some(Self {
            set,
            clock: None,
            has_time: time,
        })
    }

    /// The formatter of the fields in a locale. `None` for a locale without data.
    pub(super) fn formatter(self, locale: &Locale) -> Option<DateFormatter> {
        let mut preferences = icu_datetime::DateTimeFormatterPreferences::from(locale);
        preferences.hour_cycle = self.clock.or(preferences.hour_cycle);
        FixedCalendarDateTimeFormatter::try_new(preferences, self.set).ok()
    }

    /// Writes a moment; `None` if the calendar does not have it.
    pub(super) fn text(formatter: &DateFormatter, at: NaiveDateTime) -> Option<String> {
        let number = |number: u32| u8::try_from(number).ok();
        let moment = DateTime {
            date: Date::try_new_gregorian(at.year(), number(at.month())?, number(at.day())?).ok()?,
            time: Time::try_new(number(at.hour())?, number(at.minute())?, number(at.second())?, 0).ok()?,
        };
        // CLDR writes a narrow space that does not break before AM and PM; Carillon writes a space there, as the
        // helper `date` does, which a text message can carry in its cheap alphabet.
        Some(formatter.format(&moment).to_string().replace('\u{202f}', " "))
    }
}
