//! The output of Carillon's own helpers: `t`, `date`, `number`, `money`, `url`, `encode`.

mod conventions;
mod date;
mod decimal;
mod fields;
mod link;
mod number;
mod translate;

use std::{borrow::Cow, fmt};

use carillon_domain::{field_error::echo, json::Value};

pub(crate) use self::{
    conventions::Conventions,
    date::{DateFormat, DateStyle, LocalReader, Style, date, formatted_date, is_date, is_date_style},
    fields::{DateTimeFields, Fields, Width},
    link::{check_link, is_link, percent_encode},
    number::{NumberFormat, NumberStyle, digits, formatted_number, is_currency, is_number, money, number},
    translate::{no_key, translate},
};
use crate::{budget::Budget, fault::Fault, origin::pointer_to};

/// A present parameter, and its spelling in the template.
#[derive(Clone, Copy)]
pub(crate) struct Arg<'a> {
    pub(crate) written: &'a dyn fmt::Display,
    pub(crate) value: &'a Value,
    /// All variables, in which the value is looked for if it is refused.
    pub(crate) root: Option<&'a Value>,
}

/// The values that have a text.
pub(crate) const WRITABLE: &str = "a text, a number, true or false, or a list of these, not an object";

impl Arg<'_> {
    /// The error for a value that the helper does not accept.
    pub(crate) fn refuse(&self, expected: &'static str) -> Fault {
        self.refuse_part(self.value, expected)
    }

    /// Whether the value is a part of the event, and no literal of the template.
    pub(crate) fn is_of_event(&self) -> bool {
        self.root
            .is_some_and(|root| pointer_to(self.value, root).is_some())
    }

    /// The error for a part of the value.
    fn refuse_part(&self, part: &Value, expected: &'static str) -> Fault {
        Fault::BadValue {
            variable: echo(self.written),
            expected,
            at: self.root.and_then(|root| pointer_to(part, root)),
        }
    }

    /// Refuses a value that is an object, or a list with one in it: it has no text.
    pub(crate) fn check_writable(&self, budget: &Budget) -> Result<(), Fault> {
        match first_object(self.value, budget)? {
            Some(object) => Err(self.refuse_part(object, WRITABLE)),
            None => Ok(()),
        }
    }
}

/// The first object in a value, which may be the value itself.
fn first_object<'v>(value: &'v Value, budget: &Budget) -> Result<Option<&'v Value>, Fault> {
    match value {
        Value::Object(_) => Ok(Some(value)),
        Value::Array(list) => {
            budget.pay(list.len() as u64)?;
            for item in list {
                if let Some(object) = first_object(item, budget)? {
                    return Ok(Some(object));
                }
            }
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// A value's text, as a template writes it.
pub(crate) fn plain<'v>(arg: &Arg<'v>, budget: &Budget) -> Result<Cow<'v, str>, Fault> {
    if let Value::String(text) = arg.value {
        return Ok(Cow::Borrowed(text));
    }
    let mut text = String::new();
    write_plain(arg, arg.value, &mut text, budget)?;
    Ok(Cow::Owned(text))
}

fn write_plain(arg: &Arg<'_>, value: &Value, text: &mut String, budget: &Budget) -> Result<(), Fault> {
    budget.pay(1)?;
    budget.pay_value(value)?;
    match value {
        Value::Null => {}
        Value::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => text.push_str(&number.to_string()),
        Value::String(value) => text.push_str(value),
        Value::Object(_) => return Err(arg.refuse_part(value, WRITABLE)),
        Value::Array(list) => {
            text.push('[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                write_plain(arg, value, text, budget)?;
            }
            text.push(']');
        }
    }
    Ok(())
}
