//! Rows that roles of the former release have written: contact points without the hash of their address, verdicts in
//! their `dead_*` columns, and the table `opt_outs`. They are moved over here, because SQL cannot compute the hash. The next
//! release drops these columns and that table, and this file.

use carillon_domain::{
    Channel, TenantId, Timestamp, UserId,
    contact::{self, AddressHash, AddressKey, DeathReason},
    suppression::SuppressionReason,
};
use uuid::Uuid;

use super::{
    Suppressions,
    write::{Entry, add, lock},
};
use crate::{
    columns,
    db::{Input, Tx, again, fetch},
    error::StoreError,
};

/// The rows that one transaction moves.
const STEP: i64 = 500;

/// A contact point that the former release has written.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Former {
    id: Uuid,
    tenant: String,
    channel: String,
    address: String,
    registered_at: Timestamp,
    dead_code: Option<String>,
    dead_reason: Option<String>,
    dead_provider: Option<String>,
    dead_delivery: Option<Uuid>,
    dead_at: Option<Timestamp>,
}

/// An opt-out of the former release.
#[derive(Debug, sqlx::FromRow)]
struct FormerOptOut {
    tenant: String,
    user_id: String,
    channel: String,
    address: String,
    code: String,
    provider: Option<String>,
    delivery: Option<Uuid>,
    noted_at: Timestamp,
}

/// The reason of a verdict in the column `dead_reason`. It is absent from old verdicts.
pub(crate) fn former_reason(channel: Channel, reason: Option<&str>) -> Result<SuppressionReason, StoreError> {
    let reason = match reason {
        Some(reason) => columns::parse(reason, "why an address is dead")?,
        None => DeathReason::Gone,
    };
    Ok(SuppressionReason::of_refusal(channel, reason))
}

impl Suppressions {
    /// Moves over the rows that the former release has written. Returns the number of contact points and opt-outs.
    pub async fn adopt(&self) -> Result<u64, StoreError> {
        let mut moved = 0;
        loop {
            let step = again(|| async {
                let mut tx = self.db.begin().await?;
                let rows = fetch!(
                    all, tx => Former,
                    "SELECT id, tenant, channel, address, registered_at, dead_code, dead_reason, dead_provider,
                        dead_delivery, dead_at
                    FROM contact_points WHERE address_hash IS NULL ORDER BY id LIMIT $1",
                    STEP
                )?;
                let opt_outs = fetch!(
                    all, tx => FormerOptOut,
                    "SELECT tenant, user_id, channel, address, code, provider, delivery, noted_at FROM opt_outs
                    ORDER BY tenant, user_id, channel, address LIMIT $1",
                    STEP
                )?;
                let count = (rows.len() + opt_outs.len()) as u64;
                if count > 0 {
                    adopt_contacts(&mut tx, &self.key, &rows, self.db.now()).await?;
                    adopt_opt_outs(&mut tx, &self.key, &opt_outs, self.db.now()).await?;
                    tx.commit().await?;
                }
                Ok::<u64, StoreError>(count)
            })
            .await?;
            moved += step;
            if step == 0 {
                break;
            }
        }
        if moved > 0 {
            tracing::info!(
                rows = moved,
                "addresses of the former release were moved to the suppression list"
            );
        }
        Ok(moved)
    }
}

/// Moves over the contact points of one user, who is about to be written.
pub(crate) async fn adopt_user(
    tx: &mut Tx,
    key: &AddressKey,
    tenant: &TenantId,
    user: &UserId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows = fetch!(
        all, tx => Former,
        "SELECT id, tenant, channel, address, registered_at, dead_code, dead_reason, dead_provider, dead_delivery,
            dead_at
        FROM contact_points WHERE tenant = $1 AND user_id = $2 AND address_hash IS NULL",
        tenant.as_str(), user.as_str()
    )?;
    if rows.is_empty() {
        return Ok(());
    }
    adopt_contacts(tx, key, &rows, now).await
}

async fn adopt_contacts(
    tx: &mut Tx,
    key: &AddressKey,
    rows: &[Former],
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut hashed = Vec::with_capacity(rows.len());
    for row in rows {
        let channel: Channel = columns::parse(&row.channel, "a channel")?;
        hashed.push((row, channel, key.hash(channel, &row.address)));
    }
    lock(
        tx,
        hashed.iter().map(|(row, _, hash)| (row.tenant.as_str(), *hash)),
    )
    .await?;
    // A role of the former release that registers an address again cannot lift an entry of this release.
    hashes(&hashed)
        .time("registered_at", rows.iter().map(|row| row.registered_at))
        .execute(
            tx.conn(),
            "DELETE FROM suppressions WHERE reason IN ('hard_bounce', 'dead_token') AND EXISTS
                (SELECT 1 FROM input AS i WHERE i.tenant = suppressions.tenant AND i.hash = suppressions.address_hash
                    AND suppressions.created_at < i.registered_at)",
        )
        .await?;
    let masked: Vec<String> = hashed
        .iter()
        .map(|(row, channel, _)| contact::mask(*channel, &row.address))
        .collect();
    let mut entries = Vec::new();
    for ((row, channel, hash), masked) in hashed.iter().zip(&masked) {
        let (Some(code), Some(at)) = (&row.dead_code, row.dead_at) else {
            continue;
        };
        entries.push(Entry {
            tenant: &row.tenant,
            hash: *hash,
            channel: *channel,
            reason: former_reason(*channel, row.dead_reason.as_deref())?,
            masked,
            note: None,
            provider: row.dead_provider.as_deref(),
            code: Some(code),
            delivery: row.dead_delivery,
            actor: None,
            created_at: at,
            expires_at: None,
            seen_at: Some(at),
            now,
        });
    }
    add_all(tx, entries).await?;
    hashes(&hashed)
        .uuid("id", rows.iter().map(|row| row.id))
        .text("address", rows.iter().map(|row| &*row.address))
        .execute(
            tx.conn(),
            "UPDATE contact_points AS c SET address_hash = i.hash FROM input AS i
            WHERE c.id = i.id AND c.address = i.address AND c.address_hash IS NULL",
        )
        .await?;
    Ok(())
}

fn hashes<'a>(hashed: &[(&'a Former, Channel, AddressHash)]) -> Input<'a> {
    Input::new(hashed.len())
        .text("tenant", hashed.iter().map(|(row, ..)| row.tenant.as_str()))
        .uuid("hash", hashed.iter().map(|(.., hash)| hash.0))
}

async fn adopt_opt_outs(
    tx: &mut Tx,
    key: &AddressKey,
    rows: &[FormerOptOut],
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut hashed = Vec::with_capacity(rows.len());
    for row in rows {
        let channel: Channel = columns::parse(&row.channel, "a channel")?;
        let masked = contact::mask(channel, &row.address);
        hashed.push((row, channel, key.hash(channel, &row.address), masked));
    }
    lock(
        tx,
        hashed
            .iter()
            .map(|(row, _, hash, _)| (row.tenant.as_str(), *hash)),
    )
    .await?;
    let entries = hashed.iter().map(|(row, channel, hash, masked)| Entry {
        tenant: &row.tenant,
        hash: *hash,
        channel: *channel,
        reason: SuppressionReason::OptedOut,
        masked,
        note: None,
        provider: row.provider.as_deref(),
        code: Some(&row.code),
        delivery: row.delivery,
        actor: None,
        created_at: row.noted_at,
        expires_at: None,
        seen_at: Some(row.noted_at),
        now,
    });
    add_all(tx, entries.collect()).await?;
    // An opt-out that stayed would be moved over again after a person has lifted it.
    Input::new(rows.len())
        .text("tenant", rows.iter().map(|row| &*row.tenant))
        .text("user_id", rows.iter().map(|row| &*row.user_id))
        .text("channel", rows.iter().map(|row| &*row.channel))
        .text("address", rows.iter().map(|row| &*row.address))
        .execute(
            tx.conn(),
            "DELETE FROM opt_outs WHERE (tenant, user_id, channel, address) IN
                (SELECT tenant, user_id, channel, address FROM input)",
        )
        .await?;
    Ok(())
}

/// Adds entries, the first one for each address.
async fn add_all(tx: &mut Tx, mut entries: Vec<Entry<'_>>) -> Result<(), StoreError> {
    entries.sort_by_key(|entry| (entry.reason.ends_with_registration(), entry.created_at));
    let mut taken = std::collections::HashSet::new();
    entries.retain(|entry| taken.insert((entry.tenant.to_owned(), entry.hash)));
    add(tx, &entries).await?;
    Ok(())
}
