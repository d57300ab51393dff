//! `{{t "key" name=value …}}`: a message in the recipient's language.

use carillon_domain::json::Value;

use super::Arg;
use crate::{
    budget::Budget,
    fault::Fault,
    messages::{MessageError, Messages},
};

/// The error for a value that is no key of a message.
pub(crate) fn no_key(key: &Arg<'_>) -> Fault {
    key.refuse("the key of a message")
}

pub(crate) fn translate(
    key: &Arg<'_>,
    args: &[(&str, &Value)],
    messages: &Messages,
    timezone: Option<&str>,
    budget: &Budget,
) -> Result<String, Fault> {
    let name = key.value.as_str().ok_or_else(|| no_key(key))?;
    messages
        .format(name, args, key.root, timezone, budget)
        .map_err(|error| match error {
            MessageError::Fault(fault) => fault,
            MessageError::UnknownKey => Fault::Misused(format!("there is no message {name}")),
            MessageError::MissingArgument(argument) => {
                Fault::Misused(format!("the message {name} needs {argument}=…"))
            }
            MessageError::Broken(why) => {
                Fault::Misused(format!("the message {name} cannot be formatted: {why}"))
            }
        })
}
