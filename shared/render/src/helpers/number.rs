//! `{{number n}}` and `{{money amount currency}}` in the recipient's language. Amounts are in major units (`129.9` is
//! 129 and 90 hundredths), as JSON numbers or decimal text; they are never turned into floating point. The size of a number
//! is bounded, because its digits are written out.

use carillon_domain::json::{Number, Value};

use super::{Arg, Language};
use crate::fault::Fault;

/// The most digits before the point in a number that is formatted for readers, and the most zeros behind it before the
/// first other digit.
const MAX_WHOLE: usize = 30;
/// The expectation that a number beyond these bounds does not meet.
const BOUNDED: &str = "a number below 1e30 (without its sign) that is 0 or at least 1e-30";
/// The expectation that a longer text does not meet; its bound is [`Number::LONGEST_TEXT`].
const SHORT: &str = "a number of at most 1000 characters";

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
    fn group(self) -> &'static str {
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
    fn point(self) -> char {
        match self {
            Self::English | Self::Other => '.',
            Self::French | Self::German => ',',
        }
    }
}

/// A decimal number as its digits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    whole: String,
    fraction: String,
}

/// The reason for which a value is not written as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoDecimal {
    /// The value is not a number.
    NoNumber,
    /// The value is a number, but too large or too small.
    OutOfBounds,
    /// The value's text is longer than that of any number that is read.
    TooLong,
}

impl NoDecimal {
    fn expected(self, number: &'static str) -> &'static str {
        match self {
            Self::NoNumber => number,
            Self::OutOfBounds => BOUNDED,
            Self::TooLong => SHORT,
        }
    }
}

impl Decimal {
    fn of(value: &Value) -> Result<Self, NoDecimal> {
        match value {
            Value::Number(Number::Written(text)) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            Value::String(text) => Self::parse(text.trim()),
            _ => Err(NoDecimal::NoNumber),
        }
    }

    fn parse(text: &str) -> Result<Self, NoDecimal> {
        if text.len() > Number::LONGEST_TEXT {
            return Err(NoDecimal::TooLong);
        }
        let (text, exponent) = match text.split_once(['e', 'E']) {
            Some((text, exponent)) => (text, Some(exponent)),
            None => (text, None),
        };
        let (negative, digits) = text
            .strip_prefix('-')
            .map_or((false, text), |digits| (true, digits));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let numeric = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
        let is_exponent = |text: &str| {
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            !digits.is_empty() && numeric(digits)
        };
        if whole.is_empty() || !numeric(whole) || !numeric(fraction) || !exponent.is_none_or(is_exponent) {
            return Err(NoDecimal::NoNumber);
        }
        let decimal = Self {
            negative,
            whole: whole.to_owned(),
            fraction: fraction.to_owned(),
        };
        let decimal = match exponent {
            None => decimal,
            Some(_) if decimal.is_zero() => decimal,
            Some(exponent) => {
                // A number that is moved further than this is out of bounds however many zeros it has.
                let places = exponent.parse::<isize>().ok();
                let is_near = |places: &isize| places.unsigned_abs() <= MAX_WHOLE + digits.len();
                match places.filter(is_near).ok_or(NoDecimal::OutOfBounds)? {
                    0 => decimal,
                    places => decimal.moved(places),
                }
            }
        };
        let is_small = decimal.whole.trim_start_matches('0').len() <= MAX_WHOLE;
        if is_small && decimal.leading_zeros() < MAX_WHOLE {
            Ok(decimal)
        } else {
            Err(NoDecimal::OutOfBounds)
        }
    }

    /// The number with its point moved to the right, or by a negative number of places to the left.
    fn moved(self, places: isize) -> Self {
        let distance = places.unsigned_abs();
        let zeros = "0".repeat(distance);
        let (whole, fraction) = if places > 0 {
            let behind = format!("{}{zeros}", self.fraction);
            let rest = self.fraction.get(distance..).unwrap_or_default();
            (format!("{}{}", self.whole, &behind[..distance]), rest.to_owned())
        } else {
            let before = format!("{zeros}{}", self.whole);
            let (whole, moved) = before.split_at(before.len() - distance);
            (whole.to_owned(), format!("{moved}{}", self.fraction))
        };
        let significant = whole.trim_start_matches('0');
        let whole = if significant.is_empty() { "0" } else { significant };
        Self {
            negative: self.negative,
            whole: whole.to_owned(),
            fraction,
        }
    }

    /// Rounds half away from zero to `decimals` decimals, and pads with zeros.
    fn rounded(&self, decimals: usize) -> Self {
        let up = self
            .fraction
            .as_bytes()
            .get(decimals)
            .is_some_and(|digit| *digit >= b'5');
        let kept = &self.fraction[..self.fraction.len().min(decimals)];
        let mut digits = format!("{}{kept:0<decimals$}", self.whole).into_bytes();
        if up {
            let mut carry = true;
            for digit in digits.iter_mut().rev() {
                carry = *digit == b'9';
                *digit = if carry { b'0' } else { *digit + 1 };
                if !carry {
                    break;
                }
            }
            if carry {
                digits.insert(0, b'1');
            }
        }
        let digits: String = digits.into_iter().map(char::from).collect();
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        Self {
            negative: self.negative && digits.bytes().any(|digit| digit != b'0'),
            whole: whole.to_owned(),
            fraction: fraction.to_owned(),
        }
    }

    /// Rounds to at most `most` significant digits, and pads with zeros to at least `least`.
    fn significant(&self, least: usize, most: Option<usize>) -> Self {
        let rounded = match most {
            Some(most) => {
                let whole = self.whole.trim_start_matches('0').len();
                if whole > most {
                    let dropped = isize::try_from(whole - most).unwrap_or(0);
                    self.clone().moved(-dropped).rounded(0).moved(dropped)
                } else {
                    self.rounded(most - whole + self.leading_zeros())
                }
            }
            None => self.clone(),
        };
        let whole = if rounded.is_zero() {
            1
        } else {
            rounded.whole.trim_start_matches('0').len()
        };
        let least = least.saturating_sub(whole) + rounded.leading_zeros();
        let kept = rounded.fraction.trim_end_matches('0').len();
        rounded.rounded(kept.max(least))
    }

    /// The zeros before the first significant digit of a number below 1, behind the point.
    fn leading_zeros(&self) -> usize {
        let is_fraction = self.whole.bytes().all(|digit| digit == b'0') && !self.is_zero();
        if is_fraction {
            self.fraction.len() - self.fraction.trim_start_matches('0').len()
        } else {
            0
        }
    }

    fn is_zero(&self) -> bool {
        let mut digits = self.whole.bytes().chain(self.fraction.bytes());
        digits.all(|digit| digit == b'0')
    }

    fn write(&self, language: Language) -> String {
        self.write_with(language.group(), language.point())
    }

    fn write_with(&self, group: &str, point: char) -> String {
        let mut text = String::with_capacity(self.whole.len() * 2 + self.fraction.len() + 2);
        if self.negative && !self.is_zero() {
            text.push('-');
        }
        for (index, digit) in self.whole.chars().enumerate() {
            if index > 0 && (self.whole.len() - index).is_multiple_of(3) {
                text.push_str(group);
            }
            text.push(digit);
        }
        if !self.fraction.is_empty() {
            text.push(point);
            text.push_str(&self.fraction);
        }
        text
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

    #[test]
    fn a_number_is_rounded_and_padded_to_significant_digits() {
        for (number, least, most, expected) in [
            ("1234.5", 1, Some(2), "1200"),
            ("1250", 1, Some(2), "1300"),
            ("9.99", 1, Some(2), "10"),
            ("9.99", 3, Some(3), "9.99"),
            ("0.012345", 1, Some(2), "0.012"),
            ("0.0999", 1, Some(2), "0.1"),
            ("5", 3, None, "5.00"),
            ("0.05", 3, None, "0.0500"),
            ("1.500", 1, None, "1.5"),
            ("0", 2, Some(3), "0.0"),
            ("999", 1, Some(1), "1000"),
        ] {
            let rounded = Decimal::parse(number).unwrap().significant(least, most);
            assert_eq!(rounded.write_with("", '.'), expected, "{number} {least} {most:?}");
        }
    }

    #[test]
    fn a_text_that_is_not_a_decimal_number_is_refused_and_so_is_one_out_of_bounds() {
        for text in ["", "1e", "1e+", "1e--1", "1,5", "NaN", "--1", ".5", "1.x"] {
            assert_eq!(Decimal::parse(text), Err(NoDecimal::NoNumber), "{text}");
        }
        for text in [
            "1e30",
            "1e999",
            "-1e99999999999999999999",
            "0.1e31",
            "1e-31",
            "1e-300",
            &"1".repeat(31),
            &format!("0.{}1", "0".repeat(30)),
        ] {
            assert_eq!(Decimal::parse(text), Err(NoDecimal::OutOfBounds), "{text}");
        }
        let longest = "0".repeat(Number::LONGEST_TEXT);
        assert_eq!(Decimal::parse(&format!("{longest}1")), Err(NoDecimal::TooLong));
        assert_eq!(Decimal::parse(&longest).map(|zero| zero.is_zero()), Ok(true));
        for (text, shown) in [
            ("0e999", "0".to_owned()),
            ("0.0e-99999999999999999999", "0.0".to_owned()),
            ("9.99e29", format!("999{}", "0".repeat(27))),
            ("0.0000001e36", format!("1{}", "0".repeat(29))),
            ("1e-30", format!("0.{}1", "0".repeat(29))),
        ] {
            assert_eq!(digits(text), Some(shown), "{text}");
        }
        assert_eq!(
            Decimal::parse("1234567").unwrap().write(Language::German),
            "1.234.567"
        );
    }
}
