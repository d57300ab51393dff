//! JSON values that keep the spelling of numbers: an order number of 24 digits, `1.10` and `-0` are shown with the
//! digits that the event source sent. (serde_json keeps them only with the feature `arbitrary_precision`, which
//! applies to the whole workspace; tagged and flattened types could then not read numbers any more.)

mod fault;
mod place;
mod readable;

use std::{cell::RefCell, cmp::Ordering, collections::BTreeMap, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};

pub(crate) use self::readable::is_deeper;
pub use self::{
    fault::{base64_fault, fault, fault_in},
    readable::{MAX_LEVELS, readable},
};

/// An object's fields.
pub type Map = BTreeMap<String, Value>;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    String(String),
    /// A list.
    Array(Vec<Value>),
    /// Fields by name; among fields of the same name, the last one wins.
    Object(Map),
}

/// A number: an integer of 64 bits if that preserves its spelling, otherwise its text.
#[derive(Debug, Clone, PartialEq)]
pub enum Number {
    /// A whole number.
    Unsigned(u64),
    /// A whole number below 0.
    Negative(i64),
    /// Any other literal.
    Written(Box<str>),
}

/// A number's sign, and its digits without zeros at either end. The value is `0.digits` × 10^`point`.
#[derive(PartialEq, Eq)]
struct Parts {
    negative: bool,
    digits: String,
    point: i64,
}

impl Number {
    /// The longest numeric text, in bytes, without the white space around it. It bounds the work of reading one; the
    /// longest number of binary64 has 309 digits before its point.
    pub const LONGEST_TEXT: usize = 1_000;

    /// The number of a numeric text, which is a number literal of JSON of at most [`Self::LONGEST_TEXT`] bytes,
    /// possibly with zeros before it and white space around it. A text with a plus sign is not a number, because it may
    /// be a phone number.
    #[must_use]
    pub fn of_text(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > Self::LONGEST_TEXT {
            return None;
        }
        let is_whole = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (text, None),
        };
        let bare = mantissa.strip_prefix('-').unwrap_or(mantissa);
        let is_numeric = match bare.split_once('.') {
            Some((whole, fraction)) => is_whole(whole) && is_whole(fraction),
            None => is_whole(bare),
        };
        let has_exponent =
            exponent.is_none_or(|exponent| is_whole(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
        if !is_numeric || !has_exponent {
            return None;
        }
        Some(match (text.parse::<u64>(), text.parse::<i64>()) {
            (Ok(number), _) => Self::Unsigned(number),
            (_, Ok(number)) => Self::Negative(number),
            _ => Self::Written(text.into()),
        })
    }

    /// Whether it is 0 in any spelling.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        match self {
            Self::Unsigned(number) => *number == 0,
            Self::Negative(number) => *number == 0,
            Self::Written(text) => {
                let mut mantissa = text.bytes().take_while(|byte| !matches!(byte, b'e' | b'E'));
                !mantissa.any(|byte| matches!(byte, b'1'..=b'9'))
            }
        }
    }

    /// The bytes of its text; 0 for an integer of 64 bits, whose size is bounded.
    #[must_use]
    pub fn written_bytes(&self) -> usize {
        match self {
            Self::Unsigned(_) | Self::Negative(_) => 0,
            Self::Written(text) => text.len(),
        }
    }

    /// The order of two numbers by their exact values.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        match (self.as_integer(), other.as_integer()) {
            (Some(one), Some(other)) => one.cmp(&other),
            _ => parts(&self.to_string()).order(&parts(&other.to_string())),
        }
    }

    /// The same text for all spellings of the number.
    pub(crate) fn canonical(&self) -> String {
        const LONGEST: usize = 40;
        let Self::Written(text) = self else {
            return self.to_string();
        };
        let Parts {
            negative,
            digits,
            point,
        } = parts(text);
        let sign = if negative { "-" } else { "" };
        match usize::try_from(point) {
            _ if digits.is_empty() => "0".to_owned(),
            Ok(point) if (digits.len()..=LONGEST).contains(&point) => format!("{sign}{digits:0<point$}"),
            _ => format!("{sign}0.{digits}e{point}"),
        }
    }

    fn as_integer(&self) -> Option<i128> {
        match self {
            Self::Unsigned(number) => Some((*number).into()),
            Self::Negative(number) => Some((*number).into()),
            Self::Written(_) => None,
        }
    }
}

impl Parts {
    fn order(&self, other: &Self) -> Ordering {
        let size = |parts: &Self| (!parts.digits.is_empty(), parts.point);
        match (self.negative, other.negative) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (negative, _) => {
                let order = size(self)
                    .cmp(&size(other))
                    .then_with(|| self.digits.cmp(&other.digits));
                if negative { order.reverse() } else { order }
            }
        }
    }
}

/// Splits a number literal of JSON.
fn parts(literal: &str) -> Parts {
    let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
    // No literal is long enough for its digits to make up for a saturated exponent.
    let saturated = if exponent.starts_with('-') {
        i64::from(i32::MIN)
    } else {
        i64::from(i32::MAX)
    };
    let exponent = exponent.parse::<i32>().map_or(saturated, i64::from);
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => (true, mantissa),
        None => (false, mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    let leading = all.len() - significant.len();
    let digits = significant.trim_end_matches('0').to_owned();
    let point = if digits.is_empty() {
        0
    } else {
        exponent + i64::try_from(whole.len()).unwrap_or(i64::from(i32::MAX))
            - i64::try_from(leading).unwrap_or(i64::from(i32::MAX))
    };
    Parts {
        negative: negative && !digits.is_empty(),
        digits,
        point,
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(number) => number.fmt(f),
            Self::Negative(number) => number.fmt(f),
            Self::Written(text) => f.write_str(text),
        }
    }
}

/// JSON, as templates write it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(flag) => flag.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::String(text) => serde_json::Value::from(text.as_str()).fmt(f),
            Self::Array(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(f, "{comma}{item}")?;
                }
                f.write_str("]")
            }
            Self::Object(fields) => {
                f.write_str("{")?;
                for (index, (name, value)) in fields.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(f, "{comma}{}:{value}", serde_json::Value::from(name.as_str()))?;
                }
                f.write_str("}")
            }
        }
    }
}

impl Value {
    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number that is not negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Number(Number::Unsigned(number)) => Some(*number),
            _ => None,
        }
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(Number::Unsigned(number as u64))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

/// Literals in templates.
impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(flag) => Self::Bool(flag),
            serde_json::Value::Number(number) => Self::Number(match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => Number::Unsigned(number),
                (None, Some(number)) => Number::Negative(number),
                (None, None) => Number::Written(number.to_string().into()),
            }),
            serde_json::Value::String(text) => Self::String(text),
            serde_json::Value::Array(items) => Self::Array(items.into_iter().map(Self::from).collect()),
            serde_json::Value::Object(fields) => {
                let fields = fields.into_iter();
                Self::Object(fields.map(|(name, value)| (name, Self::from(value))).collect())
            }
        }
    }
}

/// Reads an object.
pub fn object(json: &str) -> Result<Map, serde_json::Error> {
    match value(json)? {
        Value::Object(fields) => Ok(fields),
        _ => Err(serde_json::Error::custom("expected an object")),
    }
}

/// Reads any value.
pub(crate) fn value(json: &str) -> Result<Value, serde_json::Error> {
    let literals = RefCell::new(Literals {
        rest: json.as_bytes(),
        passed: 0,
    });
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = Reader(&literals).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// The number literals of a document, in its order. They are searched for only once the parser meets a number
/// whose spelling 64 bits do not preserve.
struct Literals<'j> {
    rest: &'j [u8],
    /// The literals that the parser has passed since.
    passed: usize,
}

impl<'j> Literals<'j> {
    /// The literal that the parser has just read.
    fn present(&mut self) -> Option<&'j str> {
        let skipped = std::mem::take(&mut self.passed);
        for _ in 0..skipped {
            self.next()?;
        }
        std::str::from_utf8(self.next()?).ok()
    }

    fn next(&mut self) -> Option<&'j [u8]> {
        loop {
            match self.rest.first()? {
                b'"' => self.skip_string(),
                b'-' | b'0'..=b'9' => {
                    let is_inside =
                        |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                    let end = self.rest.iter().position(|byte| !is_inside(byte));
                    let (literal, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                    self.rest = rest;
                    return Some(literal);
                }
                _ => self.rest = &self.rest[1..],
            }
        }
    }

    fn skip_string(&mut self) {
        let mut rest = &self.rest[1..];
        while let Some((byte, behind)) = rest.split_first() {
            rest = match byte {
                b'\\' => behind.get(1..).unwrap_or_default(),
                _ => behind,
            };
            if *byte == b'"' {
                break;
            }
        }
        self.rest = rest;
    }
}

/// Reads a value of the document that the literals are of.
#[derive(Clone, Copy)]
struct Reader<'r, 'j>(&'r RefCell<Literals<'j>>);

impl<'de> DeserializeSeed<'de> for Reader<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        self.0.borrow_mut().passed += 1;
        Ok(Value::Number(Number::Unsigned(number)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        self.0.borrow_mut().passed += 1;
        Ok(Value::Number(Number::Negative(number)))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Value, E> {
        let literal = self.0.borrow_mut().present();
        let literal = literal.ok_or_else(|| E::custom("expected a number"))?;
        Ok(Value::Number(Number::Written(literal.into())))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            fields.insert(name, entries.next_value_seed(self)?);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests;
