//! Dead letters as they are queried (table `dead_letters`). The bytes of the records are stored unchanged.

mod batch;
mod query;
mod rows;
pub(crate) mod settled;

use std::{borrow::Cow, collections::HashSet, time::Duration};

use carillon_domain::{Channel, DeliveryId, TenantId, ids::dead_letter_id};
use uuid::Uuid;

pub use batch::BatchOf;
pub use rows::{
    DeadLetterFilter, DeadLetterGroup, DeadLetterRow, DeadLetterState, DeadLetterView, LetterBatch,
    LetterRecord,
};

use crate::{
    columns::{int, unsigned},
    db::{Db, Document, Input, Prunable, Tx, again, fetch, prunable},
    dead_letter_groups, dead_letter_jobs,
    error::StoreError,
    page::{Cursor, Page, PageOf},
    read_model::{self, StoredOffset},
};

/// The name of the events' queue. The other queues have the names of their channels.
const EVENTS: &str = "events";

/// The name of a channel's queue, or of the events' queue.
fn queue_name(channel: Option<Channel>) -> &'static str {
    channel.map_or(EVENTS, Channel::as_str)
}

/// An open letter is kept until it is replayed or discarded.
const PRUNABLE: Prunable = prunable!("dead_letters", "dead_at", "state <> 'open'");

/// The number of open letters of a queue and class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenCount {
    /// A channel's name or `events`.
    pub queue: String,
    /// The class of the error.
    pub class: String,
    /// Open letters whose cause is not ignored.
    pub open: u64,
    /// Open letters whose cause is ignored.
    pub ignored: u64,
}

/// The dead letters.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    /// The database of the read model.
    db: Db,
    /// The database of the verdicts; on PostgreSQL the same.
    verdicts: Db,
    retention: Duration,
}

impl DeadLetters {
    pub(crate) fn new(db: Db, verdicts: Db, retention: Duration) -> Self {
        Self {
            db,
            verdicts,
            retention,
        }
    }

    /// Applies a batch and its offsets in one transaction. Applying rows again has no effect. The verdicts about the
    /// letters are looked up after the letters were inserted and before the offsets are stored, so that a rebuild never
    /// reopens a letter.
    pub async fn apply(
        &self,
        consumer: &str,
        rows: &[DeadLetterRow],
        offsets: &[StoredOffset],
    ) -> Result<(), StoreError> {
        again(|| async {
            let mut tx = self.db.begin_batch(rows.len()).await?;
            read_model::advance(&mut tx, consumer, offsets).await?;
            insert(&mut tx, rows).await?;
            let ids: Vec<Uuid> = rows.iter().map(id_of).collect();
            let given = dead_letter_jobs::given(&self.verdicts, &mut tx, &ids).await?;
            settled::settle(&mut tx, &given).await?;
            tx.commit().await
        })
        .await
    }

    /// Dead letters, newest first.
    pub async fn list(
        &self,
        tenant: &TenantId,
        filter: &DeadLetterFilter,
        page: Page,
    ) -> Result<PageOf<DeadLetterView>, StoreError> {
        query::page(&mut self.db.read().await?, tenant, filter, page).await
    }

    /// The places of dead letters in their list, newest first.
    pub async fn places(
        &self,
        tenant: &TenantId,
        filter: &DeadLetterFilter,
        page: Page,
    ) -> Result<PageOf<Cursor>, StoreError> {
        query::places(&mut self.db.read().await?, tenant, filter, page).await
    }

    /// One dead letter.
    pub async fn get(&self, tenant: &TenantId, id: Uuid) -> Result<Option<DeadLetterView>, StoreError> {
        query::one(&mut self.db.read().await?, tenant, id).await
    }

    /// The dead letters of a delivery, newest first; at most 100.
    pub async fn of_delivery(
        &self,
        tenant: &TenantId,
        delivery: DeliveryId,
    ) -> Result<Vec<DeadLetterView>, StoreError> {
        query::of_delivery(&mut self.db.read().await?, tenant, delivery).await
    }

    /// The causes of dead letters, those with the most open letters first; at most 500.
    pub async fn groups(&self, tenant: &TenantId) -> Result<Vec<DeadLetterGroup>, StoreError> {
        query::groups(&mut self.db.read().await?, tenant, None, self.db.now()).await
    }

    /// The cause with a fingerprint; `None` if no letter has it.
    pub async fn group(
        &self,
        tenant: &TenantId,
        fingerprint: &str,
    ) -> Result<Option<DeadLetterGroup>, StoreError> {
        let mut session = self.db.read().await?;
        let found = query::groups(&mut session, tenant, Some(fingerprint), self.db.now()).await?;
        Ok(found.into_iter().next())
    }

    /// The number of open letters by queue (a channel's name or `events`) and class.
    pub async fn open_counts(&self) -> Result<Vec<OpenCount>, StoreError> {
        let mut session = self.db.read().await?;
        let rows = fetch!(
            all, session => (String, String, i64),
            "SELECT queue, class, COUNT(*) FROM dead_letters WHERE state = 'open'
            GROUP BY queue, class ORDER BY queue, class"
        )?;
        drop(session);
        let ignored = dead_letter_groups::ignored_causes(&self.verdicts).await?;
        let ignored: Vec<(String, String, i64)> = if ignored.is_empty() {
            Vec::new()
        } else {
            Input::new(ignored.len())
                .text("tenant", ignored.iter().map(|(tenant, _)| tenant.as_str()))
                .text(
                    "fingerprint",
                    ignored.iter().map(|(_, fingerprint)| fingerprint.as_str()),
                )
                .fetch(
                    self.db.read().await?.conn(),
                    "SELECT d.queue, d.class, COUNT(*) FROM input i
                    JOIN dead_letters d ON d.tenant = i.tenant AND d.fingerprint = i.fingerprint
                    WHERE d.state = 'open' GROUP BY d.queue, d.class",
                )
                .await?
        };
        let ignored_of = |queue: &str, class: &str| {
            let found = ignored.iter().find(|(own, of, _)| own == queue && of == class);
            found.map_or(0, |(_, _, count)| unsigned(*count))
        };
        let counts = rows.into_iter().map(|(queue, class, count)| {
            let ignored = ignored_of(&queue, &class).min(unsigned(count));
            OpenCount {
                open: unsigned(count) - ignored,
                ignored,
                queue,
                class,
            }
        });
        Ok(counts.collect())
    }

    /// The next letters of a selection with their records, oldest first.
    pub async fn batch(&self, of: BatchOf<'_>) -> Result<LetterBatch, StoreError> {
        batch::next(&mut self.db.read().await?, of).await
    }

    /// Those of the ids that letters of the tenant have.
    pub async fn known(&self, tenant: &TenantId, ids: &[Uuid]) -> Result<HashSet<Uuid>, StoreError> {
        let mut session = self.db.read().await?;
        let rows: Vec<(Uuid,)> = Input::new(ids.len())
            .uuid("letter", ids.iter().copied())
            .text("tenant", ids.iter().map(|_| tenant.as_str()))
            .fetch(
                session.conn(),
                "SELECT d.id FROM input i JOIN dead_letters d ON d.id = i.letter AND d.tenant = i.tenant",
            )
            .await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Whether a letter of the tenant, in any state, has this cause.
    pub async fn knows_cause(&self, tenant: &TenantId, fingerprint: &str) -> Result<bool, StoreError> {
        let filter = DeadLetterFilter {
            fingerprint: vec![fingerprint.to_owned()],
            ..DeadLetterFilter::default()
        };
        let page = Page {
            limit: 1,
            ..Page::default()
        };
        Ok(!self.list(tenant, &filter, page).await?.items.is_empty())
    }

    /// The number of letters of a selection.
    pub async fn count(&self, of: BatchOf<'_>) -> Result<u64, StoreError> {
        batch::count(&mut self.db.read().await?, of).await
    }

    /// Deletes letters that are not open and older than the configured retention. Returns their number.
    pub async fn prune(&self) -> Result<u64, StoreError> {
        self.db.prune(PRUNABLE, self.retention).await
    }
}

/// Inserts letters. A letter is identified by its position on the bus, so repeated ones are ignored and keep their
/// state.
async fn insert(tx: &mut Tx, rows: &[DeadLetterRow]) -> Result<(), StoreError> {
    let mut rows: Vec<(Uuid, &DeadLetterRow)> = rows.iter().map(|row| (id_of(row), row)).collect();
    rows.sort_by_key(|(id, _)| *id);
    rows.dedup_by_key(|(id, _)| *id);
    let headers = rows
        .iter()
        .map(|(_, row)| Document::of(&row.headers, "headers"))
        .collect::<Result<Vec<_>, _>>()?;
    let each = || rows.iter().map(|(_, row)| *row);
    Input::new(rows.len())
        .uuid("id", rows.iter().map(|(id, _)| *id))
        .text("topic", each().map(|row| &*row.position.topic))
        .int("partition_id", each().map(|row| row.position.partition))
        .big("record_offset", each().map(|row| row.position.offset))
        .text("tenant", each().map(|row| row.tenant.as_str()))
        .text("queue", each().map(|row| queue_name(row.channel)))
        .text("source_topic", each().map(|row| &*row.source_topic))
        .text("class", each().map(|row| <&str>::from(row.letter.class)))
        .opt_text("provider", each().map(|row| row.letter.provider.as_deref()))
        .text("code", each().map(|row| row.letter.code.as_str()))
        .text("fingerprint", each().map(|row| row.fingerprint.as_str()))
        .text("reason", each().map(|row| row.letter.reason.as_str()))
        .int("attempts", each().map(|row| int(row.letter.attempts)))
        .time("first_failed_at", each().map(|row| row.letter.first_failed_at))
        .time("dead_at", each().map(|row| row.dead_at))
        .text("state", each().map(|_| <&str>::from(DeadLetterState::Open)))
        .opt_uuid("delivery_id", each().map(|row| row.delivery_id.map(|id| id.0)))
        .opt_text("event_type", each().map(|row| row.event_type.as_deref()))
        .json("headers", headers.iter().map(|headers| Some(Cow::Borrowed(headers.0.as_str()))))
        .bytes("record_key", each().map(|row| row.key.as_deref()))
        .bytes("value", each().map(|row| Some(row.value.as_slice())))
        .opt_uuid("replay_job", each().map(DeadLetterRow::replay_job))
        .execute(
            tx.conn(),
            "INSERT INTO dead_letters (id, topic, partition_id, record_offset, tenant, queue, source_topic, class,
                provider, code, fingerprint, reason, attempts, first_failed_at, dead_at, state, delivery_id,
                event_type, headers, record_key, value, replay_job)
            SELECT id, topic, partition_id, record_offset, tenant, queue, source_topic, class,
                provider, code, fingerprint, reason, attempts, first_failed_at, dead_at, state, delivery_id,
                event_type, headers, record_key, value, replay_job
            FROM input WHERE true
            ON CONFLICT (id) DO NOTHING",
        )
        .await?;
    Ok(())
}

fn id_of(row: &DeadLetterRow) -> Uuid {
    dead_letter_id(&row.position.topic, row.position.partition, row.position.offset)
}
