//! At most one message of an event for each address, even if several recipients share it.

use std::collections::HashSet;

use super::{Draft, Facts, Outcome, Reason, explain, steps::Input};
use crate::{
    channel::Channel,
    contact::{self, Target},
    ids::ContactPointId,
};

/// Suppresses a guest's draft if an earlier guest or a known user of the event has the same address. Drafts
/// of known users stay, even if users share an address, because each has preferences and a history.
pub fn once_per_address(recipients: &mut [(Facts<'_>, Vec<Draft>)]) {
    let is_guest = |facts: &Facts<'_>| facts.recipient.user_id.is_none();
    if recipients.len() < 2 || !recipients.iter().any(|(facts, _)| is_guest(facts)) {
        return;
    }
    let mut reached = HashSet::new();
    for (facts, drafts) in recipients.iter().filter(|(facts, _)| !is_guest(facts)) {
        for draft in drafts.iter().filter(|draft| is_sent(draft)) {
            reached.extend(addresses(facts, draft));
        }
    }
    for (facts, drafts) in recipients.iter_mut().filter(|(facts, _)| is_guest(facts)) {
        for draft in drafts.iter_mut().filter(|draft| is_sent(draft)) {
            let mut own = addresses(facts, draft);
            if own.all(|address| !reached.insert(address)) {
                drop(own);
                suppress(facts, draft);
            }
        }
    }
}

/// Whether a message is sent, now or after a wait.
fn is_sent(draft: &Draft) -> bool {
    !draft.overflow.is_downgraded
        && matches!(
            draft.decision.outcome,
            Outcome::Send | Outcome::Defer | Outcome::Digest
        )
}

/// The address of a draft, in the form in which two spellings are equal. Guests have no devices, so push is
/// left out.
fn addresses<'a>(
    facts: &'a Facts<'_>,
    draft: &'a Draft,
) -> impl Iterator<Item = (Channel, String)> + use<'a> {
    let channel = draft.decision.channel;
    let of_user = |id: ContactPointId| {
        let mut contacts = facts.user?.contacts.iter();
        let contact = contacts.find(|contact| contact.point.id == id)?;
        Some(contact.point.address.as_str())
    };
    let targets = draft.targets.iter().filter(move |_| channel != Channel::Push);
    targets.filter_map(move |(_, delivery)| {
        let address = match &delivery.target {
            Target::ContactPoint { id } => of_user(*id)?,
            Target::Inline { address } => address,
        };
        Some((channel, contact::normalise(channel, address)))
    })
}

fn suppress(facts: &Facts<'_>, draft: &mut Draft) {
    let reason = Reason::RepeatedAddress;
    draft.targets.clear();
    draft.checks.clear();
    draft.joins = None;
    draft.following = None;
    let decision = &mut draft.decision;
    decision.outcome = Outcome::Suppress;
    decision.reason = reason;
    decision.until = None;
    decision.digest_id = None;
    decision.after.clear();
    decision.sentence = explain::sentence(reason, facts, decision.channel);
    decision.steps.note("address", "stop", &Input("repeated", true));
}
