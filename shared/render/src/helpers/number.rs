//! `{{number n}}` and `{{money amount currency}}` in the recipient's language. Amounts are in major units (`129.9` is
//! 129 and 90 hundredths), as JSON numbers or decimal text; they are never turned into floating point. The size of a number
//! is bounded, because its digits are written out.

use carillon_domain::json::Value;

use super::{Arg, Language, decimal::Decimal};
use crate::fault::Fault;

pub(crate) fn number(value: &Arg<'_>, language: Language) -> Result<String, Fault> {
    let decimal = Decimal::of(value.value).map_err(|no| value.refuse(no.expected("a number")))?;
    Ok(decimal.write(language))
}

pub(crate) fn money(amount: &Arg<'_>, currency: &Arg<'_>, language: Language) -> Result<String, Fault> {
    let decimal = Decimal::of(amount.value);
    let decimal = decimal.map_err(|no| amount.refuse(no.expected("an amount such as 129.90")))?;
    let code = currency
        .value
        .as_str()
        .filter(|code| is_currency(code))
        .ok_or_else(|| currency.refuse("an ISO 4217 code such as EUR"))?;
    Ok(in_currency(&decimal, code, false, language))
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
    Some(decimal.write_with("", '.'))
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
    language: Language,
) -> Result<(String, String), Fault> {
    let decimal = Decimal::of(value.value).map_err(|no| value.refuse(no.expected("a number")))?;
    let group = if format.grouping { language.group() } else { "" };
    let write = |number: &Decimal| number.write_with(group, language.point());
    let (selects, shown) = match &format.style {
        NumberStyle::Decimal => {
            let rounded = format.rounded(&decimal, None);
            let shown = write(&rounded);
            (rounded, shown)
        }
        NumberStyle::Percent => {
            let hundredfold = decimal.clone().moved(2);
            let rounded = format.rounded(&hundredfold, Some(0));
            (decimal, format!("{}{}", write(&rounded), language.percent()))
        }
        NumberStyle::Currency { code, by_code } => {
            let rounded = format.rounded(&decimal, None);
            let shown = in_currency(&rounded, code, *by_code, language);
            (rounded, shown)
        }
    };
    Ok((selects.write(Language::Other), shown))
}

/// Writes an amount with its currency's symbol, or with its code.
fn in_currency(amount: &Decimal, code: &str, by_code: bool, language: Language) -> String {
    let digits = match code {
        "JPY" | "KRW" | "VND" | "CLP" | "ISK" | "XAF" | "XOF" | "XPF" | "UGX" | "PYG" => 0,
        "KWD" | "BHD" | "OMR" | "JOD" | "TND" | "IQD" | "LYD" => 3,
        _ => 2,
    };
    let symbol = match code {
        other if by_code => other,
        "EUR" => "€",
        "USD" => "$",
        "GBP" => "£",
        "JPY" => "¥",
        other => other,
    };
    let amount = amount.rounded(digits);
    let sign = if amount.negative { "-" } else { "" };
    let number = Decimal {
        negative: false,
        ..amount
    }
    .write(language);
    match language {
        Language::English if symbol.len() == 3 && symbol == code => format!("{sign}{code}\u{a0}{number}"),
        Language::English => format!("{sign}{symbol}{number}"),
        Language::French | Language::German => format!("{sign}{number}\u{a0}{symbol}"),
        Language::Other => format!("{sign}{number}\u{a0}{code}"),
    }
}

impl Language {
    /// The separator between groups of three digits.
    pub(super) fn group(self) -> &'static str {
        match self {
            Self::English => ",",
            Self::French => "\u{202f}",
            Self::German => ".",
            Self::Other => "",
        }
    }

    /// The sign behind a percentage.
    fn percent(self) -> &'static str {
        match self {
            Self::English | Self::Other => "%",
            Self::French => "\u{202f}%",
            Self::German => "\u{a0}%",
        }
    }

    /// The decimal separator.
    pub(super) fn point(self) -> char {
        match self {
            Self::English | Self::Other => '.',
            Self::French | Self::German => ',',
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(amount: &str, code: &str, language: Language) -> String {
        in_currency(&Decimal::parse(amount).unwrap(), code, false, language)
    }

    #[test]
    fn money_is_written_as_each_language_does() {
        assert_eq!(written("1234.5", "EUR", Language::English), "€1,234.50");
        assert_eq!(
            written("1234.5", "EUR", Language::French),
            "1\u{202f}234,50\u{a0}€"
        );
        assert_eq!(written("1234.5", "EUR", Language::German), "1.234,50\u{a0}€");
        assert_eq!(written("12", "CHF", Language::English), "CHF\u{a0}12.00");
        assert_eq!(written("-7.005", "USD", Language::English), "-$7.01");
        assert_eq!(written("1234.5", "JPY", Language::German), "1.235\u{a0}¥");
        assert_eq!(written("9", "PLN", Language::Other), "9.00\u{a0}PLN");
    }

    #[test]
    fn rounding_carries_and_keeps_no_negative_zero() {
        assert_eq!(written("99.999", "EUR", Language::English), "€100.00");
        assert_eq!(written("-0.001", "EUR", Language::English), "€0.00");
        assert_eq!(written("0.1", "EUR", Language::English), "€0.10");
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
        assert_eq!(written("1.2345E5", "EUR", Language::English), "€123,450.00");
        assert_eq!(
            written("123456789012345678901234.565", "EUR", Language::German),
            "123.456.789.012.345.678.901.234,57\u{a0}€"
        );
    }
}
