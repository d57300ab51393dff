//! The rules for a raw message.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_parser::MessageParser;

use super::MAX_MESSAGE;
use super::error::SesError;

/// The longest line, with its end.
const MAX_LINE: usize = 1_000;

/// Headers that a message may have several times. All others that SES knows may stand once
/// (<https://docs.aws.amazon.com/ses/latest/dg/header-fields.html>).
const REPEATABLE: [&str; 3] = ["received", "to", "cc"];

/// Decodes a message and refuses what SES would refuse.
pub(super) fn decode(data: &str) -> Result<Vec<u8>, SesError> {
    let raw = STANDARD
        .decode(data)
        .map_err(|_| SesError::new(400, "SerializationException", "Data is not Base64."))?;
    if raw.len() > MAX_MESSAGE {
        return Err(SesError::bad_request(format!(
            "Message length is more than {MAX_MESSAGE} bytes long: '{}'.",
            raw.len()
        )));
    }
    if raw
        .split_inclusive(|byte| *byte == b'\n')
        .any(|line| line.len() > MAX_LINE)
    {
        return Err(SesError::rejected(
            "A line of the message has more than 1000 characters.",
        ));
    }
    let Some(mail) = MessageParser::default().parse(&raw) else {
        return Err(SesError::bad_request("The message has no headers."));
    };
    let mut seen = HashSet::new();
    for (name, value) in mail.headers_raw() {
        if !value.is_ascii() || !name.is_ascii() {
            return Err(SesError::bad_request(format!(
                "The header {name:?} is not ASCII."
            )));
        }
        let name = name.to_ascii_lowercase();
        let may_repeat = name.starts_with("x-") || REPEATABLE.contains(&name.as_str());
        if !may_repeat && !seen.insert(name.clone()) {
            return Err(SesError::bad_request(format!("Duplicate header '{name}'.")));
        }
    }
    Ok(raw)
}

/// The address of the `From` header.
pub(super) fn sender(raw: &[u8]) -> Option<String> {
    let mail = MessageParser::default().parse(raw)?;
    let from = mail.from()?.first()?.address()?.to_owned();
    Some(from)
}

/// The addresses of the headers `To`, `Cc` and `Bcc`.
pub(super) fn receivers(raw: &[u8]) -> Vec<String> {
    let Some(mail) = MessageParser::default().parse(raw) else {
        return Vec::new();
    };
    [mail.to(), mail.cc(), mail.bcc()]
        .into_iter()
        .flatten()
        .flat_map(|list| list.iter().filter_map(|one| one.address().map(str::to_owned)))
        .collect()
}
