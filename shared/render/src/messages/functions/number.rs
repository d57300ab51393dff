//! The options of `NUMBER`.

use fluent_syntax::ast::NamedArgument;

use super::{Function, Refusal, Setting};
use crate::helpers::{NumberFormat, NumberStyle};

const OPTIONS: &str = "style, currency, currencyDisplay, useGrouping, minimumIntegerDigits, minimumFractionDigits, \
                       maximumFractionDigits, minimumSignificantDigits, maximumSignificantDigits or type";
/// Most digits that an option may ask for.
const MAX_DIGITS: usize = 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Decimal,
    Percent,
    Currency,
}

pub(super) fn read(options: &[NamedArgument<&str>]) -> Result<Function, Refusal> {
    let mut format = NumberFormat::default();
    let mut ordinal = false;
    let mut style = Style::Decimal;
    let mut currency = None;
    let mut by_code = None;
    for option in options {
        let option = Setting::of("NUMBER", option);
        match option.name {
            "style" => {
                let styles = [
                    ("decimal", Style::Decimal),
                    ("percent", Style::Percent),
                    ("currency", Style::Currency),
                ];
                style = option.one_of(&styles, "\"decimal\", \"percent\" or \"currency\"")?;
            }
            "currency" => {
                if option.value.len() != 3 || !option.value.bytes().all(|byte| byte.is_ascii_uppercase()) {
                    return Err(option.refuse("an ISO 4217 code such as \"EUR\""));
                }
                currency = Some(option.value.to_owned());
            }
            "currencyDisplay" => {
                let displays = [("symbol", false), ("code", true)];
                by_code = Some(option.one_of(&displays, "\"symbol\" or \"code\"")?);
            }
            "useGrouping" => format.grouping = option.flag()?,
            "minimumIntegerDigits" => format.min_integer = option.number(1, MAX_DIGITS)?,
            "minimumFractionDigits" => format.min_fraction = Some(option.number(0, MAX_DIGITS)?),
            "maximumFractionDigits" => format.max_fraction = Some(option.number(0, MAX_DIGITS)?),
            "minimumSignificantDigits" => format.min_significant = Some(option.number(1, MAX_DIGITS)?),
            "maximumSignificantDigits" => format.max_significant = Some(option.number(1, MAX_DIGITS)?),
            "type" => {
                let types = [("cardinal", false), ("ordinal", true)];
                ordinal = option.one_of(&types, "\"cardinal\" or \"ordinal\"")?;
            }
            _ => return Err(option.unknown(OPTIONS)),
        }
    }
    let refuse = |sentence: &str| Err(("unknown-option", format!("expected NUMBER with {sentence}")));
    format.style = match (style, currency) {
        (Style::Currency, Some(code)) => NumberStyle::Currency {
            code,
            by_code: by_code.unwrap_or(false),
        },
        (Style::Decimal, None) if by_code.is_none() => NumberStyle::Decimal,
        (Style::Percent, None) if by_code.is_none() => NumberStyle::Percent,
        (Style::Currency, None) => return refuse("style: \"currency\" and currency together"),
        _ => return refuse("style: \"currency\" beside currency and currencyDisplay"),
    };
    if format.max_fraction < format.min_fraction && format.max_fraction.is_some() {
        return refuse("maximumFractionDigits of at least minimumFractionDigits");
    }
    if format.max_significant < format.min_significant && format.max_significant.is_some() {
        return refuse("maximumSignificantDigits of at least minimumSignificantDigits");
    }
    Ok(Function::Number { format, ordinal })
}
