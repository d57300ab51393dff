//! Decimal numbers as digits: reading, bounds, rounding and writing.

use carillon_domain::json::{Number, Value};

/// The most digits before the point in a number that is formatted for readers, and the most zeros behind it before the
/// first other digit.
const MAX_WHOLE: usize = 30;
/// The expectation that a number beyond these bounds does not meet.
const BOUNDED: &str = "a number below 1e30 (without its sign) that is 0 or at least 1e-30";
/// The expectation that a longer text does not meet; its bound is [`Number::LONGEST_TEXT`].
const SHORT: &str = "a number of at most 1000 characters";

/// A decimal number as its digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    pub(super) negative: bool,
    pub(super) whole: String,
    pub(super) fraction: String,
}

/// The reason for which a value is not written as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoDecimal {
    /// The value is not a number.
    NoNumber,
    /// The value is a number, but too large or too small.
    OutOfBounds,
    /// The value's text is longer than that of any number that is read.
    TooLong,
}

impl NoDecimal {
    pub(super) fn expected(self, number: &'static str) -> &'static str {
        match self {
            Self::NoNumber => number,
            Self::OutOfBounds => BOUNDED,
            Self::TooLong => SHORT,
        }
    }
}

impl Decimal {
    pub(super) fn zero() -> Self {
        Self {
            negative: false,
            whole: "0".to_owned(),
            fraction: String::new(),
        }
    }

    pub(super) fn of(value: &Value) -> Result<Self, NoDecimal> {
        match value {
            Value::Number(Number::Written(text)) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            Value::String(text) => Self::parse(text.trim()),
            _ => Err(NoDecimal::NoNumber),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, NoDecimal> {
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
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return Err(NoDecimal::NoNumber),
            Some(both) => both,
            None => (digits, ""),
        };
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
    pub(super) fn moved(self, places: isize) -> Self {
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
    pub(super) fn rounded(&self, decimals: usize) -> Self {
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
    pub(super) fn significant(&self, least: usize, most: Option<usize>) -> Self {
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

    pub(super) fn is_zero(&self) -> bool {
        let mut digits = self.whole.bytes().chain(self.fraction.bytes());
        digits.all(|digit| digit == b'0')
    }

    /// The digits, with a sign if the number is below 0, and without a group separator.
    pub(super) fn digits(&self) -> String {
        let sign = if self.negative && !self.is_zero() { "-" } else { "" };
        let point = if self.fraction.is_empty() { "" } else { "." };
        format!("{sign}{}{point}{}", self.whole, self.fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::number::digits, *};

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
            assert_eq!(rounded.digits(), expected, "{number} {least} {most:?}");
        }
    }

    #[test]
    fn a_text_that_is_not_a_decimal_number_is_refused_and_so_is_one_out_of_bounds() {
        for text in [
            "", "1e", "1e+", "1e--1", "1,5", "NaN", "--1", ".5", "5.", "5.e1", "1.x",
        ] {
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
    }
}
