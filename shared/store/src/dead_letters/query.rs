//! Queries for dead letters.

use std::time::Duration;

use carillon_domain::{DeliveryId, TenantId, Timestamp};
use uuid::Uuid;

use super::{DeadLetterFilter, DeadLetterGroup, DeadLetterView, EVENTS, queue_name};
use crate::{
    columns::{self, unsigned},
    db::{Document, Dynamic, Session},
    error::StoreError,
    page::{Cursor, Page, PageOf},
};

const SELECT: &str = "SELECT id, source_topic, queue, class, provider, code, fingerprint, reason, attempts,
    first_failed_at, dead_at, state, delivery_id, event_type, headers, value
    FROM dead_letters WHERE tenant = ";

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    source_topic: String,
    queue: String,
    class: String,
    provider: Option<String>,
    code: String,
    fingerprint: String,
    reason: String,
    attempts: i32,
    first_failed_at: Timestamp,
    dead_at: Timestamp,
    state: String,
    delivery_id: Option<Uuid>,
    event_type: Option<String>,
    headers: Document,
    value: Vec<u8>,
}

impl Row {
    fn view(self) -> Result<DeadLetterView, StoreError> {
        Ok(DeadLetterView {
            id: self.id,
            source_topic: self.source_topic,
            channel: match self.queue.as_str() {
                EVENTS => None,
                channel => Some(columns::parse(channel, "a channel")?),
            },
            class: self.class,
            provider: self.provider,
            code: self.code,
            fingerprint: self.fingerprint,
            reason: self.reason,
            attempts: self.attempts.unsigned_abs(),
            first_failed_at: self.first_failed_at,
            dead_at: self.dead_at,
            state: columns::parse(&self.state, "a dead letter's state")?,
            delivery_id: self.delivery_id.map(DeliveryId),
            event_type: self.event_type,
            headers: self.headers.parse("headers")?,
            value: self.value,
        })
    }
}

pub(super) async fn page(
    session: &mut Session,
    tenant: &TenantId,
    filter: &DeadLetterFilter,
    page: Page,
) -> Result<PageOf<DeadLetterView>, StoreError> {
    let mut query = Dynamic::new(SELECT);
    query.value(tenant.as_str());
    rows_of(&mut query, filter, &page);
    let rows: Vec<Row> = query.fetch(session.conn()).await?;
    let views = rows.into_iter().map(Row::view).collect::<Result<Vec<_>, _>>()?;
    Ok(PageOf::cut(views, &page, |view| Cursor {
        at: view.dead_at,
        id: view.id,
    }))
}

/// The places of dead letters, newest first, without their bytes.
pub(super) async fn places(
    session: &mut Session,
    tenant: &TenantId,
    filter: &DeadLetterFilter,
    page: Page,
) -> Result<PageOf<Cursor>, StoreError> {
    let mut query = Dynamic::new("SELECT dead_at, id FROM dead_letters WHERE tenant = ");
    query.value(tenant.as_str());
    rows_of(&mut query, filter, &page);
    let rows: Vec<(Timestamp, Uuid)> = query.fetch(session.conn()).await?;
    let places = rows.into_iter().map(|(at, id)| Cursor { at, id }).collect();
    Ok(PageOf::cut(places, &page, |place| *place))
}

/// Appends the filter's conditions, the order and the bounds of a page.
fn rows_of(query: &mut Dynamic, filter: &DeadLetterFilter, page: &Page) {
    conditions(query, filter);
    if let Some(after) = page.after {
        query
            .sql(" AND (dead_at, id) < (")
            .value(after.at)
            .sql(", ")
            .value(after.id)
            .sql(")");
    }
    query
        .sql(" ORDER BY dead_at DESC, id DESC LIMIT ")
        .value(page.rows() + 1);
}

/// Appends the filter's conditions. The list and the jobs share them, so that a job selects what the list shows.
pub(super) fn conditions(query: &mut Dynamic, filter: &DeadLetterFilter) {
    query
        .and_in("id", filter.ids.iter().copied())
        .and_in("state", filter.state.iter().map(|state| <&str>::from(*state)))
        .and_in("queue", filter.queue.iter().copied().map(queue_name))
        .and_in("class", filter.class.iter().map(|class| <&str>::from(*class)))
        .and_in("provider", filter.provider.iter().map(String::as_str))
        .and_in("code", filter.code.iter().map(String::as_str))
        .and_in("fingerprint", filter.fingerprint.iter().map(String::as_str))
        .and_in("event_type", filter.event_type.iter().map(String::as_str))
        .and_in("replay_job", filter.replayed_by.iter().copied())
        .and_not_in("fingerprint", filter.without.iter().map(String::as_str));
    if let Some(from) = filter.from {
        query.sql(" AND dead_at >= ").value(from);
    }
    if let Some(to) = filter.to {
        query.sql(" AND dead_at < ").value(to);
    }
}

pub(super) async fn one(
    session: &mut Session,
    tenant: &TenantId,
    id: Uuid,
) -> Result<Option<DeadLetterView>, StoreError> {
    let mut query = Dynamic::new(SELECT);
    query.value(tenant.as_str()).sql(" AND id = ").value(id);
    let rows: Vec<Row> = query.fetch(session.conn()).await?;
    rows.into_iter().next().map(Row::view).transpose()
}

pub(super) async fn of_delivery(
    session: &mut Session,
    tenant: &TenantId,
    delivery: DeliveryId,
) -> Result<Vec<DeadLetterView>, StoreError> {
    let mut query = Dynamic::new(SELECT);
    query
        .value(tenant.as_str())
        .sql(" AND delivery_id = ")
        .value(delivery.0)
        .sql(" ORDER BY dead_at DESC, id DESC LIMIT 100");
    let rows: Vec<Row> = query.fetch(session.conn()).await?;
    rows.into_iter().map(Row::view).collect()
}

#[derive(sqlx::FromRow)]
struct GroupRow {
    fingerprint: String,
    queue: String,
    class: String,
    provider: Option<String>,
    code: String,
    open: i64,
    again: i64,
    total: i64,
    last_hour: i64,
    last_day: i64,
    first_at: Timestamp,
    last_at: Timestamp,
    sample_id: Uuid,
    sample_reason: String,
    sample_type: Option<String>,
}

const HOUR: Duration = Duration::from_hours(1);

/// The causes, or the one with a fingerprint.
pub(super) async fn groups(
    session: &mut Session,
    tenant: &TenantId,
    fingerprint: Option<&str>,
    now: Timestamp,
) -> Result<Vec<DeadLetterGroup>, StoreError> {
    let mut query = Dynamic::new(
        "WITH causes AS (
            SELECT fingerprint, queue, class, provider, code, COUNT(*) AS total,
                COUNT(*) FILTER (WHERE state = 'open') AS open,
                COUNT(*) FILTER (WHERE state = 'open' AND replay_job IS NOT NULL) AS again,
                COUNT(*) FILTER (WHERE dead_at > ",
    );
    query
        .value(now - HOUR)
        .sql(") AS last_hour, COUNT(*) FILTER (WHERE dead_at > ")
        .value(now - 24 * HOUR)
        .sql(
            ") AS last_day, MIN(dead_at) AS first_at, MAX(dead_at) AS last_at
            FROM dead_letters WHERE tenant = ",
        )
        .value(tenant.as_str())
        .and_in("fingerprint", fingerprint)
        .sql(
            " GROUP BY fingerprint, queue, class, provider, code
        )
        SELECT c.fingerprint, c.queue, c.class, c.provider, c.code, c.open, c.again, c.total, c.last_hour, c.last_day,
            c.first_at, c.last_at, s.id AS sample_id, s.reason AS sample_reason, s.event_type AS sample_type
        FROM causes c JOIN dead_letters s ON s.id = (
            SELECT l.id FROM dead_letters l WHERE l.tenant = ",
        )
        .value(tenant.as_str())
        .sql(
            " AND l.fingerprint = c.fingerprint
            ORDER BY l.dead_at DESC, l.id DESC LIMIT 1
        )
        ORDER BY c.open DESC, c.last_at DESC, c.fingerprint LIMIT 500",
        );
    let rows: Vec<GroupRow> = query.fetch(session.conn()).await?;
    Ok(rows.into_iter().map(GroupRow::group).collect())
}

impl GroupRow {
    fn group(self) -> DeadLetterGroup {
        DeadLetterGroup {
            fingerprint: self.fingerprint,
            queue: self.queue,
            class: self.class,
            provider: self.provider,
            code: self.code,
            open: unsigned(self.open),
            again: unsigned(self.again),
            total: unsigned(self.total),
            last_hour: unsigned(self.last_hour),
            last_day: unsigned(self.last_day),
            first_at: self.first_at,
            last_at: self.last_at,
            sample_id: self.sample_id,
            sample_reason: self.sample_reason,
            sample_type: self.sample_type,
        }
    }
}
