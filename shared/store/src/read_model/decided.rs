//! Decided events (table `decided_events`).

use std::{borrow::Cow, collections::HashSet, time::Duration};

use carillon_domain::{
    DeliveryId, EventId, TenantId, Timestamp, UserId,
    decide::{Decision, Outcome},
    status::EventVerdict,
    waiting::WaitingKind,
};

use super::{EventRow, EventView, decisions};
use crate::{
    columns::{self, int},
    counters::{Changes, Counter},
    db::{Db, Document, Input, Prunable, Session, Tx, execute, fetch, prunable},
    error::StoreError,
};

const DECISIONS: &str = "decisions";
const PRUNABLE: Prunable = prunable!("decided_events", "at");

/// The key of a row.
#[derive(sqlx::FromRow)]
struct RecordKey {
    topic: String,
    partition_id: i32,
    record_offset: i64,
    part: i32,
}

impl RecordKey {
    fn key(&self) -> (&str, i32, i64, i32) {
        (&self.topic, self.partition_id, self.record_offset, self.part)
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    source: String,
    event_type: String,
    at: Timestamp,
    verdict: String,
    part: i32,
    parts: Option<i32>,
    due_at: Option<Timestamp>,
    event: Option<Document>,
    decisions: Document,
}

/// Inserts decided events. A row is identified by the record of its event, so a repeated one counts once.
pub(super) async fn apply(tx: &mut Tx, rows: &[EventRow], changes: &mut Changes) -> Result<(), StoreError> {
    let mut rows: Vec<&EventRow> = rows.iter().collect();
    rows.sort_by(|a, b| key(a).cmp(&key(b)));
    rows.dedup_by(|a, b| key(a) == key(b));
    let documents = rows
        .iter()
        .map(|row| Document::of(&row.decisions, DECISIONS))
        .collect::<Result<Vec<_>, _>>()?;
    // Usually all rows are new. A query of the known ones then returns no row, which costs less than returning new ones.
    let known: Vec<RecordKey> = places(&rows)
        .fetch(
            tx.conn(),
            "SELECT e.topic, e.partition_id, e.record_offset, e.part FROM input i JOIN decided_events e
            ON e.topic = i.topic AND e.partition_id = i.partition_id AND e.record_offset = i.record_offset
                AND e.part = i.part",
        )
        .await?;
    let known: HashSet<_> = known.iter().map(RecordKey::key).collect();
    let fresh = rows.iter().copied().filter(|row| !known.contains(&key(row)));
    let fresh: Vec<&EventRow> = fresh.collect();
    for row in &fresh {
        count(row, changes);
    }
    decisions::insert(tx, &fresh).await?;
    input(&rows, &documents)
        .execute(
            tx.conn(),
            "INSERT INTO decided_events (topic, partition_id, record_offset, part, tenant, event_id, source,
                event_type, at, verdict, via_gateway, user_id, parts, due_at, event, decisions)
            SELECT topic, partition_id, record_offset, part, tenant, event_id, source,
                event_type, at, verdict, via_gateway, user_id, parts, due_at, event, decisions
            FROM input WHERE true
            ON CONFLICT (topic, partition_id, record_offset, part) DO NOTHING",
        )
        .await?;
    Ok(())
}

fn key(row: &EventRow) -> (&str, i32, i64, i32) {
    (
        &row.origin.topic,
        row.origin.partition,
        row.origin.offset,
        int(row.part),
    )
}

fn count(row: &EventRow, changes: &mut Changes) {
    // A deferred delivery was counted when it was deferred.
    let is_new = |id: &DeliveryId| {
        row.release
            .as_ref()
            .is_none_or(|release| !release.deliveries.contains(id))
    };
    let produced = row
        .decisions
        .iter()
        .filter(|decision| matches!(decision.outcome, Outcome::Send | Outcome::Defer | Outcome::Digest))
        .filter(|decision| decision.delivery_id.as_ref().is_some_and(is_new))
        .count();
    changes.add(Counter::Produced, i64::try_from(produced).unwrap_or(i64::MAX));
    let released = row.release.as_ref().map(|release| release.kind);
    // Of released deliveries, the event was counted when it was decided first.
    if row.part > 0 || (released == Some(WaitingKind::Deliveries) && row.verdict != EventVerdict::Duplicate) {
        return;
    }
    let counted = match row.verdict {
        EventVerdict::Routed => Some(Counter::Routed),
        EventVerdict::Duplicate => Some(Counter::Duplicate),
        EventVerdict::Rejected => Some(Counter::Rejected),
        EventVerdict::Tombstone | EventVerdict::DeletedRow | EventVerdict::NoRecipient => {
            Some(Counter::Skipped)
        }
        EventVerdict::Cancelled => Some(Counter::Cancelled),
        // The scheduler counts the events that it holds.
        EventVerdict::Scheduled => None,
    };
    if let Some(counter) = counted {
        changes.add(counter, 1);
    }
    // The gateway counts an event once, even if it published it several times. A released event was counted when it began
    // to wait.
    if (!row.via_gateway && released.is_none()) || row.verdict == EventVerdict::Duplicate {
        changes.add(Counter::ReadElsewhere, 1);
    }
}

/// The one known user of all decisions, if there is one.
fn only_user(decisions: &[Decision]) -> Option<&str> {
    let first = decisions.first()?.user_id.as_ref()?;
    decisions
        .iter()
        .all(|decision| decision.user_id.as_ref() == Some(first))
        .then(|| first.as_str())
}

fn places<'a>(rows: &[&'a EventRow]) -> Input<'a> {
    Input::new(rows.len())
        .text("topic", rows.iter().map(|row| &*row.origin.topic))
        .int("partition_id", rows.iter().map(|row| row.origin.partition))
        .big("record_offset", rows.iter().map(|row| row.origin.offset))
        .int("part", rows.iter().map(|row| int(row.part)))
}

fn input<'a>(rows: &[&'a EventRow], decisions: &'a [Document]) -> Input<'a> {
    places(rows)
        .text("tenant", rows.iter().map(|row| row.tenant.as_str()))
        .text("event_id", rows.iter().map(|row| row.event_id.as_str()))
        .text("source", rows.iter().map(|row| &*row.source))
        .text("event_type", rows.iter().map(|row| &*row.event_type))
        .time("at", rows.iter().map(|row| row.at))
        .text("verdict", rows.iter().map(|row| <&str>::from(row.verdict)))
        .bool("via_gateway", rows.iter().map(|row| row.via_gateway))
        .opt_text(
            "user_id",
            rows.iter()
                .map(|row| only_user(&row.decisions).or(row.user_id.as_ref().map(UserId::as_str))),
        )
        .int("parts", rows.iter().map(|row| int(row.parts)))
        .opt_time("due_at", rows.iter().map(|row| row.due))
        .json(
            "event",
            rows.iter()
                .map(|row| row.event.as_ref().map(|event| Cow::Borrowed(event.get()))),
        )
        .json(
            "decisions",
            decisions
                .iter()
                .map(|decisions| Some(Cow::Borrowed(decisions.0.as_str()))),
        )
}

/// Returns one view for each source that used the id, ordered by source.
pub(super) async fn views(
    session: &mut Session,
    tenant: &TenantId,
    id: &EventId,
    source: Option<&str>,
) -> Result<Vec<EventView>, StoreError> {
    let rows = fetch!(
        all, session => Row,
        "SELECT source, event_type, at, verdict, part, parts, due_at, event, decisions FROM decided_events
        WHERE tenant = $1 AND event_id = $2 AND ($3 IS NULL OR source = $3)
        ORDER BY source, at, topic, partition_id, record_offset, part",
        tenant.as_str(), id.as_str(), source
    )?;
    let mut views: Vec<EventView> = Vec::new();
    // Parts that the event's decisions have, minus those that were read.
    let mut missing = 0;
    for row in rows {
        let parts = row.missing_after();
        let row = row.view(id)?;
        let is_routed = row.verdict == EventVerdict::Routed;
        match views.last_mut().filter(|view| view.source == row.source) {
            None => {
                missing = 0;
                views.push(row);
            }
            Some(view) => absorb(view, row),
        }
        if is_routed {
            missing += parts;
        }
        if let Some(view) = views.last_mut() {
            view.is_complete = missing <= 0;
        }
    }
    Ok(views)
}

/// The weight of a verdict beside the verdicts on other records of the event.
pub(super) fn weight(verdict: EventVerdict) -> u8 {
    match verdict {
        EventVerdict::Routed => 3,
        EventVerdict::Tombstone
        | EventVerdict::DeletedRow
        | EventVerdict::NoRecipient
        | EventVerdict::Cancelled => 2,
        EventVerdict::Rejected | EventVerdict::Scheduled => 1,
        EventVerdict::Duplicate => 0,
    }
}

/// Merges the rows of one event, which come in the order of their times. The more informative verdict wins: routed before
/// skipped and cancelled, these before rejected. Of a wait and a reject, the later one counts.
fn absorb(view: &mut EventView, row: EventView) {
    let (new, old) = (weight(row.verdict), weight(view.verdict));
    if new > old || (new == old && row.verdict != view.verdict) {
        let event = view.event.take();
        *view = row;
        view.event = view.event.take().or(event);
    } else if view.verdict == EventVerdict::Routed && row.verdict == EventVerdict::Routed {
        view.decisions.extend(row.decisions);
        view.event = view.event.take().or(row.event);
    }
}

impl Row {
    /// The number of parts that follow the first one, less one for each of them.
    fn missing_after(&self) -> i32 {
        match self.part {
            0 => self.parts.unwrap_or(1).max(1) - 1,
            _ => -1,
        }
    }

    fn view(self, id: &EventId) -> Result<EventView, StoreError> {
        Ok(EventView {
            event_id: id.clone(),
            source: self.source,
            event_type: self.event_type,
            at: self.at,
            verdict: columns::parse(&self.verdict, "a verdict")?,
            due: self.due_at,
            is_complete: true,
            event: self.event.map(|event| event.parse("an event")).transpose()?,
            decisions: self.decisions.parse(DECISIONS)?,
        })
    }
}

/// Deletes events that were decided longer ago than `age`. The auditor's counts stay. Returns the number of rows.
pub(super) async fn prune(db: &Db, age: Duration) -> Result<u64, StoreError> {
    db.prune(PRUNABLE, age).await
}

/// Erases the content of events whose decisions concern this user alone.
pub(super) async fn erase_user(tx: &mut Tx, tenant: &TenantId, user: &UserId) -> Result<(), StoreError> {
    execute!(
        tx,
        "UPDATE decided_events SET event = NULL, decisions = $1, user_id = NULL
        WHERE tenant = $2 AND user_id = $3",
        Document("[]".to_owned()),
        tenant.as_str(),
        user.as_str()
    )?;
    Ok(())
}
