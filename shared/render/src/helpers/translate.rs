//! `{{t "key" name=value …}}`: a message in the recipient's language.

use carillon_domain::json::Value;

use super::Arg;
use crate::{
    budget::Budget,
    fault::Fault,
    messages::{MessageError, Messages},
};

pub(crate) fn translate(
    key: &Arg<'_>,
    args: &[(&str, &Value)],
    messages: &Messages,
    timezone: Option<&str>,
    budget: &Budget,
) -> Result<String, Fault> {
    let key = key
        .value
        .as_str()
        .ok_or_else(|| key.refuse("the key of a message"))?;
    messages
        .format(key, args, timezone, budget)
        .map_err(|error| match error {
            MessageError::Fault(fault) => fault,
            MessageError::UnknownKey => Fault::Misused(format!("there is no message {key}")),
            MessageError::MissingArgument(name) => {
                Fault::Misused(format!("the message {key} needs {name}=…"))
            }
            MessageError::Broken(why) => {
                Fault::Misused(format!("the message {key} cannot be formatted: {why}"))
            }
        })
}
