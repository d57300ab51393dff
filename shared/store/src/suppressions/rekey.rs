//! A change of `security.address_key`. The addresses of users are known, so their hashes and their entries move to the new
//! key. Entries of other addresses, such as those of guests, stay under the former key and do not count any more.

use carillon_domain::{
    Channel, TenantId, UserId,
    contact::{AddressHash, AddressKey},
};
use uuid::Uuid;

use super::{Suppressions, write::lock};
use crate::{
    columns,
    db::{Input, Tx, again, execute, fetch},
    error::StoreError,
};

/// The rows that one transaction hashes anew.
const STEP: i64 = 500;

/// A contact point. One that a role of the former release has written has no hash.
#[derive(Debug, sqlx::FromRow)]
struct Hashed {
    id: Uuid,
    tenant: String,
    channel: String,
    address: String,
    address_hash: Option<Uuid>,
}

impl Suppressions {
    /// Whether the addresses of users are hashed under this key; true if the database knows no key yet.
    pub async fn has_key(&self) -> Result<bool, StoreError> {
        let known = self.fingerprints().await?;
        Ok(known.is_empty() || known == [self.fingerprint()])
    }

    fn fingerprint(&self) -> Uuid {
        // No address of a channel begins with NUL.
        self.key.hash(Channel::Push, "\0the key").0
    }

    async fn fingerprints(&self) -> Result<Vec<Uuid>, StoreError> {
        let mut session = self.db.read().await?;
        let known = fetch!(all, session => (Uuid,), "SELECT fingerprint FROM address_keys")?;
        Ok(known.into_iter().map(|(fingerprint,)| fingerprint).collect())
    }

    /// Hashes the addresses of users anew if the key has changed since they were hashed. Returns their number.
    pub async fn follow_key(&self) -> Result<u64, StoreError> {
        let own = self.fingerprint();
        let known = self.fingerprints().await?;
        if known == [own] {
            return Ok(0);
        }
        let (mut after, mut changed) = (Uuid::nil(), 0);
        while !known.is_empty() {
            let (last, count) = again(|| self.step(after)).await?;
            changed += count;
            match last {
                Some(last) => after = last,
                None => break,
            }
        }
        if !known.is_empty() {
            changed += again(|| self.endpoints()).await?;
        }
        if changed > 0 {
            tracing::warn!(
                addresses = changed,
                "security.address_key has changed: addresses of users were hashed anew; entries of the suppression list \
                 whose address no user has do not count any more"
            );
        }
        again(|| async {
            let mut tx = self.db.begin().await?;
            execute!(tx, "DELETE FROM address_keys")?;
            execute!(tx, "INSERT INTO address_keys (fingerprint) VALUES ($1)", own)?;
            tx.commit().await
        })
        .await?;
        Ok(changed)
    }

    /// Hashes the contact points after one anew; returns the last of them, and the number of those that changed.
    async fn step(&self, after: Uuid) -> Result<(Option<Uuid>, u64), StoreError> {
        let mut tx = self.db.begin().await?;
        let rows = fetch!(
            all, tx => Hashed,
            "SELECT id, tenant, channel, address, address_hash FROM contact_points
            WHERE id > $1 AND address_hash IS NOT NULL ORDER BY id LIMIT $2",
            after, STEP
        )?;
        let changed = rehash(&mut tx, &self.key, &rows, CONTACT_POINTS).await?;
        tx.commit().await?;
        Ok((rows.last().map(|row| row.id), changed))
    }

    /// Hashes all endpoints anew; there are few.
    async fn endpoints(&self) -> Result<u64, StoreError> {
        let mut tx = self.db.begin().await?;
        let rows = fetch!(
            all, tx => Hashed,
            "SELECT id, tenant, 'webhook' AS channel, url AS address, address_hash FROM webhook_endpoints"
        )?;
        let changed = rehash(&mut tx, &self.key, &rows, ENDPOINTS).await?;
        tx.commit().await?;
        Ok(changed)
    }
}

/// Hashes the contact points of one user anew, who is about to be written. Returns whether one of them has no hash.
pub(crate) async fn rehash_user(
    tx: &mut Tx,
    key: &AddressKey,
    tenant: &TenantId,
    user: &UserId,
) -> Result<bool, StoreError> {
    let rows = fetch!(
        all, tx => Hashed,
        "SELECT id, tenant, channel, address, address_hash FROM contact_points WHERE tenant = $1 AND user_id = $2",
        tenant.as_str(), user.as_str()
    )?;
    rehash(tx, key, &rows, CONTACT_POINTS).await?;
    Ok(rows.iter().any(|row| row.address_hash.is_none()))
}

/// Replaces the hashes of contact points.
const CONTACT_POINTS: &str = "UPDATE contact_points AS c SET address_hash = i.hash FROM input AS i
    WHERE c.id = i.id AND c.address_hash = i.former";
/// Replaces the hashes of endpoints.
const ENDPOINTS: &str = "UPDATE webhook_endpoints AS c SET address_hash = i.hash FROM input AS i
    WHERE c.id = i.id AND c.address_hash = i.former";

/// Moves hashes under another key, and the entries of their addresses, to this key. Returns their number.
async fn rehash(
    tx: &mut Tx,
    key: &AddressKey,
    rows: &[Hashed],
    update: &'static str,
) -> Result<u64, StoreError> {
    let mut changed = Vec::new();
    for row in rows {
        let channel: Channel = columns::parse(&row.channel, "a channel")?;
        let hash = key.hash(channel, &row.address);
        if let Some(former) = row.address_hash.filter(|former| *former != hash.0) {
            changed.push((row, AddressHash(former), hash));
        }
    }
    if changed.is_empty() {
        return Ok(0);
    }
    let both = changed.iter().flat_map(|(row, former, hash)| {
        let tenant = row.tenant.as_str();
        [(tenant, *former), (tenant, *hash)]
    });
    lock(tx, both).await?;
    let input = || {
        Input::new(changed.len())
            .uuid("id", changed.iter().map(|(row, ..)| row.id))
            .text("tenant", changed.iter().map(|(row, ..)| row.tenant.as_str()))
            .uuid("former", changed.iter().map(|(_, former, _)| former.0))
            .uuid("hash", changed.iter().map(|(.., hash)| hash.0))
    };
    input()
        .execute(
            tx.conn(),
            "UPDATE suppressions AS s SET address_hash = i.hash FROM input AS i
            WHERE s.tenant = i.tenant AND s.address_hash = i.former AND NOT EXISTS
                (SELECT 1 FROM suppressions AS n WHERE n.tenant = i.tenant AND n.address_hash = i.hash)",
        )
        .await?;
    input().execute(tx.conn(), update).await
}
