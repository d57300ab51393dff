//! The order in which writers of users and their addresses lock rows. Writers with different orders would
//! deadlock.

use carillon_domain::{Channel, TenantId, UserId, contact::AddressKey};
use sha2::{Digest as _, Sha256};

use super::Device;
use crate::{
    db::{Conn, Input, Tx, execute},
    error::StoreError,
    suppressions,
};

/// Takes PostgreSQL's locks for registering addresses in an order that all writers keep: addresses, then users, then
/// contact points. While a device's token is locked, no other writer registers it, so its owner can only lose it; and
/// no provider's answer puts a locked address on the suppression list. (SQLite has one writer.)
pub(super) async fn take(
    tx: &mut Tx,
    key: &AddressKey,
    tenant: &TenantId,
    user: &UserId,
    addresses: &[(Channel, &str)],
    devices: &[Device],
) -> Result<(), StoreError> {
    if let Conn::Sqlite(..) = tx.conn() {
        return Ok(());
    }
    let tokens = devices
        .iter()
        .map(|device| (Channel::Push, device.token.as_str()));
    let all = addresses.iter().copied().chain(tokens);
    let locked = all.map(|(channel, address)| (tenant.as_str(), key.hash(channel, address)));
    suppressions::lock(tx, locked).await?;
    let hashes: Vec<Vec<u8>> = devices.iter().map(|device| token_hash(&device.token)).collect();
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
