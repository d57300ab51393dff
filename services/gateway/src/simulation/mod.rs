//! Simulation: the decisions that the router would make about an event, and the messages that would result. Nothing is
//! sent, counted or stored.

mod document;
mod messages;
mod request;

use std::sync::Arc;

use carillon_domain::{
    Channel, Event, TenantId, Timestamp,
    compiled::CompiledCatalog,
    decide::{
        Decisions, Downgrades, Draft, Entry, EventFacts, LimitCheck, LimitVerdict, conclude, take_repeated,
    },
};

pub(crate) use self::{document::SimulationDocument, request::SimulationRequest};
use crate::{
    auth::Caller,
    error::ApiError,
    ingest::{self, Checked},
    privacy::Sight,
    state::GatewayState,
};

/// Simulates an event.
pub(crate) async fn simulate(
    state: &GatewayState,
    caller: &Caller,
    sight: Sight,
    request: SimulationRequest,
) -> Result<SimulationDocument, ApiError> {
    let tenant = caller.tenant();
    let SimulationRequest {
        event: parsed,
        at,
        as_if,
        prefix,
    } = request;
    let present = state.catalogs.get(tenant).await?;
    let (catalog, preferences) = as_if.checked(state, present.clone()).await?;
    let read = vec![(prefix.to_owned(), parsed)];
    let mut checked = ingest::check_by(state, tenant, catalog.clone(), at, read).await?;
    let checked = match checked.pop() {
        Some(checked) => checked?,
        None => return Err(ApiError::not_found("event")),
    };
    let Some(catalog) = catalog else {
        return Err(ApiError::not_found("catalog"));
    };
    let Checked {
        mut event, type_name, ..
    } = checked;
    let sends_webhooks = catalog
        .lookup(&type_name)
        .is_some_and(|found| found.definition.channels.order.contains(&Channel::Webhook));
    let mut facts = state
        .store
        .recipient_facts([(tenant, &event, sends_webhooks)].into_iter())
        .await?;
    if let Some(preferences) = preferences {
        let preferences = Arc::new(preferences);
        for user in facts.users_mut(tenant) {
            user.preferences = Arc::clone(&preferences);
        }
    }
    let repeated = take_repeated(&mut event);
    let decisions = match catalog.lookup(&type_name) {
        Some(catalog_type) if !event.recipients.is_empty() => {
            let drafts = |downgrades: &Downgrades| {
                EventFacts {
                    tenant,
                    event: &event,
                    repeated: &repeated,
                    catalog_type,
                    users: facts.users(tenant),
                    suppressed_guests: facts.suppressed_guests(tenant),
                    address_key: state.store.address_key(),
                    entry: Entry::Start,
                    release: None,
                    releases: 0,
                    downgrades,
                    accepted_at: at,
                    now: at,
                }
                .drafts()
            };
            decide(state, drafts, at).await
        }
        _ => Decisions::default(),
    };
    let masks = [present.as_ref(), Some(&catalog)];
    let masks = masks
        .into_iter()
        .flatten()
        .map(|catalog| catalog.mask(&type_name));
    let messages = messages::render(state, sight, masks.clone(), &event, &decisions).await;
    let is_repeat = is_known(state, tenant, &event).await?;
    Ok(document::document(
        sight,
        masks,
        &event,
        &type_name,
        document::Decided {
            at,
            is_repeat,
            decisions,
            messages,
        },
    ))
}

/// Applies the limits' verdicts. The limits are only looked at: nothing is counted. The drafts are made again with each
/// message that is over a limit, as the router does.
async fn decide(
    state: &GatewayState,
    drafts_with: impl Fn(&Downgrades) -> Vec<Draft>,
    at: Timestamp,
) -> Decisions {
    let mut downgrades = Downgrades::default();
    loop {
        let drafts = drafts_with(&downgrades);
        let verdicts = look(state, &drafts, at).await;
        if !downgrades.add(drafts.iter(), &verdicts) {
            return conclude(drafts, &mut verdicts.into_iter()).decisions;
        }
    }
}

async fn look(state: &GatewayState, drafts: &[Draft], at: Timestamp) -> Vec<LimitVerdict> {
    let checks: Vec<LimitCheck> = drafts.iter().flat_map(|draft| draft.checks().to_vec()).collect();
    if checks.is_empty() {
        return Vec::new();
    }
    state.quotas.look(&checks, at).await
}

/// Whether an event of this source and id was accepted before: a post of it would be a repeat.
async fn is_known(state: &GatewayState, tenant: &TenantId, event: &Event) -> Result<bool, ApiError> {
    let claims = state.store.events().find(tenant, &event.id, Some(&*event.source));
    Ok(!claims.await?.is_empty())
}

/// A catalog that is shared with other requests, or a proposed one.
type SharedCatalog = Arc<CompiledCatalog>;
