//! Decisions, one row each (table `decisions`).

use std::time::Duration;

use carillon_domain::{
    Channel, DeliveryId, EventId, TenantId, Timestamp, UserId,
    decide::{Decision, Outcome, Reason},
};
use serde::Serialize;
use uuid::Uuid;

use super::EventRow;
use crate::{
    columns::{self, int},
    db::{Db, Dynamic, Input, Prunable, Session, Tx, execute, prunable},
    error::StoreError,
    page::{Cursor, Page, PageOf},
};

const PRUNABLE: Prunable = prunable!("decisions", "at");
/// The columns of [`Row`].
macro_rules! columns {
    () => {
        "d.at, d.id, d.event_id, d.source, d.event_type, d.category, d.recipient, d.user_id, d.channel, d.outcome, d.reason,
        d.sentence, d.to_masked, d.until, d.delivery_id"
    };
}

/// The beginning of a query for decisions under the alias `d`.
pub(super) const SELECT_D: &str = concat!("SELECT ", columns!(), " FROM decisions d WHERE d.tenant = ");

/// The first decisions of records; `input` has the range of their ids, which begins with [`first_id`].
pub(super) const PLACED: &str = concat!(
    "SELECT i.place, ",
    columns!(),
    " FROM input i JOIN decisions d ON d.tenant = i.of_tenant AND d.at = i.decided_at
        AND d.id >= i.first_id AND d.id <= i.last_id"
);

const SELECT: &str =
    "SELECT at, id, event_id, source, event_type, category, recipient, user_id, channel, outcome, reason,
        sentence, to_masked, until, delivery_id
    FROM decisions WHERE tenant = ";

/// Conditions on decisions. A list matches if any of its values does; an empty list always matches.
#[derive(Debug, Clone, Default)]
pub struct DecisionFilter {
    /// Recipient.
    pub user: Vec<String>,
    /// Event.
    pub event: Vec<String>,
    /// Channel.
    pub channel: Vec<Channel>,
    /// Outcome.
    pub outcome: Vec<Outcome>,
    /// Reason.
    pub reason: Vec<Reason>,
    /// Earliest time of the decision.
    pub from: Option<Timestamp>,
    /// Time of the decision before this.
    pub to: Option<Timestamp>,
}

/// A decision as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecisionView {
    /// The id of the row.
    #[serde(skip)]
    pub id: Uuid,
    /// The time of the decision.
    pub at: Timestamp,
    /// The event's id.
    pub event_id: EventId,
    /// The event's source.
    pub source: String,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its category.
    pub category: String,
    /// The recipient for display, with addresses masked.
    pub recipient: String,
    /// The recipient's id, if it is a known user.
    pub user_id: Option<UserId>,
    /// The channel.
    pub channel: Channel,
    /// The consequence.
    pub outcome: Outcome,
    /// The reason, as a stable word.
    pub reason: Reason,
    /// The reason, as a sentence.
    pub sentence: String,
    /// The address, masked.
    pub to_masked: Option<String>,
    /// The time until which the message waits.
    pub until: Option<Timestamp>,
    /// The resulting delivery, if there is one.
    pub delivery_id: Option<DeliveryId>,
}

#[derive(sqlx::FromRow)]
struct Row {
    at: Timestamp,
    id: Uuid,
    event_id: String,
    source: String,
    event_type: String,
    category: String,
    recipient: String,
    user_id: Option<String>,
    channel: String,
    outcome: String,
    reason: String,
    sentence: String,
    to_masked: Option<String>,
    until: Option<Timestamp>,
    delivery_id: Option<Uuid>,
}

impl Row {
    fn view(self) -> Result<DecisionView, StoreError> {
        Ok(DecisionView {
            id: self.id,
            at: self.at,
            event_id: EventId::from(self.event_id),
            source: self.source,
            event_type: self.event_type,
            category: self.category,
            recipient: self.recipient,
            user_id: self.user_id.map(UserId::from),
            channel: columns::parse(&self.channel, "a channel")?,
            outcome: columns::parse(&self.outcome, "an outcome")?,
            reason: columns::parse(&self.reason, "a reason")?,
            sentence: self.sentence,
            to_masked: self.to_masked,
            until: self.until,
            delivery_id: self.delivery_id.map(DeliveryId),
        })
    }
}

/// A decision with the place of its event in a list.
#[derive(sqlx::FromRow)]
pub(super) struct PlacedRow {
    place: i32,
    #[sqlx(flatten)]
    row: Row,
}

impl PlacedRow {
    pub(super) fn place(&self) -> i32 {
        self.place
    }

    pub(super) fn view(self) -> Result<DecisionView, StoreError> {
        self.row.view()
    }
}

/// The decisions that a query finds.
pub(super) async fn fetch(session: &mut Session, query: Dynamic) -> Result<Vec<DecisionView>, StoreError> {
    let rows: Vec<Row> = query.fetch(session.conn()).await?;
    rows.into_iter().map(Row::view).collect()
}

/// Inserts the decisions of events that the read model did not know.
pub(super) async fn insert(tx: &mut Tx, events: &[&EventRow]) -> Result<(), StoreError> {
    let rows: Vec<(&EventRow, Uuid, &Decision)> = events.iter().flat_map(|event| of_event(event)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    Input::new(rows.len())
        .text("tenant", rows.iter().map(|(event, ..)| event.tenant.as_str()))
        .time("at", rows.iter().map(|(event, ..)| event.at))
        .uuid("id", rows.iter().map(|(_, id, _)| *id))
        .text("event_id", rows.iter().map(|(event, ..)| event.event_id.as_str()))
        .text("source", rows.iter().map(|(event, ..)| &*event.source))
        .text("event_type", rows.iter().map(|(event, ..)| &*event.event_type))
        .text("category", rows.iter().map(|(_, _, one)| &*one.category))
        .text("recipient", rows.iter().map(|(_, _, one)| one.recipient.as_str()))
        .opt_text(
            "user_id",
            rows.iter()
                .map(|(_, _, one)| one.user_id.as_ref().map(UserId::as_str)),
        )
        .text("channel", rows.iter().map(|(_, _, one)| one.channel.as_str()))
        .text("outcome", rows.iter().map(|(_, _, one)| one.outcome.into()))
        .text("reason", rows.iter().map(|(_, _, one)| one.reason.into()))
        .text("sentence", rows.iter().map(|(_, _, one)| one.sentence.as_str()))
        .opt_uuid(
            "address_hash",
            rows.iter().map(|(_, _, one)| one.address_hash.map(|hash| hash.0)),
        )
        .opt_text("to_masked", rows.iter().map(|(_, _, one)| one.to_masked.as_deref()))
        .opt_time("until", rows.iter().map(|(_, _, one)| one.until))
        .opt_uuid("delivery_id", rows.iter().map(|(_, _, one)| one.delivery_id.map(|id| id.0)))
        .execute(
            tx.conn(),
            "INSERT INTO decisions (tenant, at, id, event_id, source, event_type, category, recipient, user_id, channel,
                outcome, reason, sentence, address_hash, to_masked, until, delivery_id)
            SELECT tenant, at, id, event_id, source, event_type, category, recipient, user_id, channel,
                outcome, reason, sentence, address_hash, to_masked, until, delivery_id
            FROM input WHERE true
            ON CONFLICT (tenant, at, id) DO NOTHING",
        )
        .await?;
    Ok(())
}

/// The decisions of an event with their ids. An id follows from the record of the event and the decision's place, so that a
/// rebuild gives the same rows.
fn of_event(event: &EventRow) -> impl Iterator<Item = (&EventRow, Uuid, &Decision)> {
    let origin = &event.origin;
    let record = first_id(&origin.topic, origin.partition, origin.offset, int(event.part)).as_u128();
    // The ids of an event's decisions follow one another in their order.
    (0..)
        .zip(&event.decisions)
        .map(move |(place, decision)| (event, Uuid::from_u128(record.wrapping_add(place)), decision))
}

/// The id of the first decision of a record.
pub(super) fn first_id(topic: &str, partition: i32, offset: i64, part: i32) -> Uuid {
    let record = format!("{topic}/{partition}/{offset}/{part}");
    Uuid::new_v5(&Uuid::NAMESPACE_OID, record.as_bytes())
}

pub(super) async fn page(
    session: &mut Session,
    tenant: &TenantId,
    filter: &DecisionFilter,
    page: Page,
) -> Result<PageOf<DecisionView>, StoreError> {
    let mut query = Dynamic::new(SELECT);
    query
        .value(tenant.as_str())
        .and_in("user_id", filter.user.iter().map(String::as_str))
        .and_in("channel", filter.channel.iter().map(|channel| channel.as_str()))
        .and_in("outcome", filter.outcome.iter().map(AsRef::as_ref))
        .and_in("reason", filter.reason.iter().map(AsRef::as_ref))
        .and_in("event_id", filter.event.iter().map(String::as_str));
    if !filter.event.is_empty() {
        // The events' own table knows when they were decided, so that no index by event is needed here.
        query
            .sql(" AND at IN (SELECT at FROM decided_events WHERE tenant = ")
            .value(tenant.as_str())
            .and_in("event_id", filter.event.iter().map(String::as_str))
            .sql(")");
    }
    if is_about_unsent(filter) {
        // The partial indexes are used for a query that repeats their condition.
        query.sql(" AND outcome <> 'send'");
    }
    if let Some(from) = filter.from {
        query.sql(" AND at >= ").value(from);
    }
    if let Some(to) = filter.to {
        query.sql(" AND at < ").value(to);
    }
    if let Some(after) = page.after {
        query
            .sql(" AND (at, id) < (")
            .value(after.at)
            .sql(", ")
            .value(after.id)
            .sql(")");
    }
    query
        .sql(" ORDER BY at DESC, id DESC LIMIT ")
        .value(page.rows() + 1);
    let rows: Vec<Row> = query.fetch(session.conn()).await?;
    let views = rows.into_iter().map(Row::view).collect::<Result<Vec<_>, _>>()?;
    Ok(PageOf::cut(views, &page, |view| Cursor {
        at: view.at,
        id: view.id,
    }))
}

/// Whether no decision to send meets the filter.
fn is_about_unsent(filter: &DecisionFilter) -> bool {
    let by_outcome = !filter.outcome.is_empty() && !filter.outcome.contains(&Outcome::Send);
    let by_reason = !filter.reason.is_empty() && filter.reason.iter().all(|reason| !reason.sends());
    by_outcome || by_reason
}

/// Deletes decisions that were made longer ago than `age`. Returns the number of rows.
pub(super) async fn prune(db: &Db, age: Duration) -> Result<u64, StoreError> {
    db.prune(PRUNABLE, age).await
}

/// Deletes the decisions about a user.
pub(super) async fn erase_user(tx: &mut Tx, tenant: &TenantId, user: &UserId) -> Result<(), StoreError> {
    execute!(
        tx,
        "DELETE FROM decisions WHERE tenant = $1 AND user_id = $2",
        tenant.as_str(),
        user.as_str()
    )?;
    Ok(())
}
