//! Loads the users, suppressions and limits that the decisions of a batch depend on, with one round trip for each, and
//! decides.

use carillon_domain::{
    Channel, DeliveryId, Timestamp,
    decide::{Decision, Decisions, Downgrades, Draft, Entry, EventFacts, LimitCheck, LimitVerdict, conclude},
    fallback::EarlierDeliveries,
    waiting::{WaitingContent, WaitingPart},
};
use carillon_runtime::Fair;
use carillon_store::{RecipientFacts, StoreError};

use crate::{RouterDeps, incoming::IncomingEvent, limits::UserLimits};

/// The decisions about an event.
pub(crate) struct Decided {
    pub(crate) concluded: Decisions,
    /// Whether one of its limits could not be counted and was left out.
    pub(crate) is_unlimited: bool,
    /// Deliveries that have waited and end without a message.
    pub(crate) unsent: Vec<Unsent>,
}

/// Deliveries that have waited and end without a message, and the decision about them if there is one.
pub(crate) struct Unsent {
    pub(crate) part: WaitingPart,
    pub(crate) decision: Option<Decision>,
}

/// The recipients of a batch, and the states of the deliveries that its messages follow.
struct Known {
    facts: RecipientFacts,
    earlier: EarlierDeliveries,
}

/// The drafts about an event.
enum Drafts<'e> {
    /// The event is decided as a whole.
    Whole(Vec<Draft>),
    /// Deliveries of it have waited; the others were decided before.
    Parts {
        /// A draft without a part is of a channel to which a message is downgraded.
        drafts: Vec<(Draft, Option<&'e WaitingPart>)>,
        /// Deliveries that no longer belong to the event.
        lost: Vec<&'e WaitingPart>,
    },
}

impl Drafts<'_> {
    fn all(&self) -> Vec<&Draft> {
        match self {
            Self::Whole(drafts) => drafts.iter().collect(),
            Self::Parts { drafts, .. } => drafts.iter().map(|(draft, _)| draft).collect(),
        }
    }

    fn checks(&self) -> impl Iterator<Item = LimitCheck> {
        let drafts = self.all().into_iter();
        drafts.flat_map(|draft| draft.checks().iter().cloned())
    }

    fn conclude(self, verdicts: &mut impl Iterator<Item = LimitVerdict>) -> Decided {
        let (drafts, lost) = match self {
            Self::Whole(drafts) => {
                let whole = conclude(drafts, verdicts);
                return Decided {
                    concluded: whole.decisions,
                    is_unlimited: whole.is_unlimited,
                    unsent: Vec::new(),
                };
            }
            Self::Parts { drafts, lost } => (drafts, lost),
        };
        let lost = lost.into_iter().map(|part| Unsent {
            part: part.clone(),
            decision: None,
        });
        let mut decided = Decided {
            concluded: Decisions::default(),
            is_unlimited: false,
            unsent: lost.collect(),
        };
        for (draft, part) in drafts {
            let one = conclude(vec![draft], verdicts);
            decided.is_unlimited |= one.is_unlimited;
            decided
                .unsent
                .extend(part.and_then(|part| left_over(part, &one.decisions)));
            decided.concluded.extend(one.decisions);
        }
        decided
    }
}

/// Decides events; returns one result for each, in order.
pub(crate) async fn decide(
    deps: &RouterDeps,
    limits: &UserLimits,
    events: &[IncomingEvent<'_>],
    now: Timestamp,
) -> Result<Vec<Decided>, StoreError> {
    let named = events.iter().map(|event| {
        let found = event.catalog.lookup(&event.type_name);
        let sends_webhooks =
            found.is_some_and(|found| found.definition.channels.order.contains(&Channel::Webhook));
        (&event.tenant, &event.event, sends_webhooks)
    });
    let facts = deps.store.recipient_facts(named).await?;
    let followed = events.iter().filter_map(parts_of).flatten();
    let followed: Vec<DeliveryId> = followed.flat_map(|part| part.after.iter().copied()).collect();
    let earlier = deps.store.fallbacks().states(&followed).await?;
    let facts = Known { facts, earlier };
    let mut fair = Fair::default();
    let mut drafts: Vec<Drafts<'_>> = Vec::with_capacity(events.len());
    for event in events {
        drafts.push(draft(deps, event, &facts, &Downgrades::default(), now));
        fair.step().await;
    }
    let (mut checks, mut ends) = (Vec::new(), Vec::with_capacity(events.len()));
    for drafts in &drafts {
        checks.extend(drafts.checks());
        ends.push(checks.len());
    }
    let taken = limits.take(&checks, now).await;
    let mut start = 0;
    let mut decided = Vec::with_capacity(events.len());
    for ((event, mut drafts), end) in events.iter().zip(drafts).zip(ends) {
        let mut verdicts: Vec<LimitVerdict> = taken[start..end].to_vec();
        start = end;
        let mut downgrades = Downgrades::default();
        // The rules are applied again with each message that is over a limit, so that the next channel has its turn.
        while !verdicts.is_empty() && downgrades.add(drafts.all().into_iter(), &verdicts) {
            drafts = draft(deps, event, &facts, &downgrades, now);
            let checks: Vec<LimitCheck> = drafts.checks().collect();
            verdicts = limits.take(&checks, now).await;
        }
        decided.push(drafts.conclude(&mut verdicts.into_iter()));
    }
    Ok(decided)
}

fn draft<'e>(
    deps: &RouterDeps,
    inbound: &'e IncomingEvent<'_>,
    known: &Known,
    downgrades: &Downgrades,
    now: Timestamp,
) -> Drafts<'e> {
    let Known { facts, earlier } = known;
    let Some(catalog_type) = inbound.catalog.lookup(&inbound.type_name) else {
        return Drafts::Whole(Vec::new());
    };
    let parts = parts_of(inbound);
    let released = inbound.released.as_ref().filter(|_| parts.is_some());
    let facts = EventFacts {
        tenant: &inbound.tenant,
        event: &inbound.event,
        repeated: &inbound.repeated,
        catalog_type,
        users: facts.users(&inbound.tenant),
        suppressed_guests: facts.suppressed_guests(&inbound.tenant),
        address_key: deps.store.address_key(),
        entry: match parts {
            Some(_) => Entry::Suppression,
            None => Entry::Start,
        },
        release: released.map(|released| released.release.id),
        releases: released.map_or(0, |released| released.release.number),
        downgrades,
        accepted_at: inbound.accepted_at,
        now,
    };
    match parts {
        Some(parts) => {
            let (drafts, lost) = facts.drafts_of(parts, earlier);
            Drafts::Parts { drafts, lost }
        }
        None => Drafts::Whole(facts.drafts()),
    }
}

/// The deliveries that have waited, if the record is the release of some.
fn parts_of<'e>(inbound: &'e IncomingEvent<'_>) -> Option<&'e [WaitingPart]> {
    match &inbound.released.as_ref()?.release.content {
        WaitingContent::Event => None,
        WaitingContent::Deliveries { parts, .. } => Some(parts),
    }
}

/// The deliveries of a part that are neither sent nor deferred again nor collected.
fn left_over(part: &WaitingPart, concluded: &Decisions) -> Option<Unsent> {
    let goes_on = |id: &DeliveryId| {
        let mut sent = concluded.deliveries.iter().map(|delivery| delivery.delivery_id);
        let mut deferred = concluded
            .deferred
            .iter()
            .map(|deferred| deferred.delivery.delivery_id);
        let mut collected = concluded
            .collected
            .iter()
            .map(|collected| collected.delivery.delivery_id);
        sent.any(|sent| sent == *id)
            || deferred.any(|deferred| deferred == *id)
            || collected.any(|collected| collected == *id)
    };
    let ids = part.deliveries.iter().filter(|id| !goes_on(id));
    let ids: Vec<DeliveryId> = ids.copied().collect();
    let decision = concluded.decisions.first()?;
    (!ids.is_empty()).then(|| Unsent {
        part: WaitingPart {
            deliveries: ids,
            ..part.clone()
        },
        decision: Some(decision.clone()),
    })
}
