//! The state of deliveries (table `deliveries`).

use std::time::Duration;

use carillon_domain::{TenantId, UserId};

use super::{
    DeliveryRow,
    merge::{self, Merged, precedence},
};
use crate::{
    columns::int,
    counters::{Changes, Counter},
    db::{Db, Input, Prunable, Tx, execute, prunable},
    error::StoreError,
};

/// Deliveries that have ended can be deleted, except those with an open dead letter, which may be replayed: their end
/// is counted already, and a new row would be counted again. Deliveries that have not ended are kept. The age is that
/// of the last change, which is later than the creation time in the index.
const PRUNABLE: Prunable = prunable!(
    "deliveries",
    "created_at",
    "updated_at < $1 AND (precedence & 255) >= 40 AND (status <> 'dead_lettered' OR NOT EXISTS
        (SELECT 1 FROM dead_letters AS l WHERE l.delivery_id = deliveries.id AND l.state = 'open'))"
);

/// The effect of a batch on the auditor's counts.
#[derive(sqlx::FromRow)]
struct Books {
    known: i64,
    ended_before: i64,
    ended_after: i64,
}

/// Computes one row for a whole batch: the number of rows that exist, and of those that have ended before and after
/// the batch. (The last byte of a precedence is the rank; a state has ended from rank 40 on.)
const BOOKS: &str = "SELECT COUNT(d.id) AS known,
        CAST(COALESCE(SUM(CASE WHEN (d.precedence & 255) >= 40 THEN 1 ELSE 0 END), 0) AS BIGINT) AS ended_before,
        CAST(COALESCE(SUM(CASE WHEN ((CASE WHEN d.precedence > i.precedence THEN d.precedence ELSE i.precedence END)
            & 255) >= 40 THEN 1 ELSE 0 END), 0) AS BIGINT) AS ended_after
    FROM input i LEFT JOIN deliveries d ON d.id = i.id";

/// Takes the new row's value if its state is the greater one; see `merge::greater`.
macro_rules! of_greater {
    ($column:literal) => {
        concat!(
            ", ",
            $column,
            " = CASE WHEN (excluded.precedence, excluded.status, excluded.updated_at,
                COALESCE(excluded.error_code, ''), COALESCE(excluded.reason, ''))
                > (d.precedence, d.status, d.updated_at, COALESCE(d.error_code, ''), COALESCE(d.reason, ''))
            THEN excluded.",
            $column,
            " ELSE d.",
            $column,
            " END"
        )
    };
}

/// Takes the value that was set last; see `merge::Said`.
macro_rules! said_last {
    ($column:literal) => {
        concat!(
            ", ",
            $column,
            " = CASE WHEN (excluded.",
            $column,
            "_of, COALESCE(excluded.",
            $column,
            ", ''))
                > (d.",
            $column,
            "_of, COALESCE(d.",
            $column,
            ", ''))
            THEN excluded.",
            $column,
            " ELSE d.",
            $column,
            " END, ",
            $column,
            "_of = CASE WHEN excluded.",
            $column,
            "_of > d.",
            $column,
            "_of
            THEN excluded.",
            $column,
            "_of ELSE d.",
            $column,
            "_of END"
        )
    };
}

/// Takes the values of the earliest decision.
macro_rules! earliest {
    ($column:literal) => {
        concat!(
            ", ",
            $column,
            " = CASE WHEN excluded.queued_at IS NULL THEN d.",
            $column,
            " WHEN d.queued_at IS NULL
                OR (excluded.queued_at, excluded.queued_reason, excluded.queued_detail)
                    < (d.queued_at, d.queued_reason, d.queued_detail)
            THEN excluded.",
            $column,
            " ELSE d.",
            $column,
            " END"
        )
    };
}

/// Merges between batches as [`merge`] does within one. It sets no indexed column, because SQLite rewrites the index
/// entries of a column that is set, even if its value stays.
const UPSERT: &str = concat!(
    "INSERT INTO deliveries AS d (id, tenant, event_id, source, event_type, category, user_id, channel,
        status, generation, attempt, precedence, reason, error_code, to_masked, to_masked_of, provider,
        provider_of, provider_message_id, provider_message_id_of, template, template_of, queued_at, queued_reason,
        queued_detail, created_at, updated_at)
    SELECT id, tenant, event_id, source, event_type, category, user_id, channel,
        status, generation, attempt, precedence, reason, error_code, to_masked, to_masked_of, provider,
        provider_of, provider_message_id, provider_message_id_of, template, template_of, queued_at, queued_reason,
        queued_detail, created_at, updated_at
    FROM input WHERE true
    ON CONFLICT (id) DO UPDATE SET
        precedence = CASE WHEN excluded.precedence > d.precedence THEN excluded.precedence ELSE d.precedence END",
    of_greater!("status"),
    of_greater!("generation"),
    of_greater!("attempt"),
    of_greater!("reason"),
    of_greater!("error_code"),
    of_greater!("updated_at"),
    said_last!("to_masked"),
    said_last!("provider"),
    said_last!("provider_message_id"),
    said_last!("template"),
    earliest!("queued_at"),
    earliest!("queued_reason"),
    earliest!("queued_detail"),
);

/// Writes the rows of a batch, and counts deliveries that are new, have ended, or have been reopened.
pub(super) async fn apply(
    tx: &mut Tx,
    rows: &[DeliveryRow],
    changes: &mut Changes,
) -> Result<(), StoreError> {
    let merged = merge::merge(rows);
    let books: Vec<Books> = Input::new(merged.len())
        .uuid("id", merged.iter().map(|delivery| delivery.row.id.0))
        .big(
            "precedence",
            merged.iter().map(|delivery| precedence(delivery.row.state)),
        )
        .fetch(tx.conn(), BOOKS)
        .await?;
    let sum = |of: fn(&Books) -> i64| books.iter().map(of).sum::<i64>();
    let new = i64::try_from(merged.len()).unwrap_or(i64::MAX) - sum(|books| books.known);
    let ended = sum(|books| books.ended_after) - sum(|books| books.ended_before);
    changes.add(Counter::Ended, ended);
    changes.add(Counter::Pending, new - ended);
    input(&merged).execute(tx.conn(), UPSERT).await?;
    Ok(())
}

fn input<'a>(merged: &'a [Merged<'a>]) -> Input<'a> {
    let rows = || merged.iter().map(|delivery| delivery.row);
    Input::new(merged.len())
        .uuid("id", rows().map(|row| row.id.0))
        .text("tenant", rows().map(|row| row.tenant.as_str()))
        .text("event_id", rows().map(|row| row.event_id.as_str()))
        .text("source", rows().map(|row| &*row.source))
        .text("event_type", rows().map(|row| &*row.event_type))
        .text("category", rows().map(|row| &*row.category))
        .opt_text(
            "user_id",
            rows().map(|row| row.user_id.as_ref().map(UserId::as_str)),
        )
        .text("channel", rows().map(|row| row.channel.as_str()))
        .text("status", rows().map(|row| row.state.status.as_str()))
        .int("generation", rows().map(|row| int(row.state.generation)))
        .int("attempt", rows().map(|row| int(row.state.attempt)))
        .big("precedence", rows().map(|row| precedence(row.state)))
        .opt_text("reason", rows().map(|row| row.reason.as_deref()))
        .opt_text("error_code", rows().map(|row| row.error_code.as_deref()))
        .opt_text(
            "to_masked",
            merged.iter().map(|delivery| delivery.to_masked.value),
        )
        .big(
            "to_masked_of",
            merged.iter().map(|delivery| delivery.to_masked.of),
        )
        .opt_text("provider", merged.iter().map(|delivery| delivery.provider.value))
        .big("provider_of", merged.iter().map(|delivery| delivery.provider.of))
        .opt_text(
            "provider_message_id",
            merged.iter().map(|delivery| delivery.provider_message_id.value),
        )
        .big(
            "provider_message_id_of",
            merged.iter().map(|delivery| delivery.provider_message_id.of),
        )
        .opt_text(
            "template",
            merged.iter().map(|delivery| delivery.template.value.as_deref()),
        )
        .big("template_of", merged.iter().map(|delivery| delivery.template.of))
        .opt_time(
            "queued_at",
            merged
                .iter()
                .map(|delivery| delivery.queued.map(|queued| queued.at)),
        )
        .opt_text(
            "queued_reason",
            merged
                .iter()
                .map(|delivery| delivery.queued.map(|queued| queued.reason)),
        )
        .opt_text(
            "queued_detail",
            merged
                .iter()
                .map(|delivery| delivery.queued.map(|queued| queued.detail.as_str())),
        )
        .time("created_at", rows().map(|row| row.created_at))
        .time("updated_at", rows().map(|row| row.at))
}

/// Removes deliveries that ended longer ago than `age`. The auditor's counts stay. Returns their number.
pub(super) async fn prune(db: &Db, age: Duration) -> Result<u64, StoreError> {
    db.prune(PRUNABLE, age).await
}

/// Erases a user's id and addresses. A state that arrives later does not restore them.
pub(super) async fn erase_user(tx: &mut Tx, tenant: &TenantId, user: &UserId) -> Result<(), StoreError> {
    execute!(
        tx,
        "UPDATE deliveries SET to_masked = NULL, to_masked_of = $1, user_id = NULL
        WHERE tenant = $2 AND user_id = $3",
        i64::MAX,
        tenant.as_str(),
        user.as_str()
    )?;
    Ok(())
}
