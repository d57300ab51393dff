//! The steps of deliveries' timelines: those of attempts (table `attempts`), and the decision to send (columns of
//! `deliveries`).

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use carillon_domain::{
    DeliveryId, DeliveryState, DeliveryStatus, Timestamp, clock::later, status::TimelineStep,
};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{AttemptRow, DeliveryView, StepView, merge::precedence};
use crate::{
    columns::int,
    db::{Document, Input, Session, Tx, fetch},
    error::StoreError,
};

const STEPS: &str = "an attempt's steps";
/// The longest time by which the clock of a provider, whose receipt may have set a delivery's state, is behind ours.
const BEHIND: Duration = Duration::from_hours(24);

/// The rows of deliveries' present attempts, and of those before them. A step is between the delivery's creation and its last change,
/// so PostgreSQL need not read the partitions of other days.
const PRESENT: &str = "SELECT a.delivery_id, a.attempt, a.due_at, a.counted
    FROM input i JOIN attempts a ON a.created_at = i.created_at AND a.delivery_id = i.id AND a.generation = i.generation
        AND a.attempt >= i.attempt - 1 AND a.attempt <= i.attempt AND a.at >= i.created_at AND a.at < i.until";

#[derive(sqlx::FromRow)]
struct Row {
    generation: i32,
    attempt: i32,
    counted: Option<i32>,
    provider: Option<String>,
    due_at: Option<Timestamp>,
    steps: Document,
}

/// Inserts the steps of records. A repeated record is ignored: the row's key contains a digest of its content.
pub(super) async fn insert(tx: &mut Tx, rows: &[AttemptRow]) -> Result<(), StoreError> {
    // Sorted by key: neighbouring rows share pages, and two members cannot deadlock.
    let mut rows: Vec<&AttemptRow> = rows.iter().filter(|row| !row.steps.is_empty()).collect();
    rows.sort_by_key(|row| (row.created_at, row.delivery_id, row.generation, row.attempt));
    let steps = rows
        .iter()
        .map(|row| Document::of(&row.steps, STEPS))
        .collect::<Result<Vec<_>, _>>()?;
    let documents = || steps.iter().map(|steps| steps.0.as_str());
    Input::new(rows.len())
        .time("created_at", rows.iter().map(|row| row.created_at))
        .uuid("delivery_id", rows.iter().map(|row| row.delivery_id.0))
        .int("generation", rows.iter().map(|row| int(row.generation)))
        .int("attempt", rows.iter().map(|row| int(row.attempt)))
        .time("at", rows.iter().filter_map(|row| row.at()))
        .big(
            "digest",
            rows.iter().zip(documents()).map(|(row, steps)| match &row.receipt_id {
                Some(receipt) => receipt_digest(receipt, row.provider.as_deref()),
                None => digest(row, steps),
            }),
        )
        .opt_int("counted", rows.iter().map(|row| row.counted.map(int)))
        .opt_text("provider", rows.iter().map(|row| row.provider.as_deref()))
        .opt_time("due_at", rows.iter().map(|row| row.due_at))
        .json("steps", documents().map(|steps| Some(steps.into())))
        .execute(
            tx.conn(),
            "INSERT INTO attempts (created_at, delivery_id, generation, attempt, at, digest, counted, provider, due_at, steps)
            SELECT created_at, delivery_id, generation, attempt, at, digest, counted, provider, due_at, steps
            FROM input WHERE true
            ON CONFLICT (created_at, delivery_id, generation, attempt, at, digest) DO NOTHING",
        )
        .await?;
    Ok(())
}

/// The first 64 bits of a SHA-256 over the row's content.
fn digest(row: &AttemptRow, steps: &str) -> i64 {
    let mut hash = Sha256::new();
    hash.update(row.provider.as_deref().unwrap_or_default());
    hash.update([0]);
    hash.update(row.due_at.map_or(0, |due| due.timestamp_micros()).to_le_bytes());
    hash.update(steps);
    let hash = hash.finalize();
    hash.first_chunk().map_or(0, |first| i64::from_le_bytes(*first))
}

/// The digest of a receipt, which does not depend on its time: providers repeat receipts, and some name no time.
pub(super) fn receipt_digest(receipt_id: &str, provider: Option<&str>) -> i64 {
    let mut hash = Sha256::new();
    hash.update("receipt");
    hash.update([0]);
    hash.update(provider.unwrap_or_default());
    hash.update([0]);
    hash.update(receipt_id);
    let hash = hash.finalize();
    hash.first_chunk().map_or(0, |first| i64::from_le_bytes(*first))
}

/// Returns the steps of a delivery, oldest first. A step that several records report is returned once.
pub(super) async fn timeline(session: &mut Session, id: DeliveryId) -> Result<Vec<StepView>, StoreError> {
    let queued = fetch!(
        optional, session => (Option<Timestamp>, Option<String>, Option<String>),
        "SELECT queued_at, queued_reason, queued_detail FROM deliveries WHERE id = $1",
        id.0
    )?;
    let rows = fetch!(
        all, session => Row,
        "SELECT generation, attempt, counted, provider, due_at, steps FROM attempts
        WHERE created_at = (SELECT d.created_at FROM deliveries d WHERE d.id = $1) AND delivery_id = $1",
        id.0
    )?;
    let mut timeline = Vec::new();
    if let Some((Some(at), code, detail)) = queued {
        timeline.push(StepView {
            at,
            status: DeliveryStatus::Queued,
            attempt: 0,
            attempts: 0,
            generation: 0,
            provider: None,
            code,
            detail,
            due_at: None,
        });
    }
    // A receipt names its attempt, whose number among those that count stands in the worker's record.
    let mut counted = BTreeMap::new();
    for row in &rows {
        let known = counted.entry((row.generation, row.attempt)).or_insert(None);
        *known = row.counted.max(*known);
    }
    for row in rows {
        let counted = counted.get(&(row.generation, row.attempt)).copied().flatten();
        let attempts = counted.unwrap_or(row.attempt).unsigned_abs();
        let steps: Vec<TimelineStep> = row.steps.parse(STEPS)?;
        let last = steps.len().saturating_sub(1);
        timeline.extend(steps.into_iter().enumerate().map(|(index, step)| StepView {
            at: step.at,
            status: step.status,
            attempt: row.attempt.unsigned_abs(),
            attempts,
            generation: row.generation.unsigned_abs(),
            provider: row.provider.clone(),
            code: step.code,
            detail: step.detail,
            due_at: row.due_at.filter(|_| index == last),
        }));
    }
    timeline.sort_by(|a, b| order(a).cmp(&order(b)));
    timeline.dedup_by(|a, b| key(a) == key(b));
    Ok(timeline)
}

#[derive(sqlx::FromRow)]
struct PresentAttempt {
    delivery_id: Uuid,
    attempt: i32,
    due_at: Option<Timestamp>,
    counted: Option<i32>,
}

/// Fills in what the steps say of deliveries: the number of attempts that count, and the time of the next attempt. Deliveries that were
/// tried once at most and do not wait are complete, so usually nothing is read.
pub(super) async fn fill(session: &mut Session, views: &mut [DeliveryView]) -> Result<(), StoreError> {
    let is_waiting = |view: &DeliveryView| view.status == DeliveryStatus::Retrying;
    let open: Vec<&DeliveryView> = views
        .iter()
        .filter(|view| view.attempt > 1 || is_waiting(view))
        .collect();
    if open.is_empty() {
        return Ok(());
    }
    let rows: Vec<PresentAttempt> = Input::new(open.len())
        .uuid("id", open.iter().map(|view| view.id.0))
        .time("created_at", open.iter().map(|view| view.created_at))
        .int("generation", open.iter().map(|view| int(view.generation)))
        .int("attempt", open.iter().map(|view| int(view.attempt)))
        .time("until", open.iter().map(|view| later(view.updated_at, BEHIND)))
        .fetch(session.conn(), PRESENT)
        .await?;
    let mut by_delivery: HashMap<Uuid, Vec<PresentAttempt>> = HashMap::new();
    for row in rows {
        by_delivery.entry(row.delivery_id).or_default().push(row);
    }
    for view in views {
        let Some(rows) = by_delivery.get(&view.id.0) else {
            continue;
        };
        let (attempt, is_waiting) = (int(view.attempt), is_waiting(view));
        let present = rows.iter().filter(|row| row.attempt == attempt);
        // An attempt that no worker began, such as a cancelled one, leaves the number of those before it.
        let counted = present.clone().filter_map(|row| row.counted).max();
        let counted = counted.or_else(|| rows.iter().filter_map(|row| row.counted).max());
        if let Some(counted) = counted {
            view.attempts = counted.unsigned_abs();
        }
        if is_waiting {
            view.next_attempt_at = present.filter_map(|row| row.due_at).max();
        }
    }
    Ok(())
}

/// The identity of a step within its delivery.
fn key(step: &StepView) -> (Timestamp, i64, DeliveryStatus) {
    let state = DeliveryState {
        generation: step.generation,
        attempt: step.attempt,
        status: step.status,
    };
    (step.at, precedence(state), step.status)
}

/// The order of steps. Of those with one key, the order does not depend on that of the records.
fn order(step: &StepView) -> impl Ord + use<'_> {
    let (at, precedence, status) = key(step);
    (
        (at, precedence, status.as_str()),
        (&step.code, &step.detail, &step.provider, step.due_at),
    )
}
