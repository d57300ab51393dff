//! Entries that people write and lift. Each change has an entry in the audit log, in the same transaction.

use std::collections::HashSet;

use carillon_domain::{
    Channel, TenantId, Timestamp,
    contact::{self, AddressHash},
    suppression::SuppressionReason,
};
use carillon_runtime::http::Conditions;

use super::{
    Imported, SuppressionPut, Suppressions,
    rows::Row,
    write::{Entry, add, count, lock},
};
use crate::{
    api_keys::Principal,
    audit_log::{self, AuditAction},
    db::{Tx, again, execute, fetch},
    error::StoreError,
    versioned::{Written, drawn, require},
};

/// The path of an entry, with the address masked, as the audit log shows it.
pub(super) fn path(channel: Channel, masked: &str) -> String {
    format!("/v1/suppressions/{channel}/{masked}")
}

impl Suppressions {
    /// Puts an address on the list by hand, or changes its entry. The fields that the request keeps stay as they are, and so
    /// do the cause of the entry and the time since which the address takes no messages. A provider's verdict becomes a
    /// person's entry, which a registration does not end; any other reason stays. An entry that stands for the recipient's
    /// own wish does not expire: only its note is written.
    pub async fn put(
        &self,
        who: &Principal,
        channel: Channel,
        address: &str,
        put: &SuppressionPut,
        conditions: Option<&Conditions>,
    ) -> Result<Written, StoreError> {
        let (written, added) = again(|| self.try_put(who, channel, address, put, conditions)).await?;
        if added {
            let hash = self.key.hash(channel, address);
            count(&vec![(hash, channel, SuppressionReason::Manual)]);
        }
        Ok(written)
    }

    async fn try_put(
        &self,
        who: &Principal,
        channel: Channel,
        address: &str,
        put: &SuppressionPut,
        conditions: Option<&Conditions>,
    ) -> Result<(Written, bool), StoreError> {
        let hash = self.key.hash(channel, address);
        let mut tx = self.db.begin().await?;
        lock(&mut tx, std::iter::once((who.tenant.as_str(), hash))).await?;
        let now = self.db.now();
        let row = row(&mut tx, &who.tenant, hash).await?;
        let present = row.as_ref().filter(|row| row.counts(now));
        if let Some(conditions) = conditions {
            require(conditions, present.is_some(), present.map(|row| row.version))?;
        }
        let after = After::of(present, put, who)?;
        if let Some(row) = present
            && row.note == after.note
            && row.expires_at == after.expires_at
            && row.reason()? == after.reason
        {
            let (created, version) = (false, row.version);
            return Ok((Written { created, version }, false));
        }
        let masked = contact::mask(channel, address);
        audit_log::append(&mut tx, who, AuditAction::Suppress, &path(channel, &masked), now).await?;
        let version = row.as_ref().map_or_else(drawn, |row| row.version) + 1;
        if let Some(row) = present {
            change(&mut tx, who, row, &masked, &after, version).await?;
        } else {
            insert(&mut tx, who, (channel, hash, &masked), &after, (now, version)).await?;
        }
        let is_new = present.map(Row::reason).transpose()? != Some(after.reason);
        let created = present.is_none();
        tx.commit().await?;
        Ok((Written { created, version }, is_new))
    }

    /// Takes an address from the list, for every reason of its entry. `false` if it is not on the list.
    pub async fn lift(
        &self,
        who: &Principal,
        channel: Channel,
        address: &str,
        conditions: Option<&Conditions>,
    ) -> Result<bool, StoreError> {
        let hash = self.key.hash(channel, address);
        let masked = contact::mask(channel, address);
        again(|| async {
            let mut tx = self.db.begin().await?;
            lock(&mut tx, std::iter::once((who.tenant.as_str(), hash))).await?;
            let now = self.db.now();
            let row = row(&mut tx, &who.tenant, hash).await?;
            let present = row.filter(|row| row.counts(now));
            if let Some(conditions) = conditions {
                require(
                    conditions,
                    present.is_some(),
                    present.as_ref().map(|row| row.version),
                )?;
            }
            if present.is_none() {
                return Ok(false);
            }
            audit_log::append(&mut tx, who, AuditAction::Lift, &path(channel, &masked), now).await?;
            end(&mut tx, &who.tenant, hash, now).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Notes in the audit log that a file is imported. The caller does so before the first line.
    pub async fn begin_import(&self, who: &Principal) -> Result<(), StoreError> {
        again(|| async {
            let mut tx = self.db.begin().await?;
            audit_log::append(
                &mut tx,
                who,
                AuditAction::Import,
                "/v1/suppressions/import",
                self.db.now(),
            )
            .await?;
            tx.commit().await
        })
        .await
    }

    /// Adds lines of a file, in one transaction. Returns the number of lines that were added; the addresses of the others
    /// are on the list already, or in an earlier line.
    pub async fn import(&self, who: &Principal, lines: &[Imported]) -> Result<u64, StoreError> {
        let hashed: Vec<AddressHash> = lines
            .iter()
            .map(|line| self.key.hash(line.channel, &line.address))
            .collect();
        let masked: Vec<String> = lines
            .iter()
            .map(|line| contact::mask(line.channel, &line.address))
            .collect();
        let added = again(|| async {
            let now = self.db.now();
            let mut tx = self.db.begin_batch(lines.len()).await?;
            lock(&mut tx, hashed.iter().map(|hash| (who.tenant.as_str(), *hash))).await?;
            let mut taken = HashSet::new();
            let entries: Vec<Entry<'_>> = lines
                .iter()
                .zip(&hashed)
                .zip(&masked)
                .filter(|((_, hash), _)| taken.insert(**hash))
                .map(|((line, hash), masked)| Entry {
                    tenant: who.tenant.as_str(),
                    hash: *hash,
                    channel: line.channel,
                    reason: line.reason,
                    masked,
                    note: line.note.as_deref(),
                    provider: None,
                    code: None,
                    delivery: None,
                    actor: Some(&who.name),
                    created_at: now,
                    expires_at: line.expires_at,
                    seen_at: None,
                    now,
                })
                .collect();
            let added = add(&mut tx, &entries).await?;
            tx.commit().await?;
            Ok(added)
        })
        .await?;
        count(&added);
        Ok(added.len() as u64)
    }
}

/// The row of an address, also one that does not count any more.
async fn row(tx: &mut Tx, tenant: &TenantId, hash: AddressHash) -> Result<Option<Row>, StoreError> {
    fetch!(
        optional, tx => Row,
        "SELECT address_hash, channel, reason, masked, note, provider, code, delivery_id, actor, created_at, expires_at,
            version FROM suppressions WHERE tenant = $1 AND address_hash = $2",
        tenant.as_str(), hash.0
    )
}

/// The fields of an entry after a person has written it.
struct After<'a> {
    reason: SuppressionReason,
    note: Option<String>,
    expires_at: Option<Timestamp>,
    actor: Option<&'a str>,
}

impl<'a> After<'a> {
    fn of(present: Option<&'a Row>, put: &SuppressionPut, who: &'a Principal) -> Result<Self, StoreError> {
        let before = present.map(Row::reason).transpose()?;
        let is_wish = matches!(
            before,
            Some(SuppressionReason::OptedOut | SuppressionReason::Complaint)
        );
        let reason = before
            .filter(|reason| !reason.ends_with_registration())
            .unwrap_or(SuppressionReason::Manual);
        let expires_at = present.and_then(|row| row.expires_at);
        Ok(Self {
            reason,
            note: put.note.clone().of(present.and_then(|row| row.note.clone())),
            expires_at: if is_wish {
                expires_at
            } else {
                put.expires_at.clone().of(expires_at)
            },
            actor: match present {
                Some(row) if before == Some(reason) => row.actor.as_deref(),
                _ => Some(&who.name),
            },
        })
    }
}

/// Changes an entry that counts.
async fn change(
    tx: &mut Tx,
    who: &Principal,
    row: &Row,
    masked: &str,
    after: &After<'_>,
    version: i64,
) -> Result<(), StoreError> {
    execute!(
        tx,
        "UPDATE suppressions SET reason = $1, masked = $2, note = $3, expires_at = $4, actor = $5, version = $6
        WHERE tenant = $7 AND address_hash = $8",
        <&str>::from(after.reason),
        masked,
        after.note.as_deref(),
        after.expires_at,
        after.actor,
        version,
        who.tenant.as_str(),
        row.address_hash
    )?;
    Ok(())
}

/// Adds an entry. Another one of the address, which does not count any more, is replaced.
async fn insert(
    tx: &mut Tx,
    who: &Principal,
    (channel, hash, masked): (Channel, AddressHash, &str),
    after: &After<'_>,
    (now, version): (Timestamp, i64),
) -> Result<(), StoreError> {
    execute!(
        tx,
        "INSERT INTO suppressions (tenant, address_hash, channel, reason, masked, note, actor, created_at, expires_at,
            version)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (tenant, address_hash) DO UPDATE SET reason = excluded.reason, masked = excluded.masked,
            note = excluded.note, provider = NULL, code = NULL, delivery_id = NULL, actor = excluded.actor,
            created_at = excluded.created_at, expires_at = excluded.expires_at, version = excluded.version",
        who.tenant.as_str(),
        hash.0,
        channel.as_str(),
        <&str>::from(after.reason),
        masked,
        after.note.as_deref(),
        after.actor,
        now,
        after.expires_at,
        version
    )?;
    Ok(())
}

/// Ends the entry of an address. The caller has locked the address.
pub(crate) async fn end(
    tx: &mut Tx,
    tenant: &TenantId,
    hash: AddressHash,
    now: Timestamp,
) -> Result<(), StoreError> {
    execute!(
        tx,
        "UPDATE suppressions SET expires_at = $1, version = version + 1 WHERE tenant = $2 AND address_hash = $3",
        now,
        tenant.as_str(),
        hash.0
    )?;
    Ok(())
}

/// Ends the opt-outs among the entries of addresses; returns whether there was one. The caller has locked the addresses.
pub(crate) async fn consent(
    tx: &mut Tx,
    tenant: &TenantId,
    hashes: &[AddressHash],
    now: Timestamp,
) -> Result<bool, StoreError> {
    let mut had = false;
    for hash in hashes {
        let present = row(tx, tenant, *hash).await?.filter(|row| row.counts(now));
        let Some(present) = present else { continue };
        if present.reason()? == SuppressionReason::OptedOut {
            end(tx, tenant, *hash, now).await?;
            had = true;
        }
    }
    Ok(had)
}
