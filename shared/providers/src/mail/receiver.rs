//! The receiver of a mail, and the mail's id.

use carillon_domain::EmailAddress;

use crate::{
    message::OutgoingMessage,
    outcome::{Refusal, Scope},
};

/// The receiver's address.
pub(crate) fn receiver(message: &OutgoingMessage) -> Result<EmailAddress, Refusal> {
    EmailAddress::parse(&message.to)
        .map_err(|error| Refusal::new(Scope::Message, "address-syntax", error.to_string()))
}

/// The receiver's address for a provider that takes ASCII only: the domain in punycode, and no other letters before the `@`.
pub(crate) fn ascii_receiver(message: &OutgoingMessage) -> Result<String, Refusal> {
    let to = receiver(message)?;
    if to.needs_smtputf8() {
        let detail = "the address has letters before the @ that the provider does not take (SMTPUTF8)";
        return Err(Refusal::new(Scope::Message, "smtputf8-unsupported", detail));
    }
    Ok(format!("{}@{}", to.local(), to.domain()))
}

/// The mail's id without angle brackets. It is the same for every attempt, so that a receiver can recognise a second copy.
pub(crate) fn message_id(message: &OutgoingMessage, domain: &str) -> String {
    format!("{}@{domain}", message.delivery_id)
}
