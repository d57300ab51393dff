//! `{{t "key" name=value …}}`: a message in the recipient's language.

use carillon_domain::{
    field_error::{echo, quoted},
    json::Value,
};

use super::{Arg, LocalReader};
use crate::{
    budget::Budget,
    fault::Fault,
    messages::{MessageError, Messages},
};

/// The error for a value that is no key of a message.
pub(crate) fn no_key(key: &Arg<'_>) -> Fault {
    key.refuse("the key of a text")
}

pub(crate) fn translate(
    key: &Arg<'_>,
    args: &[(&str, &Value)],
    messages: &Messages,
    reader: LocalReader<'_>,
    budget: &Budget,
) -> Result<String, Fault> {
    let name = key.value.as_str().ok_or_else(|| no_key(key))?;
    messages
        .format(name, args, key.root, reader, budget)
        .map_err(|error| match error {
            MessageError::Fault(fault) => fault,
            // The value may be one that must not be shown, so only the variable is named.
            MessageError::UnknownKey if key.is_of_event() => key.refuse("the key of a text in locales/"),
            MessageError::UnknownKey => Fault::Misused(format!(
                "expected the key of a text in locales/, not {}",
                quoted(name)
            )),
            MessageError::MissingArgument(argument) => {
                Fault::Misused(format!("the text {} needs {argument}=…", echo(&name)))
            }
            MessageError::Broken(why) => {
                Fault::Misused(format!("the text {} cannot be formatted: {why}", echo(&name)))
            }
        })
}
