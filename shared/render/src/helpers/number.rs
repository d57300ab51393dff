//! `{{number n}}` and `{{money amount currency}}` as readers of the locale write them. Amounts are in major units (`129.9` is
//! 129 and 90 hundredths), as JSON numbers or decimal text; they are never turned into floating point. The size of a number
//! is bounded, because its digits are written out.

use carillon_domain::json::Value;

use super::{Arg, Conventions, decimal::Decimal};
use crate::fault::Fault;

pub(crate) fn number(value: &Arg<'_>, conventions: &Conventions) -> Result<String, Fault> {
    let decimal = Decimal::of(value.value).map_err(|no| value.refuse(no.expected("a number")))?;
    Ok(conventions.number(&decimal, true))
}

pub(crate) fn money(
    amount: &Arg<'_>,
    currency: &Arg<'_>,
    conventions: &Conventions,
) -> Result<String, Fault> {
    let decimal = Decimal::of(amount.value);
    let decimal = decimal.map_err(|no| amount.refuse(no.expected("an amount such as 129.90")))?;
    let code = currency
        .value
        .as_str()
        .filter(|code| is_currency(code))
        .ok_or_else(|| currency.refuse("an ISO 4217 code such as EUR"))?;
    Ok(conventions.amount(&decimal, code, false))
}

/// Whether a text has the form of an ISO 4217 code.
pub(crate) fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Whether a value can be written as a number.
pub(crate) fn is_number(value: &Value) -> bool {
    Decimal::of(value).is_ok()
}

/// A number's digits, without an exponent; `None` if the text is not a number, or one that is too long to
/// write.
pub(crate) fn digits(text: &str) -> Option<String> {
    let decimal = Decimal::parse(text).ok()?;
    Some(decimal.digits())
}

/// The format of Fluent's `NUMBER`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NumberFormat {
    pub(crate) min_integer: usize,
    pub(crate) min_fraction: Option<usize>,
    pub(crate) max_fraction: Option<usize>,
    /// Digits from the first one on that is not 0. They come before digits of the fraction.
    pub(crate) min_significant: Option<usize>,
    pub(crate) max_significant: Option<usize>,
    pub(crate) grouping: bool,
    pub(crate) style: NumberStyle,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NumberStyle {
    Decimal,
    /// The number times 100, rounded to an integer unless other digits are asked for.
    Percent,
    /// An amount, as `money` writes it.
    Currency {
        /// ISO 4217.
        code: String,
        /// Whether the code itself is written instead of a symbol.
        by_code: bool,
    },
}

impl Default for NumberFormat {
    fn default() -> Self {
        Self {
            min_integer: 1,
            min_fraction: None,
            max_fraction: None,
            min_significant: None,
            max_significant: None,
            grouping: true,
            style: NumberStyle::Decimal,
        }
    }
}

impl NumberFormat {
    /// The number with the digits that are written; `most` is the number of digits behind the point where none is
    /// asked for.
    fn rounded(&self, number: &Decimal, most: Option<usize>) -> Decimal {
        let rounded = if self.min_significant.is_some() || self.max_significant.is_some() {
            number.significant(self.min_significant.unwrap_or(1), self.max_significant)
        } else {
            let digits = number.fraction.len();
            let least = self.min_fraction.unwrap_or(0);
            let most = self.max_fraction.or(most.map(|most| most.max(least)));
            let wanted = digits.min(most.unwrap_or(digits)).max(least);
            if wanted == digits {
                number.clone()
            } else {
                number.rounded(wanted)
            }
        };
        Decimal {
            whole: format!("{:0>least$}", rounded.whole, least = self.min_integer),
            ..rounded
        }
    }
}

/// A number's digits after rounding, which select a plural form, and its formatted text.
pub(crate) fn formatted_number(
    value: &Arg<'_>,
    format: &NumberFormat,
    conventions: &Conventions,
) -> Result<(String, String), Fault> {
    let decimal = Decimal::of(value.value).map_err(|no| value.refuse(no.expected("a number")))?;
    let (selects, shown) = match &format.style {
        NumberStyle::Decimal => {
            let rounded = format.rounded(&decimal, None);
            let shown = conventions.number(&rounded, format.grouping);
            (rounded, shown)
        }
        NumberStyle::Percent => {
            let hundredfold = decimal.clone().moved(2);
            let rounded = format.rounded(&hundredfold, Some(0));
            (decimal, conventions.percent(&rounded))
        }
        NumberStyle::Currency { code, by_code } => {
            let rounded = format.rounded(&decimal, None);
            let shown = conventions.amount(&rounded, code, *by_code);
            (rounded, shown)
        }
    };
    Ok((selects.digits(), shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(amount: &str, code: &str, tag: &str) -> String {
        Conventions::of(tag).amount(&Decimal::parse(amount).unwrap(), code, false)
    }

    #[test]
    fn money_is_written_as_readers_of_each_locale_do() {
        for (amount, code, tag, expected) in [
            ("1234.5", "EUR", "en", "€1,234.50"),
            ("1234.5", "EUR", "fr", "1\u{202f}234,50\u{a0}€"),
            ("1234.5", "EUR", "de", "1.234,50\u{a0}€"),
            ("1234.5", "EUR", "de-AT", "€\u{a0}1\u{a0}234,50"),
            ("1234.5", "CHF", "de-CH", "CHF\u{a0}1'234.50"),
            ("12", "CHF", "en", "CHF\u{a0}12.00"),
            ("-7.005", "USD", "en", "-$7.01"),
            ("7", "USD", "en-CA", "US$7.00"),
            ("1234.5", "JPY", "de", "1.235\u{a0}¥"),
            ("9", "PLN", "pl", "9,00\u{a0}zł"),
            ("1234.5", "MXN", "es-MX", "$1,234.50"),
            ("99.999", "EUR", "en", "€100.00"),
            ("-0.001", "EUR", "en", "€0.00"),
            ("5", "XYZ", "en", "XYZ\u{a0}5.00"),
        ] {
            assert_eq!(written(amount, code, tag), expected, "{amount} {code} {tag}");
        }
    }

    #[test]
    fn numbers_are_written_as_readers_of_each_locale_do() {
        for (tag, expected) in [
            ("en", "12,345,678.90"),
            ("en-IN", "1,23,45,678.90"),
            ("es", "12.345.678,90"),
            ("de-CH", "12'345'678.90"),
            ("und", "12,345,678.90"),
            ("no tag", "12,345,678.90"),
        ] {
            let number = Decimal::parse("12345678.90").unwrap();
            assert_eq!(Conventions::of(tag).number(&number, true), expected, "{tag}");
        }
    }

    #[test]
    fn an_exponent_moves_the_point() {
        for (text, expected) in [
            ("1E3", "1000"),
            ("1.5e+3", "1500"),
            ("1.2345e2", "123.45"),
            ("1.10e1", "11.0"),
            ("1e-7", "0.0000001"),
            ("123.4e-2", "1.234"),
            ("0e5", "0"),
            ("-0", "0"),
            ("-0.00", "0.00"),
            ("-1e0", "-1"),
            ("123456789012345678901234", "123456789012345678901234"),
        ] {
            assert_eq!(digits(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(written("1.2345E5", "EUR", "en"), "€123,450.00");
        assert_eq!(
            written("123456789012345678901234.565", "EUR", "de"),
            "123.456.789.012.345.678.901.234,57\u{a0}€"
        );
    }
}
