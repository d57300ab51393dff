//! How a locale's readers write numbers, amounts and dates, by CLDR.

use std::sync::OnceLock;

use carillon_domain::locale;
use chrono::NaiveDateTime;
use icu_decimal::{
    DecimalFormatter, DecimalFormatterPreferences,
    input::Decimal as Exact,
    options::{DecimalFormatterOptions, GroupingStrategy},
};
use icu_experimental::dimension::{
    currency::{CurrencyType, formatter::CurrencyFormatter, options::CurrencyFormatterOptions},
    percent::{formatter::PercentFormatter, options::PercentFormatterOptions},
};
use icu_locale::Locale;

use super::{
    date::Style,
    decimal::Decimal,
    fields::{DateFormatter, Fields},
};

/// The conventions of a locale. A locale that CLDR lacks has those of CLDR's root: `1,234.5` and `2026 M11 24`.
#[derive(Debug)]
pub(crate) struct Conventions {
    locale: Locale,
    /// A number with its groups of digits separated, and one without. `None` would be a locale without data, which
    /// CLDR's root has for all.
    grouped: Option<DecimalFormatter>,
    ungrouped: Option<DecimalFormatter>,
    percent: Option<PercentFormatter<DecimalFormatter>>,
    /// The formatters of named styles, each made at its first use: making one takes as long as most messages.
    dates: [OnceLock<Option<DateFormatter>>; Style::COUNT],
}

impl Conventions {
    /// The conventions of a BCP 47 tag; those of the root for another text.
    pub(crate) fn of(tag: &str) -> Self {
        let locale = locale::parse(tag).map_or(Locale::UNKNOWN, Locale::from);
        Self {
            grouped: decimals(&locale, GroupingStrategy::Auto),
            ungrouped: decimals(&locale, GroupingStrategy::Never),
            percent: PercentFormatter::try_new((&locale).into(), PercentFormatterOptions::default()).ok(),
            locale,
            dates: std::array::from_fn(|_| OnceLock::new()),
        }
    }

    /// Writes a number with all its digits.
    pub(super) fn number(&self, number: &Decimal, grouping: bool) -> String {
        let formatter = if grouping { &self.grouped } else { &self.ungrouped };
        written(number, formatter.as_ref(), |formatter, exact| {
            formatter.format(exact).to_string()
        })
    }

    /// Writes a number of hundredths with the sign for it, such as `12 %`.
    pub(super) fn percent(&self, number: &Decimal) -> String {
        written(number, self.percent.as_ref(), |formatter, exact| {
            formatter.format(exact).to_string()
        })
    }

    /// Writes an amount of a currency (ISO 4217), rounded half up to the digits that the currency has, with its symbol or with
    /// its code.
    pub(super) fn amount(&self, amount: &Decimal, code: &str, by_code: bool) -> String {
        let formatter = code.parse::<CurrencyType>().ok().and_then(|currency| {
            let (locale, options) = ((&self.locale).into(), CurrencyFormatterOptions::default());
            if by_code {
                CurrencyFormatter::try_new_code(locale, currency, options).ok()
            } else {
                CurrencyFormatter::try_new_symbol(locale, currency, options).ok()
            }
        });
        let write = |amount: &Decimal| {
            written(amount, formatter.as_ref(), |formatter, exact| {
                formatter.format_fixed_decimal(exact).to_string()
            })
        };
        if amount.negative {
            // An amount that is rounded to 0 has no sign.
            let unsigned = Decimal {
                negative: false,
                ..amount.clone()
            };
            let rounded = write(&unsigned);
            if rounded == write(&Decimal::zero()) {
                return rounded;
            }
        }
        write(amount)
    }

    /// Writes a date or time in a named style. `None` if the calendar does not have it.
    pub(super) fn date(&self, at: NaiveDateTime, style: Style) -> Option<String> {
        let cell = &self.dates[style.index()];
        let formatter = cell.get_or_init(|| style.fields()?.formatter(&self.locale));
        Fields::text(formatter.as_ref()?, at)
    }

    /// Writes single fields of a date or time. `None` if the calendar does not have it.
    pub(super) fn fields(&self, at: NaiveDateTime, fields: Fields) -> Option<String> {
        Fields::text(&fields.formatter(&self.locale)?, at)
    }
}

fn decimals(locale: &Locale, grouping: GroupingStrategy) -> Option<DecimalFormatter> {
    let options = DecimalFormatterOptions::from(grouping);
    DecimalFormatter::try_new(DecimalFormatterPreferences::from(locale), options).ok()
}

/// A number as a formatter writes it; its digits if there is none.
fn written<F>(number: &Decimal, formatter: Option<&F>, write: impl FnOnce(&F, &Exact) -> String) -> String {
    let digits = number.digits();
    match (formatter, Exact::try_from_str(&digits)) {
        (Some(formatter), Ok(exact)) => write(formatter, &exact),
        _ => digits,
    }
}
