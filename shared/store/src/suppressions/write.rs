//! The one statement that adds entries of every origin.

use carillon_domain::{Channel, Timestamp, contact::AddressHash, suppression::SuppressionReason};
use uuid::Uuid;

use super::rows;
use crate::{
    columns,
    db::{Conn, Input, Tx},
    error::StoreError,
    versioned::drawn,
};

/// An entry to be added.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    pub(super) tenant: &'a str,
    pub(super) hash: AddressHash,
    pub(super) channel: Channel,
    pub(super) reason: SuppressionReason,
    pub(super) masked: &'a str,
    pub(super) note: Option<&'a str>,
    pub(super) provider: Option<&'a str>,
    pub(super) code: Option<&'a str>,
    pub(super) delivery: Option<Uuid>,
    pub(super) actor: Option<&'a str>,
    pub(super) created_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
    /// The time of the message that a provider has refused. The entry is not added if the address was registered
    /// again, or the former entry lifted, after it.
    pub(super) seen_at: Option<Timestamp>,
    pub(super) now: Timestamp,
}

#[derive(Debug, sqlx::FromRow)]
struct Added {
    address_hash: Uuid,
    channel: String,
    reason: String,
}

/// Addresses whose entry is new or replaces another, with the entries' channels and reasons.
pub(super) type Additions = Vec<(AddressHash, Channel, SuppressionReason)>;

/// The strength of an entry: only a stronger one replaces an entry that counts. An entry that ends by itself is weaker
/// than one that only a person ends, and one that ends with a registration is the weakest.
macro_rules! strength {
    ($row:literal) => {
        concat!(
            "CASE WHEN ",
            $row,
            ".reason IN ('hard_bounce', 'dead_token') THEN 0 WHEN ",
            $row,
            ".expires_at IS NOT NULL THEN 1 ELSE 2 END"
        )
    };
}

/// Whether the entry that is being replaced still counts.
macro_rules! counts {
    () => {
        "(suppressions.expires_at IS NULL OR suppressions.expires_at > excluded.created_at)"
    };
}

/// A column that tells the cause of an entry. A person's entry has none of its own, so it keeps the cause of the entry that
/// it replaces.
macro_rules! cause {
    ($column:literal) => {
        concat!(
            "CASE WHEN excluded.reason IN ('manual', 'import') AND ",
            counts!(),
            " THEN suppressions.",
            $column,
            " ELSE excluded.",
            $column,
            " END"
        )
    };
}

const INSERT: &str = concat!(
    "INSERT INTO suppressions (tenant, address_hash, channel, reason, masked, note, provider, code, delivery_id, actor,
        created_at, expires_at, version)
    SELECT i.tenant, i.hash, i.channel, i.reason, i.masked, i.note, i.provider, i.code, i.delivery, i.actor,
        i.created_at, i.expires_at, i.version
    FROM input AS i
    WHERE i.seen_at IS NULL OR (
        NOT EXISTS (SELECT 1 FROM suppressions AS s
            WHERE s.tenant = i.tenant AND s.address_hash = i.hash AND s.expires_at > i.seen_at
                AND s.expires_at <= i.now)
        AND (i.reason NOT IN ('hard_bounce', 'dead_token') OR NOT EXISTS (SELECT 1 FROM contact_points AS c
            WHERE c.tenant = i.tenant AND c.address_hash = i.hash AND c.registered_at > i.seen_at))
        AND (i.reason <> 'hard_bounce' OR NOT EXISTS (SELECT 1 FROM webhook_endpoints AS e
            WHERE e.tenant = i.tenant AND e.address_hash = i.hash AND e.registered_at > i.seen_at)))
    ON CONFLICT (tenant, address_hash) DO UPDATE SET channel = excluded.channel, reason = excluded.reason,
        masked = excluded.masked, note = ",
    "CASE WHEN ",
    counts!(),
    " THEN COALESCE(excluded.note, suppressions.note) ELSE excluded.note END, provider = ",
    cause!("provider"),
    ", code = ",
    cause!("code"),
    ", delivery_id = ",
    cause!("delivery_id"),
    ", created_at = ",
    cause!("created_at"),
    ", actor = excluded.actor, expires_at = excluded.expires_at, version = excluded.version
    WHERE suppressions.expires_at <= excluded.created_at OR ",
    strength!("suppressions"),
    " < ",
    strength!("excluded"),
    "
    RETURNING address_hash, channel, reason"
);

/// Adds entries, of which each address has one at most. The caller has locked the addresses.
pub(super) async fn add(tx: &mut Tx, entries: &[Entry<'_>]) -> Result<Additions, StoreError> {
    let added: Vec<Added> = Input::new(entries.len())
        .text("tenant", entries.iter().map(|entry| entry.tenant))
        .uuid("hash", entries.iter().map(|entry| entry.hash.0))
        .text("channel", entries.iter().map(|entry| entry.channel.as_str()))
        .text("reason", entries.iter().map(|entry| entry.reason.into()))
        .text("masked", entries.iter().map(|entry| entry.masked))
        .opt_text("note", entries.iter().map(|entry| entry.note))
        .opt_text("provider", entries.iter().map(|entry| entry.provider))
        .opt_text("code", entries.iter().map(|entry| entry.code))
        .opt_uuid("delivery", entries.iter().map(|entry| entry.delivery))
        .opt_text("actor", entries.iter().map(|entry| entry.actor))
        .time("created_at", entries.iter().map(|entry| entry.created_at))
        .opt_time("expires_at", entries.iter().map(|entry| entry.expires_at))
        .big("version", entries.iter().map(|_| drawn() + 1))
        .opt_time("seen_at", entries.iter().map(|entry| entry.seen_at))
        .time("now", entries.iter().map(|entry| entry.now))
        .fetch(tx.conn(), INSERT)
        .await?;
    added
        .into_iter()
        .map(|added| {
            let channel = columns::parse(&added.channel, "a channel")?;
            Ok((
                AddressHash(added.address_hash),
                channel,
                rows::reason(&added.reason)?,
            ))
        })
        .collect()
}

/// Counts entries whose addition was committed.
pub(super) fn count(additions: &Additions) {
    for (_, channel, reason) in additions {
        let (channel, reason): (&'static str, &'static str) = (channel.into(), reason.into());
        metrics::counter!("carillon_suppressions_total", "channel" => channel, "reason" => reason)
            .increment(1);
    }
}

/// Locks addresses in an order that all writers keep: registering an address and adding it to the list exclude each
/// other. (SQLite has one writer.)
pub(crate) async fn lock<'a>(
    tx: &mut Tx,
    addresses: impl Iterator<Item = (&'a str, AddressHash)>,
) -> Result<(), StoreError> {
    if let Conn::Sqlite(..) = tx.conn() {
        return Ok(());
    }
    let mut names: Vec<i64> = addresses.map(|(tenant, hash)| lock_name(tenant, hash)).collect();
    names.sort_unstable();
    names.dedup();
    Input::new(names.len())
        .big("address", names.into_iter())
        .execute(tx.conn(), "SELECT pg_advisory_xact_lock(address) FROM input")
        .await?;
    Ok(())
}

/// Names an address's lock. Two addresses with the same lock name merely wait for each other.
fn lock_name(tenant: &str, hash: AddressHash) -> i64 {
    use sha2::Digest as _;
    let digest = sha2::Sha256::new()
        .chain_update(tenant)
        .chain_update([0])
        .chain_update(hash.0.as_bytes())
        .finalize();
    let mut name = [0; 8];
    name.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(name)
}
