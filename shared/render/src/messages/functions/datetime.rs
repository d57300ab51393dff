//! The options of `DATETIME`.

use fluent_syntax::ast::NamedArgument;

use super::{Function, Refusal, Setting};
use crate::helpers::{DateFormat, DateStyle, DateTimeFields, Fields, Style, Width};

const OPTIONS: &str =
    "dateStyle, timeStyle, weekday, year, month, day, hour, minute, second, hour12 or hourCycle";

pub(super) fn read(options: &[NamedArgument<&str>]) -> Result<Function, Refusal> {
    let mut date = None;
    let mut time = false;
    let mut wanted = DateTimeFields::default();
    let mut has_fields = false;
    for option in options {
        let option = Setting::of("DATETIME", option);
        // Whether a number has two digits.
        let digits = || {
            let widths = [("numeric", false), ("2-digit", true)];
            option.one_of(&widths, "\"numeric\" or \"2-digit\"")
        };
        has_fields |= !matches!(option.name, "dateStyle" | "timeStyle");
        match option.name {
            "dateStyle" => {
                let styles = [
                    ("full", DateStyle::Full),
                    ("long", DateStyle::Long),
                    ("medium", DateStyle::Short),
                    ("short", DateStyle::Short),
                ];
                date = Some(option.one_of(&styles, "\"full\", \"long\", \"medium\" or \"short\"")?);
            }
            "timeStyle" => {
                option.one_of(&[("short", ())], "\"short\"")?;
                time = true;
            }
            "weekday" => {
                let widths = [("long", Width::Long), ("short", Width::Short)];
                wanted.weekday = Some(option.one_of(&widths, "\"long\" or \"short\"")?);
            }
            "month" => {
                let widths = [
                    ("long", Width::Long),
                    ("short", Width::Short),
                    ("numeric", Width::Numeric),
                    ("2-digit", Width::Numeric),
                ];
                let expected = "\"long\", \"short\", \"numeric\" or \"2-digit\"";
                wanted.month = Some(option.one_of(&widths, expected)?);
                wanted.padded |= option.value == "2-digit";
            }
            "year" => {
                option.one_of(&[("numeric", ())], "\"numeric\"")?;
                wanted.year = true;
            }
            "day" => {
                wanted.padded |= digits()?;
                wanted.day = true;
            }
            "hour" => {
                wanted.padded |= digits()?;
                wanted.hour = true;
            }
            // Minutes and seconds behind an hour have two digits in every language.
            "minute" => {
                digits()?;
                wanted.minute = true;
            }
            "second" => {
                digits()?;
                wanted.second = true;
            }
            "hour12" => wanted.twelve_hours = Some(option.flag()?),
            "hourCycle" => {
                let cycles = [("h12", true), ("h23", false)];
                wanted.twelve_hours = Some(option.one_of(&cycles, "\"h12\" or \"h23\"")?);
            }
            _ => return Err(option.unknown(OPTIONS)),
        }
    }
    let refuse = |expected: &str| ("unknown-option", format!("expected DATETIME with {expected}"));
    if !has_fields {
        let date = if date.is_none() && !time {
            Some(DateStyle::Short)
        } else {
            date
        };
        return Ok(Function::DateTime(DateFormat::Style(Style { date, time })));
    }
    if date.is_some() || time {
        return Err(refuse(
            "either dateStyle and timeStyle, or single fields such as month and day",
        ));
    }
    if wanted.twelve_hours.is_some() && !wanted.hour {
        return Err(refuse("hour beside hour12 or hourCycle"));
    }
    let fields = Fields::of(wanted).map_err(refuse)?;
    Ok(Function::DateTime(DateFormat::Fields(fields)))
}
