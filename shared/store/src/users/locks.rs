//! The order in which writers of users and their addresses lock rows. Writers with different orders would
//! deadlock.

use carillon_domain::{TenantId, UserId};
use sha2::{Digest as _, Sha256};

use super::Device;
use crate::{
    db::{Conn, Input, Tx, execute},
    error::StoreError,
};

/// Takes PostgreSQL's locks for registering devices in an order that all writers keep: tokens, then users,
/// then addresses. While a token is locked, no other writer registers it, so its owner can only lose it.
/// (SQLite has one writer.)
pub(super) async fn take(
    tx: &mut Tx,
    tenant: &TenantId,
    user: &UserId,
    devices: &[Device],
) -> Result<(), StoreError> {
    if let Conn::Sqlite(..) = tx.conn() {
        return Ok(());
    }
    let hashes: Vec<Vec<u8>> = devices.iter().map(|device| token_hash(&device.token)).collect();
    if !hashes.is_empty() {
        let mut locks: Vec<i64> = hashes.iter().map(|hash| token_lock(tenant, hash)).collect();
        locks.sort_unstable();
        locks.dedup();
        Input::new(locks.len())
            .big("token", locks.into_iter())
            .execute(tx.conn(), "SELECT pg_advisory_xact_lock(token) FROM input")
            .await?;
    }
    let owners: Vec<(String,)> = Input::new(hashes.len())
        .bytes("token_hash", hashes.iter().map(|hash| Some(hash.as_slice())))
        .text("tenant", hashes.iter().map(|_| tenant.as_str()))
        .fetch(
            tx.conn(),
            "SELECT DISTINCT c.user_id FROM input i
            JOIN contact_points c ON c.tenant = i.tenant AND c.token_hash = i.token_hash",
        )
        .await?;
    let mut users: Vec<&str> = owners.iter().map(|(owner,)| owner.as_str()).collect();
    users.push(user.as_str());
    users.sort_unstable();
    users.dedup();
    for user in users {
        execute!(
            tx,
            "SELECT 1 FROM users WHERE tenant = $1 AND user_id = $2 FOR UPDATE",
            tenant.as_str(),
            user
        )?;
    }
    Ok(())
}

pub(super) fn token_hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

/// Names a token's lock. Two tokens with the same lock name merely wait for each other.
fn token_lock(tenant: &TenantId, token_hash: &[u8]) -> i64 {
    let digest = Sha256::new()
        .chain_update(tenant.as_str())
        .chain_update([0])
        .chain_update(token_hash)
        .finalize();
    let mut name = [0; 8];
    name.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(name)
}
