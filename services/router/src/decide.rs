//! Loads the users, suppressions and limits that the decisions of a batch depend on, with one round trip for each, and
//! decides.

use std::collections::{HashMap, HashSet};

use carillon_domain::{
    Channel, TenantId, Timestamp, UserId,
    compiled::CatalogType,
    contact::AddressHash,
    decide::{
        Decisions, Draft, Facts, LimitCheck, LimitVerdict, SuppressedGuests, UserFacts, evaluate,
        once_per_address, repeated, unusable,
    },
};
use carillon_runtime::Fair;
use carillon_store::StoreError;

use crate::{RouterDeps, incoming::IncomingEvent, limits::UserLimits};

type Users = HashMap<TenantId, HashMap<UserId, UserFacts>>;

/// The decisions about an event.
pub(crate) struct Decided {
    pub(crate) concluded: Decisions,
    /// Whether one of its limits could not be counted and was left out.
    pub(crate) is_unlimited: bool,
}

/// Decides events; returns one result for each, in order.
pub(crate) async fn decide(
    deps: &RouterDeps,
    limits: &UserLimits,
    events: &[IncomingEvent<'_>],
    now: Timestamp,
) -> Result<Vec<Decided>, StoreError> {
    let users = load_users(deps, events).await?;
    let guests = load_suppressed_guests(deps, events).await?;
    let mut fair = Fair::default();
    let mut drafts: Vec<Vec<Draft>> = Vec::with_capacity(events.len());
    for event in events {
        drafts.push(draft(deps, event, &users, &guests, now));
        fair.step().await;
    }
    let checks: Vec<LimitCheck> = drafts
        .iter()
        .flatten()
        .flat_map(|draft| draft.checks().to_vec())
        .collect();
    let mut verdicts = limits.take(&checks, now).await.into_iter();
    let conclude = |drafts: Vec<Draft>| {
        let mut all = Decisions {
            decisions: Vec::new(),
            deliveries: Vec::new(),
        };
        let mut is_unlimited = false;
        for draft in drafts {
            let own: Vec<_> = verdicts.by_ref().take(draft.checks().len()).collect();
            is_unlimited |= own.contains(&LimitVerdict::Unavailable);
            all.extend(draft.conclude(&own));
        }
        Decided {
            concluded: all,
            is_unlimited,
        }
    };
    Ok(drafts.into_iter().map(conclude).collect())
}

async fn load_users(deps: &RouterDeps, events: &[IncomingEvent<'_>]) -> Result<Users, StoreError> {
    let mut wanted: HashMap<&TenantId, HashSet<&UserId>> = HashMap::new();
    for event in events {
        let ids = event
            .event
            .recipients
            .iter()
            .filter_map(|recipient| recipient.user_id.as_ref());
        wanted.entry(&event.tenant).or_default().extend(ids);
    }
    let mut users = Users::new();
    for (tenant, ids) in wanted {
        if !ids.is_empty() {
            let ids: Vec<UserId> = ids.into_iter().cloned().collect();
            users.insert(tenant.clone(), deps.store.users().load_facts(tenant, &ids).await?);
        }
    }
    Ok(users)
}

/// The suppressed addresses of guests. If no event has a guest, there is no query.
async fn load_suppressed_guests(
    deps: &RouterDeps,
    events: &[IncomingEvent<'_>],
) -> Result<HashMap<TenantId, SuppressedGuests>, StoreError> {
    let mut wanted: HashMap<&TenantId, HashSet<AddressHash>> = HashMap::new();
    for event in events {
        for guest in event
            .event
            .recipients
            .iter()
            .filter(|recipient| recipient.user_id.is_none())
        {
            let addresses = [Channel::Email, Channel::Sms]
                .into_iter()
                .filter_map(|channel| Some((channel, guest.inline_address(channel)?)));
            let hashes = addresses.map(|(channel, address)| deps.store.address_key().hash(channel, address));
            wanted.entry(&event.tenant).or_default().extend(hashes);
        }
    }
    let mut suppressed = HashMap::new();
    for (tenant, hashes) in wanted {
        let hashes: Vec<AddressHash> = hashes.into_iter().collect();
        suppressed.insert(
            tenant.clone(),
            deps.store.suppressions().of(tenant, &hashes).await?,
        );
    }
    Ok(suppressed)
}

fn draft(
    deps: &RouterDeps,
    inbound: &IncomingEvent<'_>,
    users: &Users,
    guests: &HashMap<TenantId, SuppressedGuests>,
    now: Timestamp,
) -> Vec<Draft> {
    let none = SuppressedGuests::new();
    let Some(CatalogType {
        definition, category, ..
    }) = inbound.catalog.lookup(&inbound.type_name)
    else {
        return Vec::new();
    };
    let facts = |recipient| Facts {
        tenant: &inbound.tenant,
        event: &inbound.event,
        type_name: &inbound.type_name,
        definition,
        category,
        recipient,
        user: None,
        address_key: deps.store.address_key(),
        suppressed_guests: guests.get(&inbound.tenant).unwrap_or(&none),
        accepted_at: inbound.accepted_at,
        now,
    };
    let of_tenant = users.get(&inbound.tenant);
    let each = inbound.event.recipients.iter().map(|recipient| {
        let user = recipient.user_id.as_ref().and_then(|id| of_tenant?.get(id));
        let facts = Facts {
            user,
            ..facts(recipient)
        };
        let drafts = evaluate(&facts);
        (facts, drafts)
    });
    let mut each: Vec<(Facts<'_>, Vec<Draft>)> = each.collect();
    once_per_address(&mut each);
    let mut drafts: Vec<Draft> = each.into_iter().flat_map(|(_, drafts)| drafts).collect();
    drafts.extend(
        inbound
            .repeated
            .iter()
            .flat_map(|recipient| repeated(&facts(recipient))),
    );
    let others = inbound.event.unusable.iter();
    drafts.extend(others.flat_map(|other| unusable(definition, &inbound.event.channels, other)));
    drafts
}
