//! `{{number n}}` and `{{money amount currency}}` in the recipient's language. Amounts are in major units (`129.9` is
//! 129 and 90 hundredths), as JSON numbers or decimal text; they are never turned into floating point.

use handlebars::{Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, ScopedJson};
use serde_json::Value;

use super::{Language, bad_value, required};

pub(super) struct Number(pub(super) Language);

impl HelperDef for Number {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let param = required(h, 0, "number")?;
        let decimal = Decimal::of(param.value()).ok_or_else(|| bad_value(param, "a number"))?;
        Ok(ScopedJson::Derived(Value::String(decimal.write(self.0))))
    }
}

pub(super) struct Money(pub(super) Language);

impl HelperDef for Money {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let (amount, currency) = (required(h, 0, "money")?, required(h, 1, "money")?);
        let decimal =
            Decimal::of(amount.value()).ok_or_else(|| bad_value(amount, "an amount such as 129.90"))?;
        let code = currency
            .value()
            .as_str()
            .filter(|code| code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase()))
            .ok_or_else(|| bad_value(currency, "an ISO 4217 code such as EUR"))?;
        Ok(ScopedJson::Derived(Value::String(money(&decimal, code, self.0))))
    }
}

fn money(amount: &Decimal, code: &str, language: Language) -> String {
    let digits = match code {
        "JPY" | "KRW" | "VND" | "CLP" | "ISK" | "XAF" | "XOF" | "XPF" | "UGX" | "PYG" => 0,
        "KWD" | "BHD" | "OMR" | "JOD" | "TND" | "IQD" | "LYD" => 3,
        _ => 2,
    };
    let symbol = match code {
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

/// A decimal number as its digits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    whole: String,
    fraction: String,
}

impl Decimal {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => Self::parse(&number.to_string()),
            Value::String(text) => Self::parse(text.trim()),
            _ => None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = text
            .strip_prefix('-')
            .map_or((false, text), |digits| (true, digits));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let numeric = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
        let fits = !whole.is_empty() && whole.len() <= 30 && numeric(whole) && numeric(fraction);
        fits.then(|| Self {
            negative,
            whole: whole.to_owned(),
            fraction: fraction.to_owned(),
        })
    }

    /// Rounds half away from zero to so many decimals, and pads with zeros.
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
        let negative = self.negative && digits.bytes().any(|digit| digit != b'0');
        Self {
            negative,
            whole: whole.to_owned(),
            fraction: fraction.to_owned(),
        }
    }

    fn write(&self, language: Language) -> String {
        let (group, point) = match language {
            Language::English => (",", '.'),
            Language::French => ("\u{202f}", ','),
            Language::German => (".", ','),
            Language::Other => ("", '.'),
        };
        let mut text = String::with_capacity(self.whole.len() * 2 + self.fraction.len() + 2);
        if self.negative {
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
        money(&Decimal::parse(amount).unwrap(), code, language)
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
    fn what_is_no_decimal_number_is_refused() {
        for text in ["", "1e5", "1,5", "NaN", "--1", ".5", "1.x"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        assert_eq!(
            Decimal::parse("1234567").unwrap().write(Language::German),
            "1.234.567"
        );
    }
}
