//! Loads the users, suppressions and limits that the decisions of a batch depend on, with one round trip for each, and
//! decides.

use carillon_domain::{
    Timestamp,
    decide::{Concluded, Draft, Entry, EventFacts, LimitCheck, conclude},
};
use carillon_runtime::Fair;
use carillon_store::{RecipientFacts, StoreError};

use crate::{RouterDeps, incoming::IncomingEvent, limits::UserLimits};

/// Decides events; returns one result for each, in order.
pub(crate) async fn decide(
    deps: &RouterDeps,
    limits: &UserLimits,
    events: &[IncomingEvent<'_>],
    now: Timestamp,
) -> Result<Vec<Concluded>, StoreError> {
    let named = events.iter().map(|event| (&event.tenant, &event.event));
    let facts = deps.store.recipient_facts(named).await?;
    let mut fair = Fair::default();
    let mut drafts: Vec<Vec<Draft>> = Vec::with_capacity(events.len());
    for event in events {
        drafts.push(draft(deps, event, &facts, now));
        fair.step().await;
    }
    let checks: Vec<LimitCheck> = drafts
        .iter()
        .flatten()
        .flat_map(|draft| draft.checks().to_vec())
        .collect();
    let mut verdicts = limits.take(&checks, now).await.into_iter();
    Ok(drafts
        .into_iter()
        .map(|drafts| conclude(drafts, &mut verdicts))
        .collect())
}

fn draft(
    deps: &RouterDeps,
    inbound: &IncomingEvent<'_>,
    facts: &RecipientFacts,
    now: Timestamp,
) -> Vec<Draft> {
    let Some(catalog_type) = inbound.catalog.lookup(&inbound.type_name) else {
        return Vec::new();
    };
    let facts = EventFacts {
        tenant: &inbound.tenant,
        event: &inbound.event,
        repeated: &inbound.repeated,
        catalog_type,
        users: facts.users(&inbound.tenant),
        suppressed_guests: facts.suppressed_guests(&inbound.tenant),
        address_key: deps.store.address_key(),
        entry: Entry::Start,
        may_wait: false,
        accepted_at: inbound.accepted_at,
        now,
    };
    facts.drafts()
}
