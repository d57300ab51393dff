//! Addresses whose owner has told a provider to stop (table `opt_outs`). An opt-out belongs to the user and the
//! address: it stays while profiles are written, also if the address leaves the profile and comes back.

use carillon_domain::{Channel, ContactPointId, TenantId, Timestamp, UserId, contact::DeathReason};

use super::DeadContact;
use crate::{
    db::{Input, Tx, execute},
    error::StoreError,
};

/// Notes the opt-outs among addresses that have just been struck.
pub(super) async fn note(tx: &mut Tx, struck: &[&DeadContact], now: Timestamp) -> Result<(), StoreError> {
    let stops: Vec<&&DeadContact> = struck
        .iter()
        .filter(|contact| contact.reason == DeathReason::OptedOut)
        .collect();
    if stops.is_empty() {
        return Ok(());
    }
    Input::new(stops.len())
        .uuid("id", stops.iter().map(|contact| contact.id.0))
        .text("tenant", stops.iter().map(|contact| contact.tenant.as_str()))
        .text("code", stops.iter().map(|contact| contact.code.as_str()))
        .text("provider", stops.iter().map(|contact| &*contact.provider))
        .uuid("delivery", stops.iter().map(|contact| contact.delivery_id.0))
        .time("seen_at", stops.iter().map(|contact| contact.seen_at))
        .time("now", stops.iter().map(|_| now))
        .execute(
            tx.conn(),
            "INSERT INTO opt_outs (tenant, user_id, channel, address, code, provider, delivery, noted_at)
            SELECT c.tenant, c.user_id, c.channel, c.address, i.code, i.provider, i.delivery, i.now
            FROM input i JOIN contact_points c ON c.id = i.id AND c.tenant = i.tenant
            WHERE c.registered_at <= i.seen_at
            ON CONFLICT (tenant, user_id, channel, address) DO NOTHING",
        )
        .await?;
    Ok(())
}

/// Strikes an address that has just been written, if its owner has opted out of it.
pub(super) async fn apply(tx: &mut Tx, id: ContactPointId) -> Result<(), StoreError> {
    execute!(
        tx,
        "UPDATE contact_points AS c SET dead_code = o.code, dead_reason = 'opted_out', dead_provider = o.provider,
            dead_delivery = o.delivery, dead_at = o.noted_at
        FROM opt_outs AS o
        WHERE c.id = $1 AND c.dead_code IS NULL AND o.tenant = c.tenant AND o.user_id = c.user_id
            AND o.channel = c.channel AND o.address = c.address",
        id.0
    )?;
    Ok(())
}

/// Forgets the opt-outs that these deliveries have found.
pub(super) async fn take_back(tx: &mut Tx, dead: &[&DeadContact]) -> Result<(), StoreError> {
    for contact in dead {
        if contact.reason == DeathReason::OptedOut {
            execute!(
                tx,
                "DELETE FROM opt_outs WHERE tenant = $1 AND delivery = $2",
                contact.tenant.as_str(),
                contact.delivery_id.0
            )?;
        }
    }
    Ok(())
}

/// Forgets a user's opt-out of the present address on a channel, which is alive again. `false` if there is none.
pub(super) async fn consent(
    tx: &mut Tx,
    tenant: &TenantId,
    user: &UserId,
    channel: Channel,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let forgotten = execute!(
        tx,
        "DELETE FROM opt_outs WHERE tenant = $1 AND user_id = $2 AND channel = $3 AND address IN
            (SELECT address FROM contact_points WHERE tenant = $1 AND user_id = $2 AND channel = $3)",
        tenant.as_str(),
        user.as_str(),
        channel.as_str()
    )?;
    let revived = execute!(
        tx,
        "UPDATE contact_points SET registered_at = $1, dead_code = NULL, dead_reason = NULL, dead_provider = NULL,
            dead_delivery = NULL, dead_at = NULL
        WHERE tenant = $2 AND user_id = $3 AND channel = $4 AND dead_reason = 'opted_out'",
        now,
        tenant.as_str(),
        user.as_str(),
        channel.as_str()
    )?;
    Ok(forgotten + revived > 0)
}
