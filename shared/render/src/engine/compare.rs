//! Equality and order of values for the helpers `eq`, `ne`, `gt`, `gte`, `lt` and `lte`.
//!
//! A number and a numeric text (see [`Number::of_text`]) are compared by their exact values. Two texts are equal only
//! if they are the same text, because `007` and `7` are different codes; their order is the order of their numbers if
//! both are numeric.

use std::cmp::Ordering;

use carillon_domain::json::{Number, Value};

use super::scope::Val;
use crate::{budget::Budget, fault::Fault};

/// Whether two values are equal. An absent value equals null and any other absent value.
pub(super) fn equal(a: &Val<'_>, b: &Val<'_>, budget: &Budget) -> Result<bool, Fault> {
    let null = Value::Null;
    same(a.get().unwrap_or(&null), b.get().unwrap_or(&null), budget)
}

fn same(a: &Value, b: &Value, budget: &Budget) -> Result<bool, Fault> {
    budget.pay(1)?;
    budget.pay_value(a)?;
    budget.pay_value(b)?;
    Ok(match (a, b) {
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Number(a), Value::Number(b)) => a.order(b).is_eq(),
        (Value::Number(number), Value::String(text)) | (Value::String(text), Value::Number(number)) => {
            Number::of_text(text).is_some_and(|text| text.order(number).is_eq())
        }
        (Value::Array(a), Value::Array(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (a, b) in a.iter().zip(b) {
                if !same(a, b, budget)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Object(a), Value::Object(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (name, a) in a {
                budget.pay_bytes(name.len())?;
                match b.get(name) {
                    Some(b) if same(a, b, budget)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (a, b) => a == b,
    })
}

/// The order of two values; `None` if one is absent, or if they have no order, such as true and a number.
pub(super) fn compare(a: &Val<'_>, b: &Val<'_>, budget: &Budget) -> Result<Option<Ordering>, Fault> {
    let (Some(a), Some(b)) = (a.get(), b.get()) else {
        return Ok(None);
    };
    budget.pay_value(a)?;
    budget.pay_value(b)?;
    Ok(match (a, b) {
        (Value::Number(a), Value::Number(b)) => Some(a.order(b)),
        (Value::String(a), Value::String(b)) => Some(match (Number::of_text(a), Number::of_text(b)) {
            (Some(a), Some(b)) => a.order(&b),
            _ => a.cmp(b),
        }),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::String(b)) => Number::of_text(b).map(|b| a.order(&b)),
        (Value::String(a), Value::Number(b)) => Number::of_text(a).map(|a| a.order(b)),
        _ => None,
    })
}
