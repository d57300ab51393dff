//! The suppression list (table `suppressions`): addresses that take no messages, and why. An entry belongs to the tenant
//! and the keyed hash of channel and address, so it holds for all users and guests with the address.
//!
//! An address has one entry. A stronger reason replaces a weaker one (`write.rs`). A registration of the address
//! deletes an entry that came from a provider's verdict. A recipient's START ends the opt-out of the same provider
//! account (`opt_ins.rs`). A person can end any entry. An entry that START or a person has ended stays for a day as an
//! expired one, so that the answer to an older message does not add it again.

mod former;
mod list;
mod opt_ins;
mod people;
mod rekey;
mod rows;
mod write;

use std::{collections::HashSet, time::Duration};

use carillon_domain::{
    TenantId, Timestamp, UserId,
    clock::earlier,
    contact::{AddressHash, AddressKey},
    decide::SuppressedGuests,
};

pub use self::opt_ins::OptIn;
pub use self::rows::{Change, Imported, Strike, SuppressionFilter, SuppressionPut, SuppressionView};
pub(crate) use self::{
    former::{adopt_user, former_reason},
    list::entries_of,
    people::consent,
    rekey::rehash_user,
    rows::{counts, reason},
    write::lock,
};
use self::{
    rows::Short,
    write::{Entry, add, count},
};
use crate::{
    db::{Db, Input, Session, Tx, again, execute, write_one},
    error::StoreError,
};

/// The time for which entries that have expired or were lifted are kept.
const KEPT: Duration = Duration::from_hours(24);

/// The suppression list.
#[derive(Debug, Clone)]
pub struct Suppressions {
    db: Db,
    key: AddressKey,
}

impl Suppressions {
    pub(crate) fn new(db: Db, key: AddressKey) -> Self {
        Self { db, key }
    }

    /// Those of a tenant's addresses that are suppressed.
    pub async fn of(
        &self,
        tenant: &TenantId,
        addresses: &[AddressHash],
    ) -> Result<SuppressedGuests, StoreError> {
        if addresses.is_empty() {
            return Ok(SuppressedGuests::new());
        }
        of_addresses(&mut self.db.read().await?, tenant, addresses, self.db.now()).await
    }

    /// Adds addresses that providers have refused, unless they were registered again or lifted since the message was sent.
    pub async fn strike(&self, strikes: &[Strike]) -> Result<(), StoreError> {
        let added = again(|| async {
            let now = self.db.now();
            let mut tx = self.db.begin_batch(strikes.len()).await?;
            let addresses = strikes
                .iter()
                .map(|strike| (strike.tenant.as_str(), strike.address_hash));
            lock(&mut tx, addresses).await?;
            let added = add(&mut tx, &entries(strikes, now)).await?;
            tx.commit().await?;
            Ok(added)
        })
        .await?;
        count(&added);
        Ok(())
    }

    /// Revokes strikes that turned out to be a fault of the provider account. An entry that a person has written over a
    /// strike stays.
    pub async fn revoke(&self, strikes: &[Strike]) -> Result<(), StoreError> {
        again(|| async {
            let mut strikes: Vec<&Strike> = strikes.iter().collect();
            strikes.sort_by_key(|strike| strike.address_hash);
            let mut write = self.db.write_batch(strikes.len()).await?;
            Input::new(strikes.len())
                .text("tenant", strikes.iter().map(|strike| strike.tenant.as_str()))
                .uuid("hash", strikes.iter().map(|strike| strike.address_hash.0))
                .uuid("delivery", strikes.iter().map(|strike| strike.delivery_id.0))
                .execute(
                    write.conn(),
                    "DELETE FROM suppressions WHERE actor IS NULL AND (tenant, address_hash, delivery_id) IN
                        (SELECT tenant, hash, delivery FROM input)",
                )
                .await?;
            write.commit().await
        })
        .await
    }

    /// Deletes entries that ended more than a day ago. Returns their number.
    pub async fn prune(&self) -> Result<u64, StoreError> {
        let before = earlier(self.db.now(), KEPT);
        let mut removed = 0;
        loop {
            let count = write_one!(
                self.db,
                "DELETE FROM suppressions WHERE (tenant, address_hash) IN
                    (SELECT tenant, address_hash FROM suppressions WHERE expires_at < $1 LIMIT 1000)",
                before
            )?;
            removed += count;
            if count == 0 {
                return Ok(removed);
            }
        }
    }
}

/// The entries of strikes, one for each address: the strongest, of these the earliest.
fn entries(strikes: &[Strike], now: Timestamp) -> Vec<Entry<'_>> {
    let mut strikes: Vec<&Strike> = strikes.iter().collect();
    strikes.sort_by_key(|strike| (strike.reason.ends_with_registration(), strike.seen_at));
    let mut taken = HashSet::new();
    strikes.retain(|strike| taken.insert((&strike.tenant, strike.address_hash)));
    strikes
        .into_iter()
        .map(|strike| Entry {
            tenant: strike.tenant.as_str(),
            hash: strike.address_hash,
            channel: strike.channel,
            reason: strike.reason,
            masked: &strike.masked,
            note: None,
            provider: Some(&strike.provider),
            code: Some(&strike.code),
            delivery: Some(strike.delivery_id.0),
            actor: None,
            created_at: now,
            expires_at: None,
            seen_at: Some(strike.seen_at),
            now,
        })
        .collect()
}

/// Those of a tenant's addresses that are suppressed.
pub(crate) async fn of_addresses(
    session: &mut Session,
    tenant: &TenantId,
    addresses: &[AddressHash],
    now: Timestamp,
) -> Result<SuppressedGuests, StoreError> {
    let found: Vec<Short> = Input::new(addresses.len())
        .text("tenant", addresses.iter().map(|_| tenant.as_str()))
        .uuid("hash", addresses.iter().map(|hash| hash.0))
        .fetch(
            session.conn(),
            "SELECT s.address_hash, s.reason, s.created_at, s.expires_at
            FROM input i JOIN suppressions s ON s.tenant = i.tenant AND s.address_hash = i.hash",
        )
        .await?;
    let mut suppressed = SuppressedGuests::with_capacity(found.len());
    for row in found {
        if let Some(suppression) = row.suppression(now)? {
            suppressed.insert(AddressHash(row.address_hash), suppression);
        }
    }
    Ok(suppressed)
}

/// Deletes the entry of a provider's verdict on an address that is being registered. Returns whether there was one. The
/// caller has locked the address.
pub(crate) async fn registered(
    tx: &mut Tx,
    tenant: &TenantId,
    hash: AddressHash,
) -> Result<bool, StoreError> {
    let lifted = execute!(
        tx,
        "DELETE FROM suppressions WHERE tenant = $1 AND address_hash = $2 AND reason IN ('hard_bounce', 'dead_token')",
        tenant.as_str(),
        hash.0
    )?;
    Ok(lifted > 0)
}

/// Removes the personal data from the entries of a user's addresses: the masked address and the note. The hash,
/// the reason and its origin stay, so that the address goes on taking no messages.
pub(crate) async fn erase_user(tx: &mut Tx, tenant: &TenantId, user: &UserId) -> Result<(), StoreError> {
    execute!(
        tx,
        "UPDATE suppressions SET masked = NULL, note = NULL, version = version + 1
        WHERE tenant = $1 AND address_hash IN
            (SELECT address_hash FROM contact_points WHERE tenant = $1 AND user_id = $2
            UNION ALL SELECT address_hash FROM webhook_endpoints WHERE tenant = $1 AND user_id = $2)",
        tenant.as_str(),
        user.as_str()
    )?;
    Ok(())
}
