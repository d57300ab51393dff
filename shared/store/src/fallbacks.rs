//! Fallbacks that wait (table `fallback_waits`) and acknowledgements of deliveries (table `acknowledgements`). A row of
//! `waiting` that follows other deliveries becomes due as soon as one of them has reached its recipient, or all have failed.
//! The router decides it by the same states, so a row that is not made due in time is decided rightly at its own time.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use carillon_domain::{
    Channel, DeliveryId, DeliveryStatus, Timestamp,
    fallback::{Earlier, EarlierDeliveries, EarlierDelivery, Standing},
    status::TimelineStep,
    waiting::Waiting,
};
use uuid::Uuid;

use crate::{
    api_keys::Principal,
    audit_log::{self, AuditAction},
    columns::{self, int},
    db::{Db, Document, Input, Prunable, Tx, again, execute, fetch, prunable},
    error::StoreError,
};

/// The number of rows that are looked through at a time.
const PAGE: i64 = 500;
const ACKNOWLEDGEMENTS: Prunable = prunable!("acknowledgements", "at");
const WAITS: Prunable = prunable!(
    "fallback_waits",
    "added_at",
    "NOT EXISTS (SELECT 1 FROM waiting AS w WHERE w.id = fallback_waits.waiting_id AND w.state = 'waiting')"
);

/// An app's word that the recipient has seen a message.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledging<'a> {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Its channel.
    pub channel: Channel,
    /// Its generation.
    pub generation: u32,
    /// The attempt with which the timeline shows it.
    pub attempt: u32,
    /// The API key that says so, for the audit log.
    pub who: &'a Principal,
    /// The path of its request, for the audit log.
    pub route: &'a str,
}

/// The first acknowledgement of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Whether it was made by this call.
    pub is_new: bool,
    /// Its time.
    pub at: Timestamp,
    /// The name of the API key.
    pub key_name: String,
    /// The generation with which the timeline shows it.
    pub generation: u32,
    /// The attempt with which the timeline shows it.
    pub attempt: u32,
}

#[derive(sqlx::FromRow)]
struct AcknowledgedRow {
    at: Timestamp,
    key_name: String,
    generation: i32,
    attempt: i32,
}

#[derive(sqlx::FromRow)]
struct SeenRow {
    delivery_id: Uuid,
    channel: String,
}

#[derive(sqlx::FromRow)]
struct StateRow {
    id: Uuid,
    channel: String,
    status: String,
    steps: Option<Document>,
}

#[derive(sqlx::FromRow)]
struct WaitRow {
    waiting_id: Uuid,
    delivery_id: Uuid,
}

/// Fallbacks that wait, and acknowledgements.
#[derive(Debug, Clone)]
pub struct Fallbacks {
    db: Db,
    /// The database of the read model.
    model: Db,
}

impl Fallbacks {
    pub(crate) fn new(db: Db, model: Db) -> Self {
        Self { db, model }
    }

    /// Notes that the recipient has seen a message, once, with an entry of the audit log in the same transaction. Returns the
    /// first acknowledgement of the delivery.
    pub async fn acknowledge(&self, said: Acknowledging<'_>) -> Result<Acknowledgement, StoreError> {
        again(|| self.try_acknowledge(said)).await
    }

    async fn try_acknowledge(&self, said: Acknowledging<'_>) -> Result<Acknowledgement, StoreError> {
        let now = self.db.now();
        let mut tx = self.db.begin().await?;
        let new = execute!(
            tx,
            "INSERT INTO acknowledgements (delivery_id, tenant, channel, generation, attempt, key_name, at)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (delivery_id) DO NOTHING",
            said.delivery_id.0,
            said.who.tenant.as_str(),
            said.channel.as_str(),
            int(said.generation),
            int(said.attempt),
            said.who.name.as_str(),
            now
        )?;
        let is_new = new == 1;
        if is_new {
            audit_log::append(&mut tx, said.who, AuditAction::Acknowledge, said.route, now).await?;
        }
        let row = fetch!(
            one, tx => AcknowledgedRow,
            "SELECT at, key_name, generation, attempt FROM acknowledgements WHERE delivery_id = $1",
            said.delivery_id.0
        )?;
        tx.commit().await?;
        Ok(Acknowledgement {
            is_new,
            at: row.at,
            key_name: row.key_name,
            generation: row.generation.unsigned_abs(),
            attempt: row.attempt.unsigned_abs(),
        })
    }

    /// The states of deliveries, by acknowledgements and the read model. Deliveries that neither has are left out.
    pub async fn states(&self, ids: &[DeliveryId]) -> Result<EarlierDeliveries, StoreError> {
        let mut states = EarlierDeliveries::new();
        let ids: HashSet<Uuid> = ids.iter().map(|id| id.0).collect();
        if ids.is_empty() {
            return Ok(states);
        }
        let asked = || Input::new(ids.len()).uuid("asked", ids.iter().copied());
        let mut session = self.model.read().await?;
        // A step is never earlier than its event, so PostgreSQL need not read the partitions of earlier days.
        let rows: Vec<StateRow> = asked()
            .fetch(
                session.conn(),
                "SELECT d.id, d.channel, d.status, a.steps FROM input i JOIN deliveries d ON d.id = i.asked
                LEFT JOIN attempts a ON a.created_at = d.created_at AND a.delivery_id = d.id AND a.at >= d.created_at",
            )
            .await?;
        drop(session);
        let mut seen: HashMap<Uuid, (Channel, DeliveryStatus, Vec<DeliveryStatus>)> = HashMap::new();
        for row in rows {
            let (channel, present): (Channel, DeliveryStatus) = (
                columns::parse(&row.channel, "a delivery's channel")?,
                columns::parse(&row.status, "a delivery's status")?,
            );
            let (_, _, statuses) = seen
                .entry(row.id)
                .or_insert_with(|| (channel, present, Vec::new()));
            if let Some(steps) = row.steps {
                let steps: Vec<TimelineStep> = steps.parse("an attempt's steps")?;
                statuses.extend(steps.iter().map(|step| step.status));
            }
        }
        for (id, (channel, present, statuses)) in seen {
            let state = Earlier::of(present, statuses);
            states.insert(DeliveryId(id), EarlierDelivery { channel, state });
        }
        let mut session = self.db.read().await?;
        let acknowledged: Vec<SeenRow> = asked()
            .fetch(
                session.conn(),
                "SELECT k.delivery_id, k.channel FROM input i JOIN acknowledgements k ON k.delivery_id = i.asked",
            )
            .await?;
        for row in acknowledged {
            let earlier = EarlierDelivery {
                channel: columns::parse(&row.channel, "a delivery's channel")?,
                state: Earlier::Reached(DeliveryStatus::Acknowledged),
            };
            states.insert(DeliveryId(row.delivery_id), earlier);
        }
        Ok(states)
    }

    /// Makes due the rows that wait for these deliveries, if their fate is known by now. Returns the number of rows.
    pub async fn hasten(&self, changed: &[DeliveryId]) -> Result<u64, StoreError> {
        if changed.is_empty() {
            return Ok(0);
        }
        let mut session = self.db.read().await?;
        let rows: Vec<WaitRow> = Input::new(changed.len())
            .uuid("changed", changed.iter().map(|id| id.0))
            .fetch(
                session.conn(),
                "SELECT DISTINCT f.waiting_id, f.delivery_id FROM input i
                JOIN fallback_waits g ON g.delivery_id = i.changed
                JOIN waiting w ON w.id = g.waiting_id AND w.state = 'waiting'
                JOIN fallback_waits f ON f.waiting_id = g.waiting_id",
            )
            .await?;
        drop(session);
        self.hasten_rows(rows).await
    }

    /// Makes due all rows whose fate is known. It finds the rows that [`Self::hasten`] has missed because the process
    /// ended before the call. Returns the number of rows.
    pub async fn hasten_all(&self) -> Result<u64, StoreError> {
        let (mut hastened, mut after) = (0, Uuid::nil());
        loop {
            let mut session = self.db.read().await?;
            let rows = fetch!(
                all, session => WaitRow,
                "SELECT f.waiting_id, f.delivery_id FROM fallback_waits f WHERE f.waiting_id IN (
                    SELECT DISTINCT g.waiting_id FROM fallback_waits g
                    JOIN waiting w ON w.id = g.waiting_id AND w.state = 'waiting'
                    WHERE g.waiting_id > $1 ORDER BY g.waiting_id LIMIT $2)",
                after, PAGE
            )?;
            drop(session);
            let Some(last) = rows.iter().map(|row| row.waiting_id).max() else {
                return Ok(hastened);
            };
            after = last;
            hastened += self.hasten_rows(rows).await?;
        }
    }

    /// Makes due the rows whose fate is known. Each row comes with all deliveries that it follows.
    async fn hasten_rows(&self, rows: Vec<WaitRow>) -> Result<u64, StoreError> {
        let mut waits: HashMap<Uuid, Vec<DeliveryId>> = HashMap::new();
        for row in rows {
            let after = waits.entry(row.waiting_id).or_default();
            after.push(DeliveryId(row.delivery_id));
        }
        let after: Vec<DeliveryId> = waits.values().flatten().copied().collect();
        let states = self.states(&after).await?;
        waits.retain(|_, after| Standing::of(after, &states).state != Earlier::Open);
        self.make_due(waits.into_keys().collect()).await
    }

    async fn make_due(&self, mut rows: Vec<Uuid>) -> Result<u64, StoreError> {
        if rows.is_empty() {
            return Ok(0);
        }
        // Rows in one order cannot deadlock.
        rows.sort_unstable();
        again(|| async {
            let now = self.db.now();
            let mut write = self.db.write_batch(rows.len()).await?;
            let hastened = Input::new(rows.len())
                .uuid("decided", rows.iter().copied())
                .time("now", rows.iter().map(|_| now))
                .execute(
                    write.conn(),
                    "UPDATE waiting AS w SET due = i.now FROM input AS i
                    WHERE w.id = i.decided AND w.state = 'waiting' AND w.due > i.now",
                )
                .await?;
            write.commit().await?;
            Ok::<_, StoreError>(hastened)
        })
        .await
    }

    /// Deletes acknowledgements older than `age`, and the waits that have ended. Returns the number of acknowledgements.
    pub async fn prune(&self, age: Duration) -> Result<u64, StoreError> {
        self.db.prune(WAITS, age).await?;
        self.db.prune(ACKNOWLEDGEMENTS, age).await
    }
}

/// Adds the deliveries that new rows of `waiting` follow; a part of the caller's transaction.
pub(crate) async fn insert(
    tx: &mut Tx,
    rows: impl Iterator<Item = &Waiting>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut pairs: Vec<(Uuid, Uuid)> = Vec::new();
    for row in rows {
        let release = &row.release;
        let after = release.content.parts().iter().flat_map(|part| &part.after);
        pairs.extend(after.map(|delivery| (delivery.0, release.id)));
    }
    if pairs.is_empty() {
        return Ok(());
    }
    pairs.sort_unstable();
    pairs.dedup();
    Input::new(pairs.len())
        .uuid("delivery_id", pairs.iter().map(|(delivery, _)| *delivery))
        .uuid("waiting_id", pairs.iter().map(|(_, waiting)| *waiting))
        .time("added_at", pairs.iter().map(|_| now))
        .execute(
            tx.conn(),
            "INSERT INTO fallback_waits (delivery_id, waiting_id, added_at)
            SELECT delivery_id, waiting_id, added_at FROM input WHERE true
            ON CONFLICT (delivery_id, waiting_id) DO NOTHING",
        )
        .await?;
    Ok(())
}
