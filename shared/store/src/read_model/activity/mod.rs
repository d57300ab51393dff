//! Activity: one row for each event, with the outcome for each recipient on each channel, sent or not. The rows are
//! those of `decided_events`; a filter on recipients, outcomes or deliveries finds the events through the table that
//! knows it.

mod cursor;
mod events;
mod query;
mod rows;

use std::collections::HashSet;

use carillon_domain::{
    DeliveryStatus, EventId, TenantId, Timestamp,
    contact::AddressHash,
    decide::{Outcome, Reason},
    status::EventVerdict,
};

pub use cursor::ActivityCursor;
pub(super) use query::explained;

use self::query::Driver;
use super::DecisionView;
use crate::{db::Session, error::StoreError, page::Cursor};

/// The most outcomes that a row of activity has.
pub const MOST_OUTCOMES: usize = 20;
/// The most events of a page.
pub const MOST_EVENTS: u32 = 100;
/// The most rounds of reading for one page. Each reads several times as many rows as the page has events.
const ROUNDS: usize = 64;

/// Conditions on events. An event has to meet all given ones. Those that concern decisions have to hold for the same
/// decision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActivityFilter {
    /// The event's id.
    pub event: Option<String>,
    /// The event's type.
    pub event_type: Option<String>,
    /// Users and addresses, one of which a decision has to concern.
    pub who: Option<Recipients>,
    /// The outcome of a message.
    pub outcome: Option<OutcomeFilter>,
    /// The reason of a decision.
    pub reason: Option<Reason>,
    /// The present error code of a delivery. It is not combined with an outcome or a reason.
    pub code: Option<String>,
    /// The provider's id of a message. It is not combined with an outcome or a reason.
    pub provider_message_id: Option<String>,
    /// Earliest time of the decision; for a code or a provider's id, of the event.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
}

/// The people of a search: known users, and guests by the keyed hashes of their addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipients {
    /// Users.
    pub users: Vec<String>,
    /// Addresses of guests.
    pub guests: Vec<AddressHash>,
}

/// The outcome of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeFilter {
    /// It has this outcome.
    Is(Outcome),
    /// It is not sent, now or later: it was suppressed or dropped, or its recipient gets it already.
    NotSent,
}

/// An event of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivityView {
    /// The event's id.
    pub event_id: EventId,
    /// The event's source.
    pub source: String,
    /// The event's type.
    pub event_type: String,
    /// The time of its last decision.
    pub at: Timestamp,
    /// The verdict on its record.
    pub verdict: EventVerdict,
    /// The time until which it waits, if it does.
    pub due: Option<Timestamp>,
    /// The outcomes for each recipient on each channel, beginning with those that the filter found; at most
    /// [`MOST_OUTCOMES`].
    pub outcomes: Vec<ActivityOutcome>,
    /// Whether there are more outcomes.
    pub has_more: bool,
}

/// The outcome for a recipient on a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivityOutcome {
    /// The present decision.
    pub decision: DecisionView,
    /// The present status of its delivery, if it has one.
    pub status: Option<DeliveryStatus>,
    /// The error code of its delivery, if it has one.
    pub code: Option<String>,
    /// Why its delivery has this status, as a sentence, if the status has one.
    pub detail: Option<String>,
}

/// A page of events, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivityPage {
    /// The events.
    pub items: Vec<ActivityView>,
    /// The place after which the next page begins; `None` on the last one.
    pub next: Option<ActivityCursor>,
}

/// An event that belongs to the page, with the decisions that the filter found.
#[derive(Debug)]
struct Found {
    event_id: String,
    source: String,
    decisions: Vec<DecisionView>,
    deliveries: HashSet<uuid::Uuid>,
    place: ActivityCursor,
}

pub(super) async fn page(
    session: &mut Session,
    tenant: &TenantId,
    filter: &ActivityFilter,
    after: Option<&ActivityCursor>,
    limit: u32,
) -> Result<ActivityPage, StoreError> {
    let limit = limit.clamp(1, MOST_EVENTS) as usize;
    let (mut found, is_last) = match Driver::of(filter) {
        Driver::Events => {
            let after = match after {
                Some(ActivityCursor::Record(place)) => Some(place),
                _ => None,
            };
            events::page(session, tenant, filter, after, limit).await?
        }
        driver => {
            let after = match after {
                Some(ActivityCursor::Row(place)) => Some(*place),
                _ => None,
            };
            of_rows(session, tenant, filter, driver, after, limit).await?
        }
    };
    let has_more = found.len() > limit || !is_last;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|last| last.place.clone());
    let items = rows::views(session, tenant, found).await?;
    Ok(ActivityPage { items, next })
}

/// Reads rows of decisions or deliveries until they belong to one event more than the page has. Returns the events, and
/// whether there are no further rows.
async fn of_rows(
    session: &mut Session,
    tenant: &TenantId,
    filter: &ActivityFilter,
    driver: Driver,
    after: Option<Cursor>,
    limit: usize,
) -> Result<(Vec<Found>, bool), StoreError> {
    let mut found: Vec<Found> = Vec::new();
    let before = match (driver, after) {
        (Driver::Deliveries, Some(after)) => query::shown_before(session, tenant, filter, after).await?,
        _ => HashSet::new(),
    };
    let mut from = after;
    let batch = u32::try_from(limit * 4 + 1).unwrap_or(u32::MAX);
    for _ in 0..ROUNDS {
        let rows = query::rows(session, tenant, filter, driver, from, batch).await?;
        let is_last = rows.len() < batch as usize;
        for row in rows {
            let place = row.place();
            from = Some(place);
            let key = row.event();
            if before.contains(&key) {
                continue;
            }
            let known = found
                .iter()
                .position(|one| one.event_id == key.0 && one.source == key.1);
            let index = if let Some(index) = known {
                index
            } else {
                found.push(Found {
                    event_id: key.0,
                    source: key.1,
                    decisions: Vec::new(),
                    deliveries: HashSet::new(),
                    place: ActivityCursor::Row(place),
                });
                if found.len() > limit {
                    return Ok((found, false));
                }
                found.len() - 1
            };
            // The next page begins after the last row of this page's last event.
            found[index].place = ActivityCursor::Row(place);
            row.add_to(&mut found[index]);
        }
        if is_last {
            return Ok((found, true));
        }
    }
    // Rows of very large events fill many rounds: the page ends here, and the next one goes on.
    Ok((found, false))
}
