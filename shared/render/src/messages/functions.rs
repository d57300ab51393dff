//! Fluent's two functions, `NUMBER` and `DATETIME`. They format numbers and dates as the helpers of templates
//! do.

mod datetime;
mod number;

use carillon_domain::field_error::{echo, quoted};
use fluent_syntax::ast::{InlineExpression, NamedArgument};

use crate::{
    engine::Reading,
    helpers::{DateFormat, NumberFormat},
};

/// A function and its options, which are literals and so known before anything is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Function {
    Number {
        format: NumberFormat,
        /// Whether it selects by order (1st, 2nd) instead of by count.
        ordinal: bool,
    },
    DateTime(DateFormat),
}

/// A code and a sentence.
type Refusal = (&'static str, String);

impl Function {
    /// The reading of the function from its value.
    pub(super) fn reading(&self) -> Reading {
        match self {
            Self::Number { .. } => Reading::Number,
            Self::DateTime(format) if format.has_time() => Reading::Time,
            Self::DateTime(_) => Reading::Date,
        }
    }

    /// Reads a call.
    pub(super) fn read(name: &str, options: &[NamedArgument<&str>]) -> Result<Self, Refusal> {
        match name {
            "NUMBER" => number::read(options),
            "DATETIME" => datetime::read(options),
            _ => Err((
                "unknown-function",
                format!("there is no function {}; expected NUMBER or DATETIME", echo(name)),
            )),
        }
    }
}

/// An option of a call.
#[derive(Clone, Copy)]
struct Setting<'a> {
    function: &'static str,
    name: &'a str,
    value: &'a str,
}

impl<'a> Setting<'a> {
    fn of(function: &'static str, option: &NamedArgument<&'a str>) -> Self {
        let value = match &option.value {
            InlineExpression::StringLiteral { value } | InlineExpression::NumberLiteral { value } => value,
            _ => "",
        };
        Self {
            function,
            name: option.name.name,
            value,
        }
    }

    /// The refusal of the option's value.
    fn refuse(&self, expected: &str) -> Refusal {
        let sentence = format!(
            "{} does not take {}: {}: expected {expected}",
            self.function,
            echo(self.name),
            quoted(self.value)
        );
        ("unknown-option", sentence)
    }

    /// The refusal of an option that the function does not have.
    fn unknown(&self, options: &str) -> Refusal {
        let sentence = format!(
            "{} has no option {} ({}): expected one of {options}",
            self.function,
            echo(self.name),
            quoted(self.value)
        );
        ("unknown-option", sentence)
    }

    /// The value that a table has for the value of the option.
    fn one_of<T: Copy>(&self, values: &[(&str, T)], expected: &str) -> Result<T, Refusal> {
        let found = values.iter().find(|(value, _)| *value == self.value);
        found
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| self.refuse(expected))
    }

    fn flag(&self) -> Result<bool, Refusal> {
        let values = [("true", true), ("1", true), ("false", false), ("0", false)];
        self.one_of(&values, "\"true\" or \"false\"")
    }

    fn number(&self, least: usize, most: usize) -> Result<usize, Refusal> {
        let number = self
            .value
            .parse()
            .ok()
            .filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| self.refuse(&format!("{least} to {most}")))
    }
}
