//! Steps of deliveries' timelines (table `delivery_history`).

use carillon_domain::{DeliveryId, Timestamp};

use super::{HistoryRow, HistoryView, merge::precedence};
use crate::{
    columns::{self, int},
    db::{Input, Session, Tx, fetch},
    error::StoreError,
};

#[derive(sqlx::FromRow)]
struct Row {
    generation: i32,
    attempt: i32,
    status: String,
    at: Timestamp,
    provider: Option<String>,
    code: Option<String>,
    detail: Option<String>,
    due_at: Option<Timestamp>,
}

/// Inserts steps. A step is identified by delivery, generation, attempt, status and time, so a repeated one is
/// ignored.
pub(super) async fn insert(tx: &mut Tx, rows: &[HistoryRow]) -> Result<(), StoreError> {
    // Sorted by key: neighbouring rows share pages, and two members cannot deadlock.
    let mut rows: Vec<&HistoryRow> = rows.iter().collect();
    rows.sort_by_key(|row| (row.created_at, row.delivery_id, row.state.precedence(), row.at));
    Input::new(rows.len())
        .time("created_at", rows.iter().map(|row| row.created_at))
        .uuid("delivery_id", rows.iter().map(|row| row.delivery_id.0))
        .int("generation", rows.iter().map(|row| int(row.state.generation)))
        .int("attempt", rows.iter().map(|row| int(row.state.attempt)))
        .text("status", rows.iter().map(|row| row.state.status.as_str()))
        .big("precedence", rows.iter().map(|row| precedence(row.state)))
        .time("at", rows.iter().map(|row| row.at))
        .opt_text("provider", rows.iter().map(|row| row.provider.as_deref()))
        .opt_text("code", rows.iter().map(|row| row.code.as_deref()))
        .opt_text("detail", rows.iter().map(|row| row.detail.as_deref()))
        .opt_time("due_at", rows.iter().map(|row| row.due_at))
        .execute(
            tx.conn(),
            "INSERT INTO delivery_history
                (created_at, delivery_id, generation, attempt, status, precedence, at, provider, code, detail, due_at)
            SELECT created_at, delivery_id, generation, attempt, status, precedence, at, provider, code, detail, due_at
            FROM input WHERE true
            ON CONFLICT (created_at, delivery_id, generation, attempt, status, at) DO NOTHING",
        )
        .await?;
    Ok(())
}

/// Returns the steps of a delivery, oldest first.
pub(super) async fn timeline(session: &mut Session, id: DeliveryId) -> Result<Vec<HistoryView>, StoreError> {
    let rows = fetch!(
        all, session => Row,
        "SELECT generation, attempt, status, at, provider, code, detail, due_at FROM delivery_history
        WHERE created_at = (SELECT d.created_at FROM deliveries d WHERE d.id = $1) AND delivery_id = $1
        ORDER BY at, precedence, status",
        id.0
    )?;
    rows.into_iter()
        .map(|row| {
            Ok(HistoryView {
                at: row.at,
                status: columns::parse(&row.status, "a status")?,
                attempt: row.attempt.unsigned_abs(),
                generation: row.generation.unsigned_abs(),
                provider: row.provider,
                code: row.code,
                detail: row.detail,
                due_at: row.due_at,
            })
        })
        .collect()
}
