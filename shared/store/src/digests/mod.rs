//! Digests (table `digests`) and their members (table `digest_members`). The scheduler adds the members that routers have written
//! to `notifications.scheduled`, and closes a digest at the end of its window.

mod close;

use std::{collections::HashMap, time::Duration};

use carillon_domain::{
    DigestId, Recipient, TenantId, Timestamp, UserId,
    waiting::{DigestMembership, WaitingContent},
};
use uuid::Uuid;

pub use self::close::{Closing, ClosingMember};
use crate::{
    columns::{int, unsigned},
    config::Dialect,
    counters::{self, Changes, Counter},
    db::{Db, Input, Prunable, Tx, again, fetch, prunable, write_one},
    error::StoreError,
    lease::Lease,
    outbox::Outbox,
    waiting::{self, NewWaiting},
};

const DIGESTS: Prunable = prunable!("digests", "changed_at", "state <> 'open'");
const MEMBERS: Prunable = prunable!("digest_members", "changed_at", "state <> 'collected'");

/// The most bytes of members' records that are loaded to close a digest. Members beyond that are counted, and are no items.
const MAX_LOADED: i64 = 8 << 20;

macro_rules! lease {
    ($lock:literal) => {
        concat!(
            "WITH free AS (
                SELECT id FROM digests
                WHERE state = 'open' AND due <= $3 AND (lease_until IS NULL OR lease_until < $3 OR owner = $1 OR $4)
                ORDER BY due, id LIMIT $5",
            $lock,
            ") UPDATE digests SET owner = $1, lease_until = $2 WHERE id IN (SELECT id FROM free)
            RETURNING id, tenant, category, channel, event_type, recipient, max_items, members, due"
        )
    };
}

/// A digest that this process is closing.
#[derive(Debug, Clone)]
pub struct LeasedDigest {
    /// Its id.
    pub id: DigestId,
    /// The tenant.
    pub tenant: TenantId,
    /// The digest as its members describe it.
    pub membership: DigestMembership,
    /// The number of its members at the time of the lease. It can be closed only while it has no other.
    pub members: u64,
    /// The end of its window.
    pub due: Timestamp,
    owner: Uuid,
}

/// A member of a digest, in the order of their events.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct MemberRecord {
    /// Its id.
    pub id: Uuid,
    /// The event's id.
    pub event_id: String,
    /// The event's source.
    pub source: String,
    /// The headers of its record, in the bus's compact form.
    pub headers: Vec<u8>,
    /// The event; `None` for an early member if the later ones are very large.
    pub value: Option<Vec<u8>>,
}

/// The content of the open digests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DigestDepth {
    /// The number of members.
    pub members: u64,
    /// The smallest end of a window.
    pub next_due: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    tenant: String,
    category: String,
    channel: String,
    event_type: String,
    recipient: String,
    max_items: i32,
    members: i64,
    due: Timestamp,
}

/// Digests and their members.
#[derive(Debug, Clone)]
pub struct Digests {
    db: Db,
    shard: i32,
    outbox: Outbox,
}

impl Digests {
    pub(crate) fn new(db: Db, shard: i32, outbox: Outbox) -> Self {
        Self { db, shard, outbox }
    }

    /// Adds members. A member that is known already stays as it is. A member whose digest is closed waits by itself
    /// from now on, so that it is decided again. Returns the number of new members.
    pub async fn add(&self, added: &[NewWaiting]) -> Result<u64, StoreError> {
        if added.is_empty() {
            return Ok(0);
        }
        again(|| async {
            let mut tx = self.db.begin_batch(2 * added.len()).await?;
            let mut changes = Changes::default();
            let new = insert(&mut tx, added, self.db.now(), &mut changes).await?;
            changes.write(&mut tx, self.shard).await?;
            tx.commit().await?;
            Ok(new)
        })
        .await
    }

    /// The smallest end of the windows of open digests; one look into the index.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let (due,) = fetch!(
            one, self.db.read().await? => (Option<Timestamp>,),
            "SELECT MIN(due) FROM digests WHERE state = 'open'"
        )?;
        Ok(due)
    }

    /// The content of the open digests.
    pub async fn depth(&self) -> Result<DigestDepth, StoreError> {
        let counts = counters::read(&self.db).await?;
        let members = counts.get(&Counter::WaitingMembers).copied();
        Ok(DigestDepth {
            members: unsigned(members.unwrap_or_default()),
            next_due: self.next_due().await?,
        })
    }

    /// Leases digests whose windows have ended, those that ended first before others. A lease of another owner counts until its
    /// end, unless other processes are known to be dead. An owner may lease a digest again.
    pub async fn lease(
        &self,
        lease: Lease,
        others_are_dead: bool,
        most: u32,
    ) -> Result<Vec<LeasedDigest>, StoreError> {
        let statement = match self.db.dialect() {
            Dialect::Sqlite => lease!(""),
            Dialect::Postgres => lease!(" FOR UPDATE SKIP LOCKED"),
        };
        let now = self.db.now();
        let mut rows = again(|| async {
            let mut write = self.db.write().await?;
            let rows = fetch!(
                all, write => Row,
                statement, lease.owner, lease.until, now, others_are_dead, i64::from(most)
            )?;
            write.commit().await?;
            Ok::<_, StoreError>(rows)
        })
        .await?;
        rows.sort_by_key(|row| (row.due, row.id));
        rows.into_iter().map(|row| row.leased(lease.owner)).collect()
    }

    /// The members of a digest, in the order of their events. The latest ones have their events.
    pub async fn members(&self, id: DigestId) -> Result<Vec<MemberRecord>, StoreError> {
        fetch!(
            all, self.db.read().await? => MemberRecord,
            "SELECT id, event_id, source, headers, CASE WHEN later <= $2 THEN value END AS value FROM (
                SELECT id, event_id, source, accepted_at, headers, value,
                    SUM(LENGTH(value)) OVER (ORDER BY accepted_at DESC, id DESC) AS later
                FROM digest_members WHERE digest_id = $1 AND state = 'collected') AS summed
            ORDER BY accepted_at, id",
            id.0, MAX_LOADED
        )
    }

    /// Ends the windows of a user's open digests now, for a user who was erased: the members lead to no message, and their
    /// content is deleted. Returns the number of digests.
    pub async fn end_of_user(&self, tenant: &TenantId, user: &UserId) -> Result<u64, StoreError> {
        let now = self.db.now();
        write_one!(
            self.db,
            "UPDATE digests SET due = $1 WHERE tenant = $2 AND user_id = $3 AND state = 'open' AND due > $1",
            now,
            tenant.as_str(),
            user.as_str()
        )
    }

    /// Deletes digests and members that were closed longer ago than `window`. Returns the number of digests.
    pub async fn prune(&self, window: Duration) -> Result<u64, StoreError> {
        let digests = self.db.prune(DIGESTS, window).await?;
        self.db.prune(MEMBERS, window).await?;
        Ok(digests)
    }
}

impl Row {
    fn leased(self, owner: Uuid) -> Result<LeasedDigest, StoreError> {
        let corrupt = StoreError::Corrupt { what: "a digest" };
        let recipient: Recipient = serde_json::from_str(&self.recipient).map_err(|_| corrupt)?;
        let id = DigestId(self.id);
        Ok(LeasedDigest {
            id,
            tenant: TenantId::from(self.tenant),
            membership: DigestMembership {
                id,
                event_type: self.event_type.into(),
                category: self.category.into(),
                channel: crate::columns::parse(&self.channel, "a channel")?,
                recipient,
                max: self.max_items.unsigned_abs(),
            },
            members: unsigned(self.members),
            due: self.due,
            owner,
        })
    }
}

#[derive(sqlx::FromRow)]
struct Inserted {
    id: Uuid,
    digest_id: Uuid,
}

async fn insert(
    tx: &mut Tx,
    added: &[NewWaiting],
    now: Timestamp,
    changes: &mut Changes,
) -> Result<u64, StoreError> {
    let mut rows: Vec<(&NewWaiting, &DigestMembership)> = added
        .iter()
        .filter_map(|row| Some((row, row.waiting.digest.as_ref()?)))
        .collect();
    rows.sort_by_key(|(row, _)| row.waiting.release.id);
    rows.dedup_by_key(|(row, _)| row.waiting.release.id);
    open(tx, &rows, now).await?;
    let accepted_at = |row: &NewWaiting| match &row.waiting.release.content {
        WaitingContent::Deliveries { accepted_at, .. } => *accepted_at,
        WaitingContent::Event => row.waiting.release.written_at,
    };
    let inserted: Vec<Inserted> = Input::new(rows.len())
        .uuid("id", rows.iter().map(|(row, _)| row.waiting.release.id))
        .uuid("digest_id", rows.iter().map(|(_, digest)| digest.id.0))
        .text("event_id", rows.iter().map(|(row, _)| row.waiting.event_id.as_str()))
        .text("source", rows.iter().map(|(row, _)| &*row.waiting.source))
        .time("accepted_at", rows.iter().map(|(row, _)| accepted_at(row)))
        .time("changed_at", rows.iter().map(|_| now))
        .bytes("headers", rows.iter().map(|(row, _)| Some(&*row.record.headers)))
        .bytes("value", rows.iter().map(|(row, _)| Some(&*row.record.value)))
        .fetch(
            tx.conn(),
            "INSERT INTO digest_members (id, digest_id, event_id, source, accepted_at, state, changed_at, headers, value)
            SELECT id, digest_id, event_id, source, accepted_at, 'collected', changed_at, headers, value
            FROM input WHERE true
            ON CONFLICT (id) DO NOTHING RETURNING id, digest_id",
        )
        .await?;
    let mut counts: HashMap<Uuid, i64> = HashMap::new();
    for row in &inserted {
        *counts.entry(row.digest_id).or_default() += 1;
    }
    let mut counts: Vec<(Uuid, i64)> = counts.into_iter().collect();
    // Rows in one order cannot deadlock.
    counts.sort_unstable();
    let counted: Vec<(Uuid,)> = Input::new(counts.len())
        .uuid("joined", counts.iter().map(|(id, _)| *id))
        .big("added", counts.iter().map(|(_, new)| *new))
        .fetch(
            tx.conn(),
            "UPDATE digests AS d SET members = d.members + i.added FROM input AS i
            WHERE d.id = i.joined AND d.state = 'open' RETURNING id",
        )
        .await?;
    let is_open = |digest: Uuid| counted.iter().any(|(id,)| *id == digest);
    let late: Vec<Uuid> = inserted
        .iter()
        .filter(|row| !is_open(row.digest_id))
        .map(|row| row.id)
        .collect();
    release_late(tx, &rows, &late, now, changes).await?;
    let new = inserted.len() - late.len();
    changes.add(Counter::WaitingMembers, i64::try_from(new).unwrap_or(i64::MAX));
    Ok(inserted.len() as u64)
}

/// Opens the digests that are new.
async fn open(
    tx: &mut Tx,
    rows: &[(&NewWaiting, &DigestMembership)],
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut digests: Vec<&(&NewWaiting, &DigestMembership)> = rows.iter().collect();
    digests.sort_by_key(|(_, digest)| digest.id.0);
    digests.dedup_by_key(|(_, digest)| digest.id);
    let recipients = digests
        .iter()
        .map(|(_, digest)| serde_json::to_string(&digest.recipient))
        .collect::<Result<Vec<String>, _>>()
        .map_err(|_| StoreError::Corrupt { what: "a recipient" })?;
    let each = || digests.iter().map(|(_, digest)| *digest);
    let waiting = || digests.iter().map(|(row, _)| &row.waiting);
    Input::new(digests.len())
        .uuid("id", each().map(|digest| digest.id.0))
        .text("tenant", waiting().map(|waiting| waiting.tenant.as_str()))
        .opt_text("user_id", each().map(|digest| digest.recipient.user_id.as_ref().map(UserId::as_str)))
        .text("category", each().map(|digest| &*digest.category))
        .text("channel", each().map(|digest| digest.channel.as_str()))
        .text("event_type", each().map(|digest| &*digest.event_type))
        .text("recipient", recipients.iter().map(String::as_str))
        .int("max_items", each().map(|digest| int(digest.max)))
        .time("due", waiting().map(|waiting| waiting.due))
        .time("changed_at", digests.iter().map(|_| now))
        .execute(
            tx.conn(),
            "INSERT INTO digests (id, tenant, user_id, category, channel, event_type, recipient, max_items, members, due,
                state, changed_at)
            SELECT id, tenant, user_id, category, channel, event_type, recipient, max_items, 0, due, 'open', changed_at
            FROM input WHERE true
            ON CONFLICT (id) DO NOTHING",
        )
        .await?;
    Ok(())
}

/// Lets members whose digests are closed wait by themselves, until now.
async fn release_late(
    tx: &mut Tx,
    rows: &[(&NewWaiting, &DigestMembership)],
    late: &[Uuid],
    now: Timestamp,
    changes: &mut Changes,
) -> Result<(), StoreError> {
    let of_late = rows
        .iter()
        .filter(|(row, _)| late.contains(&row.waiting.release.id));
    let alone: Vec<NewWaiting> = of_late
        .map(|(row, _)| {
            let mut row = (*row).clone();
            row.waiting.due = now;
            row
        })
        .collect();
    waiting::insert(tx, &alone, now, changes).await?;
    Input::new(late.len())
        .uuid("late", late.iter().copied())
        .execute(
            tx.conn(),
            "UPDATE digest_members AS m SET state = 'closed', headers = NULL, value = NULL
            FROM input AS i WHERE m.id = i.late",
        )
        .await?;
    Ok(())
}
