//! Addresses of users (table `contact_points`).

use std::collections::{HashMap, HashSet};

use carillon_domain::{
    Channel, ContactPoint, ContactPointId, DeliveryId, TenantId, Timestamp, UserId,
    contact::{self, DeathReason},
};
use uuid::Uuid;

use super::{DeadContact, Device, Obituary, ResolvedContact, locks, opt_outs};
use crate::{
    columns,
    db::{Input, Session, Tx, execute, fetch},
    error::StoreError,
};

/// The columns that all readers of this table use.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) user_id: String,
    channel: String,
    address: String,
    platform: Option<String>,
    pub(super) registered_at: Timestamp,
    dead_code: Option<String>,
    dead_reason: Option<String>,
    dead_provider: Option<String>,
    dead_delivery: Option<Uuid>,
    dead_at: Option<Timestamp>,
}

impl Row {
    pub(super) fn point(&self) -> Result<ContactPoint, StoreError> {
        Ok(ContactPoint {
            id: ContactPointId(self.id),
            channel: columns::parse(&self.channel, "a channel")?,
            address: self.address.clone(),
            platform: self
                .platform
                .as_deref()
                .map(|platform| columns::parse(platform, "a platform"))
                .transpose()?,
        })
    }

    /// The provider's verdict, if it has declared the address dead.
    pub(super) fn death(&self) -> Result<Option<contact::Death>, StoreError> {
        let Some(code) = self.dead_code.clone() else {
            return Ok(None);
        };
        let reason = match self.dead_reason.as_deref() {
            Some(reason) => columns::parse(reason, "the reason of a dead address")?,
            None => DeathReason::Gone,
        };
        Ok(Some(contact::Death { code, reason }))
    }

    /// Like [`Row::death`], with the origin of the verdict.
    pub(super) fn obituary(&self) -> Result<Option<Obituary>, StoreError> {
        let (Some(death), Some(at)) = (self.death()?, self.dead_at) else {
            return Ok(None);
        };
        Ok(Some(Obituary {
            reason: death.reason,
            code: death.code,
            provider: self.dead_provider.clone(),
            at,
            delivery_id: self.dead_delivery.map(DeliveryId),
        }))
    }
}

/// A user's addresses, in the order in which they were registered.
pub(super) async fn of_user(
    session: &mut Session,
    tenant: &TenantId,
    user: &UserId,
) -> Result<Vec<(ContactPoint, Option<Obituary>)>, StoreError> {
    let rows = fetch!(
        all, session => Row,
        "SELECT id, user_id, channel, address, platform, registered_at, dead_code, dead_reason, dead_provider,
            dead_delivery, dead_at FROM contact_points
        WHERE tenant = $1 AND user_id = $2 ORDER BY registered_at, id",
        tenant.as_str(), user.as_str()
    )?;
    rows.iter()
        .map(|row| Ok((row.point()?, row.obituary()?)))
        .collect()
}

/// Addresses of many users; `input` has the columns `tenant` and `user_id`.
pub(super) async fn of_users(session: &mut Session, input: Input<'_>) -> Result<Vec<Row>, StoreError> {
    let mut rows: Vec<Row> = input
        .fetch(
            session.conn(),
            "SELECT c.id, c.user_id, c.channel, c.address, c.platform, c.registered_at, c.dead_code,
            c.dead_reason, c.dead_provider, c.dead_delivery, c.dead_at
            FROM input i JOIN contact_points c ON c.tenant = i.tenant AND c.user_id = i.user_id",
        )
        .await?;
    rows.sort_by_key(|row| (row.registered_at, row.id));
    Ok(rows)
}

pub(super) async fn resolve(
    session: &mut Session,
    ids: &[ContactPointId],
) -> Result<HashMap<ContactPointId, ResolvedContact>, StoreError> {
    let ids: HashSet<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<Row> = Input::new(ids.len())
        .uuid("id", ids.into_iter())
        .fetch(
            session.conn(),
            "SELECT c.id, c.user_id, c.channel, c.address, c.platform, c.registered_at, c.dead_code,
            c.dead_reason, c.dead_provider, c.dead_delivery, c.dead_at
            FROM input i JOIN contact_points c ON c.id = i.id",
        )
        .await?;
    rows.into_iter()
        .map(|row| {
            let point = row.point()?;
            Ok((
                point.id,
                ResolvedContact {
                    point,
                    dead: row.death()?,
                },
            ))
        })
        .collect()
}

/// Writes or removes the user's e-mail address or phone, of which there is one each. An address that was gone is alive
/// again, because the caller vouches for it. An address whose owner has opted out stays dead.
pub(super) async fn put_primary(
    tx: &mut Tx,
    tenant: &TenantId,
    user: &UserId,
    channel: Channel,
    address: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let id = ContactPointId::primary(tenant, user, channel);
    let Some(address) = address else {
        remove(tx, id).await?;
        return Ok(());
    };
    execute!(
        tx,
        "INSERT INTO contact_points (id, tenant, user_id, channel, address, registered_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (id) DO UPDATE SET address = excluded.address, registered_at = excluded.registered_at,
            dead_code = NULL, dead_reason = NULL, dead_provider = NULL, dead_delivery = NULL, dead_at = NULL
        WHERE contact_points.address <> excluded.address
            OR (contact_points.dead_code IS NOT NULL AND contact_points.dead_reason IS DISTINCT FROM 'opted_out')",
        id.0,
        tenant.as_str(),
        user.as_str(),
        channel.as_str(),
        address,
        now
    )?;
    opt_outs::apply(tx, id).await
}

/// Replaces the user's devices, all of them alive. Returns the users that lost a token.
pub(super) async fn put_devices(
    tx: &mut Tx,
    tenant: &TenantId,
    user: &UserId,
    devices: &[Device],
    now: Timestamp,
) -> Result<Vec<UserId>, StoreError> {
    let had = fetch!(
        all, tx => (Uuid,),
        "SELECT id FROM contact_points WHERE tenant = $1 AND user_id = $2 AND channel = 'push'",
        tenant.as_str(), user.as_str()
    )?;
    let mut had: HashSet<Uuid> = had.into_iter().map(|(id,)| id).collect();
    let mut left = Vec::new();
    for device in devices {
        let id = ContactPointId::device(tenant, user, &device.token);
        if had.remove(&id.0) {
            execute!(
                tx,
                "UPDATE contact_points SET platform = $1 WHERE id = $2 AND platform <> $1",
                <&str>::from(device.platform),
                id.0
            )?;
            execute!(
                tx,
                "UPDATE contact_points SET registered_at = $1, dead_code = NULL, dead_reason = NULL,
                    dead_provider = NULL, dead_delivery = NULL, dead_at = NULL
                WHERE id = $2 AND dead_code IS NOT NULL",
                now,
                id.0
            )?;
        } else {
            left.extend(register(tx, tenant, user, device, now).await?.1);
        }
    }
    for id in had {
        remove(tx, ContactPointId(id)).await?;
    }
    Ok(left)
}

/// Registers a device, alive. Returns whether it is new to the user, and the users that lost the token.
pub(super) async fn register(
    tx: &mut Tx,
    tenant: &TenantId,
    user: &UserId,
    device: &Device,
    now: Timestamp,
) -> Result<(bool, Vec<UserId>), StoreError> {
    let id = ContactPointId::device(tenant, user, &device.token);
    let token_hash = locks::token_hash(&device.token);
    let left = fetch!(
        all, tx => (String,),
        "DELETE FROM contact_points WHERE tenant = $1 AND token_hash = $2 AND user_id <> $3 RETURNING user_id",
        tenant.as_str(), &token_hash, user.as_str()
    )?;
    let known = execute!(
        tx,
        "UPDATE contact_points SET platform = $1, registered_at = $2, dead_code = NULL, dead_reason = NULL,
            dead_provider = NULL, dead_delivery = NULL, dead_at = NULL
        WHERE id = $3",
        <&str>::from(device.platform),
        now,
        id.0
    )?;
    if known == 0 {
        execute!(
            tx,
            "INSERT INTO contact_points
                (id, tenant, user_id, channel, address, token_hash, platform, registered_at)
            VALUES ($1, $2, $3, 'push', $4, $5, $6, $7)",
            id.0,
            tenant.as_str(),
            user.as_str(),
            device.token.as_str(),
            &token_hash,
            <&str>::from(device.platform),
            now
        )?;
    }
    Ok((
        known == 0,
        left.into_iter().map(|(user,)| UserId::from(user)).collect(),
    ))
}

pub(super) async fn remove(tx: &mut Tx, id: ContactPointId) -> Result<bool, StoreError> {
    Ok(execute!(tx, "DELETE FROM contact_points WHERE id = $1", id.0)? == 1)
}

pub(super) async fn mark_dead(tx: &mut Tx, dead: &[DeadContact], now: Timestamp) -> Result<(), StoreError> {
    // The earliest verdict on an address is kept. The fixed order avoids deadlocks.
    let mut dead: Vec<&DeadContact> = dead.iter().collect();
    dead.sort_by_key(|contact| (contact.id, contact.seen_at));
    dead.dedup_by_key(|contact| contact.id);
    opt_outs::note(tx, &dead, now).await?;
    Input::new(dead.len())
        .uuid("id", dead.iter().map(|contact| contact.id.0))
        .text("tenant", dead.iter().map(|contact| contact.tenant.as_str()))
        .text("code", dead.iter().map(|contact| contact.code.as_str()))
        .text("reason", dead.iter().map(|contact| contact.reason.into()))
        .text("provider", dead.iter().map(|contact| &*contact.provider))
        .uuid("delivery", dead.iter().map(|contact| contact.delivery_id.0))
        .time("seen_at", dead.iter().map(|contact| contact.seen_at))
        .time("now", dead.iter().map(|_| now))
        .execute(
            tx.conn(),
            "UPDATE contact_points AS c SET dead_code = i.code, dead_reason = i.reason, dead_provider = i.provider,
                dead_delivery = i.delivery, dead_at = i.now
            FROM input AS i
            WHERE c.id = i.id AND c.tenant = i.tenant AND c.registered_at <= i.seen_at AND c.dead_code IS NULL",
        )
        .await?;
    Ok(())
}

/// Revokes strikes that have not changed since.
pub(super) async fn revive(tx: &mut Tx, dead: &[DeadContact]) -> Result<(), StoreError> {
    let mut dead: Vec<&DeadContact> = dead.iter().collect();
    dead.sort_by_key(|contact| contact.id);
    opt_outs::take_back(tx, &dead).await?;
    Input::new(dead.len())
        .uuid("id", dead.iter().map(|contact| contact.id.0))
        .text("tenant", dead.iter().map(|contact| contact.tenant.as_str()))
        .uuid("delivery", dead.iter().map(|contact| contact.delivery_id.0))
        .execute(
            tx.conn(),
            "UPDATE contact_points AS c SET dead_code = NULL, dead_reason = NULL, dead_provider = NULL,
                dead_delivery = NULL, dead_at = NULL
            FROM input AS i WHERE c.id = i.id AND c.tenant = i.tenant AND c.dead_delivery = i.delivery",
        )
        .await?;
    Ok(())
}
