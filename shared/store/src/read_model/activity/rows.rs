//! The rows of a page: each event's records, the decisions of these, and the present statuses of its deliveries.

use std::collections::{BTreeMap, HashMap};

use carillon_domain::{DeliveryId, EventId, TenantId, Timestamp, status::EventVerdict};
use uuid::Uuid;

use super::{ActivityOutcome, ActivityView, Found, MOST_OUTCOMES};
use crate::{
    columns::{self, int},
    db::{Input, Session},
    error::StoreError,
    read_model::{DecisionView, decided, decisions, query::by_ids},
};

#[derive(sqlx::FromRow)]
struct RecordRow {
    place: i32,
    event_type: String,
    at: Timestamp,
    verdict: String,
    due_at: Option<Timestamp>,
    topic: String,
    partition_id: i32,
    record_offset: i64,
    part: i32,
}

pub(super) async fn views(
    session: &mut Session,
    tenant: &TenantId,
    found: Vec<Found>,
) -> Result<Vec<ActivityView>, StoreError> {
    let records = records(session, tenant, &found).await?;
    let mut decided = decisions_of(session, tenant, &records).await?;
    let deliveries = found.iter().flat_map(|found| found.deliveries.iter().copied());
    let named = found.iter().flat_map(|found| &found.decisions);
    let named = named.chain(decided.values().flatten());
    let named = named.filter_map(|decision| decision.delivery_id);
    let ids: Vec<DeliveryId> = named.chain(deliveries.map(DeliveryId)).collect();
    let states = by_ids(session, tenant, ids.into_iter()).await?;
    let states: HashMap<DeliveryId, _> = states.into_iter().map(|view| (view.id, view)).collect();
    let mut views = Vec::with_capacity(found.len());
    for (place, found) in found.into_iter().enumerate() {
        let own: Vec<&RecordRow> = records.iter().filter(|row| is_at(row, place)).collect();
        // Retention may have deleted the event after it was found.
        let Some(last) = own.last() else { continue };
        let mut best = (0, columns::parse(&last.verdict, "a verdict")?, last.due_at);
        for row in &own {
            let verdict: EventVerdict = columns::parse(&row.verdict, "a verdict")?;
            let weight = decided::weight(verdict);
            if weight >= best.0 {
                best = (weight, verdict, row.due_at);
            }
        }
        let all = decided.remove(&int_of(place)).unwrap_or_default();
        let is_found = |decision: &DecisionView| {
            found.decisions.iter().any(|one| one.id == decision.id)
                || decision
                    .delivery_id
                    .is_some_and(|id| found.deliveries.contains(&id.0))
        };
        let (first, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_found);
        let mut outcomes = found.decisions;
        outcomes.extend(first);
        outcomes.sort_by_key(|decision| (decision.at, decision.id));
        outcomes.dedup_by_key(|decision| decision.id);
        outcomes.extend(others);
        let mut outcomes = present(outcomes);
        let has_more = outcomes.len() > MOST_OUTCOMES;
        outcomes.truncate(MOST_OUTCOMES);
        let outcomes = outcomes.into_iter().map(|decision| {
            let state = decision.delivery_id.and_then(|id| states.get(&id));
            ActivityOutcome {
                status: state.map(|state| state.status),
                code: state.and_then(|state| state.error_code.clone()),
                detail: state.and_then(|state| state.detail.clone()),
                decision,
            }
        });
        views.push(ActivityView {
            event_id: EventId::from(found.event_id),
            source: found.source,
            event_type: last.event_type.clone(),
            at: last.at,
            verdict: best.1,
            due: best.2.filter(|_| best.1 == EventVerdict::Scheduled),
            outcomes: outcomes.collect(),
            has_more,
        });
    }
    Ok(views)
}

fn int_of(place: usize) -> i32 {
    i32::try_from(place).unwrap_or(i32::MAX)
}

fn is_at(row: &RecordRow, place: usize) -> bool {
    row.place == int_of(place)
}

/// The records of the events that are no duplicates, oldest first. `place` is that of the event.
async fn records(
    session: &mut Session,
    tenant: &TenantId,
    found: &[Found],
) -> Result<Vec<RecordRow>, StoreError> {
    let mut rows: Vec<RecordRow> = Input::new(found.len())
        .int("place", (0..found.len()).map(int_of))
        .text("tenant", found.iter().map(|_| tenant.as_str()))
        .text("event_id", found.iter().map(|found| found.event_id.as_str()))
        .text("source", found.iter().map(|found| found.source.as_str()))
        .fetch(
            session.conn(),
            "SELECT i.place, e.event_type, e.at, e.verdict, e.due_at, e.topic, e.partition_id, e.record_offset, e.part
            FROM input i JOIN decided_events e
                ON e.tenant = i.tenant AND e.event_id = i.event_id AND e.source = i.source
            WHERE e.verdict <> 'duplicate'",
        )
        .await?;
    rows.sort_by(|a, b| {
        let key = |row: &RecordRow| {
            (
                row.at,
                row.topic.clone(),
                row.partition_id,
                row.record_offset,
                row.part,
            )
        };
        key(a).cmp(&key(b))
    });
    Ok(rows)
}

/// The first decisions of each record, by the place of its event.
async fn decisions_of(
    session: &mut Session,
    tenant: &TenantId,
    records: &[RecordRow],
) -> Result<BTreeMap<i32, Vec<DecisionView>>, StoreError> {
    // One more than are shown tells that there are more.
    let most = u128::try_from(MOST_OUTCOMES).unwrap_or(u128::MAX);
    let firsts: Vec<Uuid> = records
        .iter()
        .map(|row| {
            decisions::first_id(
                &row.topic,
                row.partition_id,
                row.record_offset,
                int(row.part.unsigned_abs()),
            )
        })
        .collect();
    let rows: Vec<decisions::PlacedRow> = Input::new(records.len())
        .int("place", records.iter().map(|row| row.place))
        .text("of_tenant", records.iter().map(|_| tenant.as_str()))
        .time("decided_at", records.iter().map(|row| row.at))
        .uuid("first_id", firsts.iter().copied())
        .uuid(
            "last_id",
            firsts
                .iter()
                .map(|first| Uuid::from_u128(first.as_u128().saturating_add(most))),
        )
        .fetch(session.conn(), decisions::PLACED)
        .await?;
    let mut decided: BTreeMap<i32, Vec<DecisionView>> = BTreeMap::new();
    for row in rows {
        decided.entry(row.place()).or_default().push(row.view()?);
    }
    for decisions in decided.values_mut() {
        decisions.sort_by_key(|decision| (decision.at, decision.id));
    }
    Ok(decided)
}

/// The decisions that count: of those about one message, the last one. A message that has waited was decided several times.
fn present(decisions: Vec<DecisionView>) -> Vec<DecisionView> {
    let is_later = |a: &DecisionView, b: &DecisionView| {
        a.at > b.at
            && a.channel == b.channel
            && a.recipient == b.recipient
            && (a.delivery_id == b.delivery_id || a.delivery_id.is_none() || b.delivery_id.is_none())
    };
    let is_former: Vec<bool> = decisions
        .iter()
        .map(|one| decisions.iter().any(|other| is_later(other, one)))
        .collect();
    let kept = decisions.into_iter().zip(is_former);
    kept.filter(|(_, is_former)| !is_former)
        .map(|(decision, _)| decision)
        .collect()
}
