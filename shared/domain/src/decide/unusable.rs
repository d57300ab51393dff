//! Decisions about invalid recipients.

use std::sync::Arc;

use serde::Serialize;

use super::{
    Decision, Draft, DraftOverflow, Outcome, Reason, channels, explain,
    steps::{Input, Notes},
};
use crate::{catalog::EventTypeDef, channel::Channel, event::InvalidRecipient};

/// The most errors that a decision lists for one recipient.
const MAX_ERRORS: usize = 5;

/// An error without its message, which might repeat an address.
#[derive(Serialize)]
struct Wrong<'a> {
    pointer: &'a str,
    code: &'a str,
}

/// The drafts of an invalid recipient: no message on any channel of the type or of the event's request, and the errors.
#[must_use]
pub fn unusable(definition: &EventTypeDef, requested: &[Channel], unusable: &InvalidRecipient) -> Vec<Draft> {
    let errors = &unusable.errors[..unusable.errors.len().min(MAX_ERRORS)];
    let wrong: Vec<Wrong<'_>> = errors
        .iter()
        .map(|error| Wrong {
            pointer: &error.pointer,
            code: &error.code,
        })
        .collect();
    channels(definition, requested)
        .map(|channel| {
            let mut steps = Notes::begin();
            steps.note("recipient", "stop", &Input("errors", &wrong));
            Draft {
                decision: Decision {
                    recipient: unusable.recipient.clone(),
                    user_id: unusable.user_id.clone(),
                    channel,
                    category: Arc::from(definition.category.as_str()),
                    outcome: Outcome::Suppress,
                    reason: Reason::InvalidRecipient,
                    sentence: explain::invalid_recipient(errors),
                    steps: steps.end(),
                    address_hash: None,
                    to_masked: None,
                    until: None,
                    digest_id: None,
                    after: Vec::new(),
                    delivery_id: None,
                },
                targets: Vec::new(),
                checks: Vec::new(),
                overflow: DraftOverflow::NONE,
                joins: None,
                following: None,
            }
        })
        .collect()
}
