//! Fluent's two functions, `NUMBER` and `DATETIME`. They format numbers and dates as the helpers of templates
//! do.

use fluent_syntax::ast::{InlineExpression, NamedArgument};

use crate::helpers::{DateFormat, NumberFormat, Style};

/// A function and its options. Options are literals, so they are known before publishing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Function {
    Number {
        format: NumberFormat,
        /// Whether it selects by order (1st, 2nd) instead of by count.
        ordinal: bool,
    },
    DateTime(DateFormat),
}

type Refusal = (&'static str, String);

impl Function {
    /// Reads a call; the error is a code and a sentence.
    pub(super) fn read(name: &str, options: &[NamedArgument<&str>]) -> Result<Self, Refusal> {
        match name {
            "NUMBER" => read_number(options),
            "DATETIME" => read_datetime(options),
            _ => Err((
                "unknown-function",
                format!("there is no function {name}; expected NUMBER or DATETIME"),
            )),
        }
    }
}

fn refuse(function: &str, option: &NamedArgument<&str>, expected: &str) -> Refusal {
    let name = option.name.name;
    (
        "unknown-option",
        format!("{function} does not take {name} as it stands: expected {expected}"),
    )
}

fn text<'a>(option: &NamedArgument<&'a str>) -> Option<&'a str> {
    match &option.value {
        InlineExpression::StringLiteral { value } | InlineExpression::NumberLiteral { value } => Some(value),
        _ => None,
    }
}

fn read_number(options: &[NamedArgument<&str>]) -> Result<Function, Refusal> {
    let mut format = NumberFormat::default();
    let mut ordinal = false;
    let mut style = "decimal";
    for option in options {
        let value = text(option).unwrap_or_default();
        let refuse = |expected: &str| refuse("NUMBER", option, expected);
        let digits = || {
            let digits = value.parse::<usize>().ok().filter(|digits| *digits <= 20);
            digits.ok_or_else(|| refuse("0 to 20"))
        };
        match option.name.name {
            "minimumFractionDigits" => format.min_fraction = digits()?,
            "maximumFractionDigits" => format.max_fraction = Some(digits()?),
            "useGrouping" => {
                format.grouping = match value {
                    "true" | "1" => true,
                    "false" | "0" => false,
                    _ => return Err(refuse("\"true\" or \"false\"")),
                }
            }
            "type" => {
                ordinal = match value {
                    "ordinal" => true,
                    "cardinal" => false,
                    _ => return Err(refuse("\"cardinal\" or \"ordinal\"")),
                }
            }
            "style" => match value {
                "decimal" | "currency" => style = value,
                _ => return Err(refuse("\"decimal\" or \"currency\"")),
            },
            "currency" => {
                if value.len() != 3 || !value.bytes().all(|byte| byte.is_ascii_uppercase()) {
                    return Err(refuse("an ISO 4217 code such as \"EUR\""));
                }
                format.currency = Some(value.to_owned());
            }
            _ => {
                return Err(refuse(
                    "minimumFractionDigits, maximumFractionDigits, useGrouping, type, style or currency",
                ));
            }
        }
    }
    if (style == "currency") != format.currency.is_some() {
        let sentence = "expected NUMBER with style: \"currency\" and currency together";
        return Err(("unknown-option", sentence.to_owned()));
    }
    if format.max_fraction.is_some_and(|max| max < format.min_fraction) {
        let sentence = "expected maximumFractionDigits of at least minimumFractionDigits";
        return Err(("unknown-option", sentence.to_owned()));
    }
    Ok(Function::Number { format, ordinal })
}

fn read_datetime(options: &[NamedArgument<&str>]) -> Result<Function, Refusal> {
    let mut format = DateFormat {
        date: None,
        time: false,
    };
    for option in options {
        let value = text(option).unwrap_or_default();
        let refuse = |expected: &str| refuse("DATETIME", option, expected);
        match option.name.name {
            "dateStyle" => {
                format.date = Some(match value {
                    "full" => Style::Full,
                    "long" => Style::Long,
                    "medium" | "short" => Style::Short,
                    _ => return Err(refuse("\"full\", \"long\", \"medium\" or \"short\"")),
                });
            }
            "timeStyle" => match value {
                "short" => format.time = true,
                _ => return Err(refuse("\"short\"")),
            },
            _ => return Err(refuse("dateStyle or timeStyle")),
        }
    }
    if format.date.is_none() && !format.time {
        format.date = Some(Style::Short);
    }
    Ok(Function::DateTime(format))
}
