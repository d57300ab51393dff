//! The steps of deliveries' timelines: those of attempts (table `attempts`), and the decision to send (columns of
//! `deliveries`).

use carillon_domain::{DeliveryId, DeliveryState, DeliveryStatus, Timestamp, status::TimelineStep};
use sha2::{Digest as _, Sha256};

use super::{AttemptRow, StepView, merge::precedence};
use crate::{
    columns::int,
    db::{Document, Input, Session, Tx, fetch},
    error::StoreError,
};

const STEPS: &str = "an attempt's steps";

#[derive(sqlx::FromRow)]
struct Row {
    generation: i32,
    attempt: i32,
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
        .opt_text("provider", rows.iter().map(|row| row.provider.as_deref()))
        .opt_time("due_at", rows.iter().map(|row| row.due_at))
        .json("steps", documents().map(|steps| Some(steps.into())))
        .execute(
            tx.conn(),
            "INSERT INTO attempts (created_at, delivery_id, generation, attempt, at, digest, provider, due_at, steps)
            SELECT created_at, delivery_id, generation, attempt, at, digest, provider, due_at, steps
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
        "SELECT generation, attempt, provider, due_at, steps FROM attempts
        WHERE created_at = (SELECT d.created_at FROM deliveries d WHERE d.id = $1) AND delivery_id = $1",
        id.0
    )?;
    let mut timeline = Vec::new();
    if let Some((Some(at), code, detail)) = queued {
        timeline.push(StepView {
            at,
            status: DeliveryStatus::Queued,
            attempt: 0,
            generation: 0,
            provider: None,
            code,
            detail,
            due_at: None,
        });
    }
    for row in rows {
        let steps: Vec<TimelineStep> = row.steps.parse(STEPS)?;
        let last = steps.len().saturating_sub(1);
        timeline.extend(steps.into_iter().enumerate().map(|(index, step)| StepView {
            at: step.at,
            status: step.status,
            attempt: row.attempt.unsigned_abs(),
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
