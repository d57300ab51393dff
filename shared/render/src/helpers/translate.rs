//! `{{t "key" name=value …}}`: a message in the recipient's language.

use fluent_bundle::{FluentArgs, FluentValue};
use handlebars::{
    Context, Handlebars, Helper, HelperDef, JsonRender as _, RenderContext, RenderError, ScopedJson,
};
use serde_json::Value;

use super::{HelperError, bad_value, required};
use crate::messages::{MessageError, Messages};

pub(super) struct Translate(pub(super) Messages);

impl HelperDef for Translate {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let key = required(h, 0, "t")?;
        let key = key
            .value()
            .as_str()
            .ok_or_else(|| bad_value(key, "the key of a message"))?;
        let mut args = FluentArgs::with_capacity(h.hash().len());
        for (name, param) in h.hash() {
            if param.is_value_missing() {
                return Err(RenderError::strict_error(param.relative_path()));
            }
            args.set(*name, argument(param.value()));
        }
        let text = self.0.format(key, &args).map_err(|error| {
            HelperError::Misused(match error {
                MessageError::UnknownKey => format!("there is no message {key}"),
                MessageError::MissingArgument(name) => format!("the message {key} needs {name}=…"),
                MessageError::Broken(why) => format!("the message {key} cannot be formatted: {why}"),
            })
        })?;
        Ok(ScopedJson::Derived(Value::String(text)))
    }
}

fn argument(value: &Value) -> FluentValue<'_> {
    match value {
        Value::String(text) => FluentValue::from(text.as_str()),
        // Larger integers would lose digits as a Fluent number; nobody needs their plural form.
        Value::Number(number) => match number.as_f64() {
            Some(float) if float.abs() < 9_007_199_254_740_992.0 => FluentValue::from(float),
            _ => FluentValue::from(number.to_string()),
        },
        other => FluentValue::from(other.render()),
    }
}
