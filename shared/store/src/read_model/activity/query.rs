//! The queries that find events through their decisions or deliveries. Each uses an index that has its rows in the order of
//! the list.

use std::collections::HashSet;

use carillon_domain::{
    TenantId, Timestamp,
    decide::{Outcome, Reason},
};
use uuid::Uuid;

use super::{ActivityFilter, Found, MOST_OUTCOMES, OutcomeFilter, events};
use crate::{
    db::{Dynamic, Session},
    error::StoreError,
    page::Cursor,
    read_model::{DecisionView, decisions},
};

/// The table through which the events of a filter are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driver {
    Events,
    Decisions,
    Deliveries,
}

impl Driver {
    pub(super) fn of(filter: &ActivityFilter) -> Self {
        if filter.code.is_some() || filter.provider_message_id.is_some() {
            Self::Deliveries
        } else if filter.who.is_some() || filter.outcome.is_some() || filter.reason.is_some() {
            Self::Decisions
        } else {
            Self::Events
        }
    }
}

/// A row that the filter found.
pub(super) enum Row {
    Decision(Box<DecisionView>),
    Delivery(DeliveryRow),
}

#[derive(sqlx::FromRow)]
pub(super) struct DeliveryRow {
    id: Uuid,
    event_id: String,
    source: String,
    created_at: Timestamp,
}

impl Row {
    /// The event's id and source.
    pub(super) fn event(&self) -> (String, String) {
        match self {
            Self::Decision(row) => (row.event_id.as_str().to_owned(), row.source.clone()),
            Self::Delivery(row) => (row.event_id.clone(), row.source.clone()),
        }
    }

    pub(super) fn place(&self) -> Cursor {
        match self {
            Self::Decision(row) => Cursor {
                at: row.at,
                id: row.id,
            },
            Self::Delivery(row) => Cursor {
                at: row.created_at,
                id: row.id,
            },
        }
    }

    pub(super) fn add_to(self, found: &mut Found) {
        match self {
            Self::Decision(row) if found.decisions.len() < MOST_OUTCOMES => found.decisions.push(*row),
            Self::Decision(_) => {}
            Self::Delivery(row) => {
                found.deliveries.insert(row.id);
            }
        }
    }
}

/// The columns of the table `decisions` under an alias.
struct Columns {
    event_id: &'static str,
    event_type: &'static str,
    outcome: &'static str,
    reason: &'static str,
    at: &'static str,
}

macro_rules! columns_of {
    ($alias:literal) => {
        Columns {
            event_id: concat!($alias, ".event_id"),
            event_type: concat!($alias, ".event_type"),
            outcome: concat!($alias, ".outcome"),
            reason: concat!($alias, ".reason"),
            at: concat!($alias, ".at"),
        }
    };
}

/// The decision of `d`, and no later one of its event that the filter would find too: an event that was decided several times
/// is found once.
const UNLESS_LATER: &str = " AND NOT EXISTS (
        SELECT 1 FROM decided_events r JOIN decisions n
            ON n.tenant = r.tenant AND n.at = r.at AND n.event_id = r.event_id AND n.source = r.source
        WHERE r.tenant = d.tenant AND r.event_id = d.event_id AND r.source = d.source AND r.at > d.at";

/// The end of a subquery of a few rows. With an offset, PostgreSQL asks it for each row; otherwise it joins all rows that meet
/// its conditions first.
const PER_ROW: &str = " LIMIT 1 OFFSET 0)";

/// A message that has waited was decided again: the former decision is not the present one.
const UNLESS_DECIDED_AGAIN: &str = " AND NOT EXISTS (
        SELECT 1 FROM decided_events r JOIN decisions n
            ON n.tenant = r.tenant AND n.at = r.at AND n.event_id = r.event_id AND n.source = r.source
        WHERE r.tenant = d.tenant AND r.event_id = d.event_id AND r.source = d.source AND r.at > d.at
            AND n.channel = d.channel AND n.recipient = d.recipient
        LIMIT 1 OFFSET 0)";

/// One branch of the people that a search names. A query for several would not have its rows in the order of an index.
#[derive(Clone, Copy)]
enum Person<'a> {
    User(&'a str),
    Guest(Uuid),
    Anybody,
}

fn people(filter: &ActivityFilter) -> Vec<Person<'_>> {
    let Some(who) = &filter.who else {
        return vec![Person::Anybody];
    };
    let users = who.users.iter().map(|user| Person::User(user));
    let guests = who.guests.iter().map(|guest| Person::Guest(guest.0));
    users.chain(guests).collect()
}

/// Appends the conditions on a decision, except those on people.
fn conditions(query: &mut Dynamic, filter: &ActivityFilter, columns: &Columns) {
    query
        .and_in(columns.event_id, filter.event.as_deref())
        .and_in(columns.event_type, filter.event_type.as_deref())
        .and_in(columns.reason, filter.reason.iter().map(AsRef::as_ref));
    match filter.outcome {
        None => {}
        Some(OutcomeFilter::Is(outcome)) => {
            query.and_in(columns.outcome, [outcome.as_ref()]);
        }
        // The words stand in the text, because the partial index has this condition.
        Some(OutcomeFilter::NotSent) => {
            let text = " IN ('suppress', 'drop', 'duplicate')";
            query.sql(" AND ").sql(columns.outcome).sql(text);
        }
    }
    if let Some(from) = filter.from {
        query.sql(" AND ").sql(columns.at).sql(" >= ").value(from);
    }
    if let Some(to) = filter.to {
        query.sql(" AND ").sql(columns.at).sql(" < ").value(to);
    }
}

fn of_decisions(
    tenant: &TenantId,
    filter: &ActivityFilter,
    person: Person<'_>,
    after: Option<Cursor>,
    limit: u32,
) -> Dynamic {
    let mut query = Dynamic::new(decisions::SELECT_D);
    query.value(tenant.as_str());
    match person {
        Person::User(user) => {
            query.and_in("d.user_id", [user]);
        }
        Person::Guest(hash) => {
            query.and_in("d.address_hash", [hash]);
        }
        Person::Anybody => {}
    }
    conditions(&mut query, filter, &columns_of!("d"));
    // The partial indexes are used for a query that repeats their condition.
    let is_unsent = matches!(filter.outcome, Some(OutcomeFilter::Is(outcome)) if outcome != Outcome::Send)
        || filter.reason.is_some_and(|reason| !reason.sends());
    if is_unsent {
        query.sql(" AND d.outcome <> 'send'");
    }
    let is_rarely_sent = filter
        .reason
        .is_some_and(|reason| reason.sends() && reason != Reason::Allowed);
    if is_rarely_sent {
        query.sql(" AND d.outcome = 'send' AND d.reason <> 'allowed'");
    }
    query.sql(UNLESS_LATER);
    conditions(&mut query, filter, &columns_of!("n"));
    if let Some(who) = &filter.who {
        query.sql(" AND (false");
        for user in &who.users {
            query.sql(" OR n.user_id = ").value(user.as_str());
        }
        for guest in &who.guests {
            query.sql(" OR n.address_hash = ").value(guest.0);
        }
        query.sql(")");
    }
    query.sql(PER_ROW);
    if filter.outcome.is_some() || filter.reason.is_some() {
        query.sql(UNLESS_DECIDED_AGAIN);
    }
    if let Some(after) = after {
        query
            .sql(" AND (d.at, d.id) < (")
            .value(after.at)
            .sql(", ")
            .value(after.id)
            .sql(")");
    }
    query.sql(" ORDER BY d.at DESC, d.id DESC LIMIT ").value(limit);
    query
}

const DELIVERIES: &str =
    "SELECT d.id, d.event_id, d.source, d.created_at FROM deliveries d WHERE d.tenant = ";
const BY_MESSAGE: &str = "SELECT d.id, d.event_id, d.source, d.created_at
    FROM delivery_messages m JOIN deliveries d ON d.id = m.delivery_id WHERE m.tenant = ";

/// Appends the conditions on a delivery.
fn of_deliveries(tenant: &TenantId, filter: &ActivityFilter) -> Dynamic {
    let mut query;
    if let Some(id) = filter.provider_message_id.as_deref() {
        query = Dynamic::new(BY_MESSAGE);
        query.value(tenant.as_str()).and_in("m.provider_message_id", [id]);
        query.sql(" AND d.tenant = ").value(tenant.as_str());
    } else {
        query = Dynamic::new(DELIVERIES);
        query.value(tenant.as_str());
    }
    query
        .and_in("d.error_code", filter.code.as_deref())
        .and_in("d.event_id", filter.event.as_deref())
        .and_in("d.event_type", filter.event_type.as_deref());
    if let Some(who) = &filter.who {
        query.and_in("d.user_id", who.users.iter().map(String::as_str));
        if who.users.is_empty() {
            // Deliveries to guests do not have the hash.
            query.sql(" AND false");
        }
    }
    if let Some(from) = filter.from {
        query.sql(" AND d.created_at >= ").value(from);
    }
    if let Some(to) = filter.to {
        query.sql(" AND d.created_at < ").value(to);
    }
    query
}

fn page_of_deliveries(
    tenant: &TenantId,
    filter: &ActivityFilter,
    after: Option<Cursor>,
    limit: u32,
) -> Dynamic {
    let mut query = of_deliveries(tenant, filter);
    if let Some(after) = after {
        query
            .sql(" AND (d.created_at, d.id) < (")
            .value(after.at)
            .sql(", ")
            .value(after.id)
            .sql(")");
    }
    // A provider's id is that of few messages. Without an order and a limit, the database has no reason to walk all
    // deliveries by time instead of looking the id up.
    if filter.provider_message_id.is_none() {
        query
            .sql(" ORDER BY d.created_at DESC, d.id DESC LIMIT ")
            .value(limit);
    }
    query
}

/// The next rows that the filter finds, newest first.
pub(super) async fn rows(
    session: &mut Session,
    tenant: &TenantId,
    filter: &ActivityFilter,
    driver: Driver,
    after: Option<Cursor>,
    limit: u32,
) -> Result<Vec<Row>, StoreError> {
    let mut rows = Vec::new();
    if driver == Driver::Deliveries {
        let query = page_of_deliveries(tenant, filter, after, limit);
        let found: Vec<DeliveryRow> = query.fetch(session.conn()).await?;
        rows.extend(found.into_iter().map(Row::Delivery));
    } else {
        for person in people(filter) {
            let query = of_decisions(tenant, filter, person, after, limit);
            let found = decisions::fetch(session, query).await?;
            rows.extend(found.into_iter().map(Box::new).map(Row::Decision));
        }
    }
    rows.sort_by_key(|row| std::cmp::Reverse((row.place().at, row.place().id)));
    rows.dedup_by_key(|row| (row.place().at, row.place().id));
    rows.truncate(limit as usize);
    Ok(rows)
}

/// The events that pages up to this place have shown and whose other deliveries may follow it. All deliveries of an event have
/// the same time.
pub(super) async fn shown_before(
    session: &mut Session,
    tenant: &TenantId,
    filter: &ActivityFilter,
    place: Cursor,
) -> Result<HashSet<(String, String)>, StoreError> {
    let mut query = of_deliveries(tenant, filter);
    query
        .sql(" AND d.created_at = ")
        .value(place.at)
        .sql(" AND d.id >= ")
        .value(place.id);
    let rows: Vec<DeliveryRow> = query.fetch(session.conn()).await?;
    Ok(rows.into_iter().map(|row| (row.event_id, row.source)).collect())
}

/// The database's plans of the queries of a filter.
pub(in crate::read_model) async fn explained(
    session: &mut Session,
    tenant: &TenantId,
    filter: &ActivityFilter,
) -> Result<Vec<String>, StoreError> {
    let limit = 51;
    let queries = match Driver::of(filter) {
        Driver::Events => vec![events::query(tenant, filter, None, limit)],
        Driver::Deliveries => vec![page_of_deliveries(tenant, filter, None, limit)],
        Driver::Decisions => people(filter)
            .into_iter()
            .map(|person| of_decisions(tenant, filter, person, None, limit))
            .collect(),
    };
    let mut plans = Vec::new();
    for query in queries {
        plans.extend(query.explain(session.conn()).await?);
    }
    Ok(plans)
}
