//! The rules for a request beyond its types.

use std::collections::HashSet;

use super::body::{Address, Body};
use super::error::SendGridError;

const MAX_PERSONALIZATIONS: usize = 1_000;
const MAX_RECIPIENTS: usize = 1_000;
const MAX_CATEGORIES: usize = 10;
const MAX_CATEGORY_CHARACTERS: usize = 255;
const MAX_CUSTOM_ARGS_BYTES: usize = 10_000;

/// Headers that a request must not set.
const RESERVED_HEADERS: [&str; 12] = [
    "x-sg-id",
    "x-sg-eid",
    "received",
    "dkim-signature",
    "content-type",
    "content-transfer-encoding",
    "to",
    "from",
    "subject",
    "reply-to",
    "cc",
    "bcc",
];

/// Refuses a request that SendGrid would refuse.
pub(super) fn check(body: &Body) -> Result<(), SendGridError> {
    check_recipients(body)?;
    let Some(from) = &body.from else {
        return Err(SendGridError::of(
            "from",
            "The from object must be provided for every email send.",
        ));
    };
    if !is_address(&from.email) {
        return Err(SendGridError::of(
            "from.email",
            "The from email does not contain a valid address.",
        ));
    }
    if from.email.starts_with("unverified") {
        let message = "The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved.";
        return Err(SendGridError::new(403, Some("from"), message));
    }
    check_content(body)?;
    check_values(body)
}

fn check_recipients(body: &Body) -> Result<(), SendGridError> {
    let all = &body.personalizations;
    if all.is_empty() {
        let message = "The personalizations field is required and must have at least one personalization.";
        return Err(SendGridError::of("personalizations", message));
    }
    if all.len() > MAX_PERSONALIZATIONS {
        let message = "The personalization block is limited to 1000 personalizations per API request.";
        return Err(SendGridError::of("personalizations", message));
    }
    let mut count = 0;
    for (index, personalization) in all.iter().enumerate() {
        if personalization.to.is_empty() {
            let message = "The to array is required for all personalization objects, and must have at least one email \
                           object with a valid email address.";
            return Err(SendGridError::of(format!("personalizations.{index}.to"), message));
        }
        let mut seen = HashSet::new();
        for (list, at, address) in personalization.receivers() {
            count += 1;
            if address.email.starts_with("invalid") || !is_address(&address.email) {
                let field = format!("personalizations.{index}.{list}.{at}.email");
                return Err(SendGridError::of(field, "Does not contain a valid address."));
            }
            if !seen.insert(address.email.to_ascii_lowercase()) {
                let message =
                    "Each unique email address in the personalizations array should only be included once.";
                return Err(SendGridError::of("personalizations", message));
            }
        }
    }
    if count > MAX_RECIPIENTS {
        let message = "There is a limit of 1000 total recipients (to + cc + bcc) per request.";
        return Err(SendGridError::of("personalizations", message));
    }
    Ok(())
}

fn check_content(body: &Body) -> Result<(), SendGridError> {
    for (index, personalization) in body.personalizations.iter().enumerate() {
        let subject = personalization.subject.as_ref().or(body.subject.as_ref());
        if subject.is_none_or(String::is_empty) {
            let message = "The subject is required. You can get around this requirement if you use a template with a \
                           subject defined or if every personalization has a subject defined.";
            let field = if body.subject.is_none() {
                "subject".to_owned()
            } else {
                format!("personalizations.{index}.subject")
            };
            return Err(SendGridError::of(field, message));
        }
    }
    if body.content.is_empty() {
        let message = "Unless a valid template_id is provided, the content parameter is required.";
        return Err(SendGridError::of("content", message));
    }
    for (at, part) in body.content.iter().enumerate() {
        let wrong = |field: &str, message| Err(SendGridError::of(format!("content.{at}.{field}"), message));
        if part.kind.is_empty() || part.kind.contains([';', '\r', '\n']) {
            return wrong(
                "type",
                "The content type must be a string at least one character in length.",
            );
        }
        if part.value.is_empty() {
            return wrong(
                "value",
                "The content value must be a string at least one character in length.",
            );
        }
    }
    let place = |wanted: &str| body.content.iter().position(|part| part.kind == wanted);
    let (text, html) = (place("text/plain"), place("text/html"));
    let is_ordered = text.is_none_or(|at| at == 0) && html.is_none_or(|at| at == usize::from(text.is_some()));
    if !is_ordered {
        let message = "If present, text/plain and text/html may only be provided once, and must be first: text/plain before \
                       text/html.";
        return Err(SendGridError::of("content", message));
    }
    Ok(())
}

fn check_values(body: &Body) -> Result<(), SendGridError> {
    let of_all = body.personalizations.iter().map(|one| &one.headers);
    for (name, value) in of_all.chain([&body.headers]).flatten() {
        if RESERVED_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            let message = format!("The header {name} is reserved and cannot be set.");
            return Err(SendGridError::of("headers", message));
        }
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
            return Err(SendGridError::of(
                "headers",
                "A header's name has to be visible ASCII without a colon.",
            ));
        }
        if value.contains(['\r', '\n']) || !value.is_ascii() {
            return Err(SendGridError::of(
                "headers",
                "A header's value has to be one line of ASCII.",
            ));
        }
    }
    if body.categories.len() > MAX_CATEGORIES {
        return Err(SendGridError::of(
            "categories",
            "The categories array is limited to 10 categories.",
        ));
    }
    let mut seen = HashSet::new();
    for (at, category) in body.categories.iter().enumerate() {
        if category.chars().count() > MAX_CATEGORY_CHARACTERS || !seen.insert(category) {
            let message = "A category is limited to 255 characters and must be unique.";
            return Err(SendGridError::of(format!("categories.{at}"), message));
        }
    }
    for personalization in &body.personalizations {
        let args = body.custom_args.iter().chain(&personalization.custom_args);
        let size: usize = args.map(|(name, value)| name.len() + value.len()).sum();
        if size > MAX_CUSTOM_ARGS_BYTES {
            let message = "The combined size of custom arguments must be less than 10,000 bytes.";
            return Err(SendGridError::of("custom_args", message));
        }
    }
    Ok(())
}

/// Whether a text is an address for SendGrid, which takes no letters beyond ASCII before the `@`.
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let is_local =
        !local.is_empty() && local.len() <= 64 && local.bytes().all(|byte| byte.is_ascii_graphic());
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let is_domain = domain.contains('.')
        && domain.len() <= 255
        && domain
            .split('.')
            .all(|label| !label.is_empty() && label.chars().all(fits));
    is_local && !local.contains(['@', '<', '>', ',', ';']) && is_domain
}

impl Address {
    /// The address as a header shows it.
    pub(super) fn shown(&self) -> String {
        match self.name.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => format!("{name} <{}>", self.email),
            None => self.email.clone(),
        }
    }
}
