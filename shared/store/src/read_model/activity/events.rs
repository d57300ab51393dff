//! Events by their records, newest first: the list without a filter on recipients, outcomes or deliveries, and single events.

use carillon_domain::{TenantId, Timestamp};

use super::{ActivityCursor, ActivityFilter, Found, cursor::RecordPlace};
use crate::{
    db::{Dynamic, Session},
    error::StoreError,
};

/// The record that stands for its event: the last one that is no duplicate. The partial indexes of `decided_events` repeat
/// the first condition. The other records of the event are looked up by its id; `part < 1` keeps SQLite from walking one of
/// those indexes for them, and the offset keeps PostgreSQL from joining all records first.
const SELECT: &str = "SELECT e.event_id, e.source, e.at, e.topic, e.partition_id, e.record_offset FROM decided_events e
    WHERE e.part = 0 AND e.verdict <> 'duplicate' AND NOT EXISTS (
        SELECT 1 FROM decided_events n
        WHERE n.tenant = e.tenant AND n.event_id = e.event_id AND n.source = e.source
            AND n.part < 1 AND n.verdict <> 'duplicate'
            AND (n.at, n.topic, n.partition_id, n.record_offset) > (e.at, e.topic, e.partition_id, e.record_offset)
        LIMIT 1 OFFSET 0)
    AND e.tenant = ";

#[derive(sqlx::FromRow)]
struct Row {
    event_id: String,
    source: String,
    at: Timestamp,
    topic: String,
    partition_id: i32,
    record_offset: i64,
}

pub(super) fn query(
    tenant: &TenantId,
    filter: &ActivityFilter,
    after: Option<&RecordPlace>,
    limit: u32,
) -> Dynamic {
    let mut query = Dynamic::new(SELECT);
    query
        .value(tenant.as_str())
        .and_in("e.event_id", filter.event.as_deref())
        .and_in("e.event_type", filter.event_type.as_deref());
    if let Some(from) = filter.from {
        query.sql(" AND e.at >= ").value(from);
    }
    if let Some(to) = filter.to {
        query.sql(" AND e.at < ").value(to);
    }
    if let Some(after) = after {
        query
            .sql(" AND (e.at, e.topic, e.partition_id, e.record_offset) < (")
            .value(after.at)
            .sql(", ")
            .value(after.topic.as_str())
            .sql(", ")
            .value(i64::from(after.partition))
            .sql(", ")
            .value(after.offset)
            .sql(")");
    }
    query
        .sql(" ORDER BY e.at DESC, e.topic DESC, e.partition_id DESC, e.record_offset DESC LIMIT ")
        .value(limit);
    query
}

/// The events of a page and one more, and whether there are no further ones.
pub(super) async fn page(
    session: &mut Session,
    tenant: &TenantId,
    filter: &ActivityFilter,
    after: Option<&RecordPlace>,
    limit: usize,
) -> Result<(Vec<Found>, bool), StoreError> {
    let wanted = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let rows: Vec<Row> = query(tenant, filter, after, wanted).fetch(session.conn()).await?;
    let is_last = rows.len() <= limit;
    let found = rows.into_iter().map(|row| Found {
        place: ActivityCursor::Record(RecordPlace {
            at: row.at,
            topic: row.topic,
            partition: row.partition_id,
            offset: row.record_offset,
        }),
        event_id: row.event_id,
        source: row.source,
        decisions: Vec::new(),
        deliveries: std::collections::HashSet::new(),
    });
    Ok((found.collect(), is_last))
}
