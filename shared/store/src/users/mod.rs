//! Users and their addresses (tables `users`, `contact_points` and `opt_outs`).

mod contacts;
mod facts;
mod locks;
mod opt_outs;
mod profile;

use std::collections::HashMap;

use carillon_domain::{Channel, ContactPointId, TenantId, Timestamp, UserId, decide::UserFacts};
use carillon_runtime::http::Conditions;

pub use self::profile::{DeadContact, Device, Obituary, RegisteredDevice, ResolvedContact, User, UserPut};
use crate::{
    db::{Db, Tx, again, fetch, write_one},
    error::StoreError,
    fault::Fault,
    read_model,
    versioned::{Versioned, Written, drawn, is_first, require, written},
};

#[derive(sqlx::FromRow)]
struct Row {
    locale: Option<String>,
    timezone: Option<String>,
    version: i64,
}

/// The users.
#[derive(Debug, Clone)]
pub struct Users {
    db: Db,
    model: Db,
}

impl Users {
    pub(crate) fn new(db: Db, model: Db) -> Self {
        Self { db, model }
    }

    /// Writes a user, if the conditions hold. A device token that belongs to another user is taken from it.
    pub async fn put(
        &self,
        tenant: &TenantId,
        id: &UserId,
        put: &UserPut,
        conditions: Option<&Conditions>,
    ) -> Result<Written, StoreError> {
        again(|| self.try_put(tenant, id, put, conditions)).await
    }

    async fn try_put(
        &self,
        tenant: &TenantId,
        id: &UserId,
        put: &UserPut,
        conditions: Option<&Conditions>,
    ) -> Result<Written, StoreError> {
        let now = self.db.now();
        let mut tx = self.db.begin().await?;
        if let Some(devices) = &put.devices {
            locks::take(&mut tx, tenant, id, devices).await?;
        }
        let current = match conditions {
            Some(conditions) => {
                let current = lock(&mut tx, tenant, id).await?;
                require(conditions, current.is_some(), current)?;
                current
            }
            None => None,
        };
        let (locale, timezone) = (put.locale.as_deref(), put.timezone.as_deref());
        // A user whom a concurrent request has made since the conditions were looked at has a version above 0.
        let version = fetch!(
            optional, tx => (i64,),
            "INSERT INTO users (tenant, user_id, locale, timezone, version, created_at, updated_at)
            VALUES ($1, $2, $3, $4, $8, $5, $5)
            ON CONFLICT (tenant, user_id) DO UPDATE SET locale = excluded.locale,
                timezone = excluded.timezone, updated_at = excluded.updated_at, version = users.version + 1
            WHERE $6 OR users.version = $7
            RETURNING version",
            tenant.as_str(), id.as_str(), locale, timezone, now, conditions.is_none(), current.unwrap_or(0),
            drawn() + 1
        )?;
        let version = written(version)?;
        for (channel, address) in [(Channel::Email, &put.email), (Channel::Sms, &put.phone)] {
            contacts::put_primary(&mut tx, tenant, id, channel, address.as_deref(), now).await?;
        }
        if let Some(devices) = &put.devices {
            let left = contacts::put_devices(&mut tx, tenant, id, devices, now).await?;
            touch(&mut tx, tenant, &left, now).await?;
        }
        tx.commit().await?;
        Ok(Written {
            created: is_first(version),
            version,
        })
    }

    /// Reads a user.
    pub async fn get(&self, tenant: &TenantId, id: &UserId) -> Result<Option<Versioned<User>>, StoreError> {
        let mut session = self.db.read().await?;
        let row = fetch!(
            optional, session => Row,
            "SELECT locale, timezone, version FROM users WHERE tenant = $1 AND user_id = $2",
            tenant.as_str(), id.as_str()
        )?;
        let Some(row) = row else { return Ok(None) };
        let mut user = User {
            id: id.clone(),
            email: None,
            email_dead: None,
            phone: None,
            phone_dead: None,
            locale: row.locale,
            timezone: row.timezone,
            devices: Vec::new(),
        };
        for (point, dead) in contacts::of_user(&mut session, tenant, id).await? {
            match (point.channel, point.platform) {
                (Channel::Email, _) => (user.email, user.email_dead) = (Some(point.address), dead),
                (Channel::Sms, _) => (user.phone, user.phone_dead) = (Some(point.address), dead),
                (Channel::Push, Some(platform)) => {
                    let token = point.address;
                    let device = Device { platform, token };
                    user.devices.push(RegisteredDevice { device, dead });
                }
                (Channel::Push, None) => return Err(StoreError::Corrupt { what: "a device" }),
            }
        }
        Ok(Some(Versioned {
            value: user,
            version: row.version,
        }))
    }

    /// Erases the user's data in SQL, if the conditions hold: profile, addresses, opt-outs, preferences, and the
    /// user's data in the read model. `false` if the user does not exist.
    pub async fn delete(
        &self,
        tenant: &TenantId,
        id: &UserId,
        conditions: Option<&Conditions>,
    ) -> Result<bool, StoreError> {
        again(|| self.try_delete(tenant, id, conditions)).await
    }

    async fn try_delete(
        &self,
        tenant: &TenantId,
        id: &UserId,
        conditions: Option<&Conditions>,
    ) -> Result<bool, StoreError> {
        let mut seen = None;
        if let Some(conditions) = conditions {
            seen = self.get(tenant, id).await?.map(|user| user.version);
            require(conditions, seen.is_some(), seen)?;
        }
        // The read model may lie in another file. It comes first, so that after an interruption the user still exists
        // and can be deleted again.
        let mut model = self.model.begin().await?;
        read_model::erase_user(&mut model, tenant, id).await?;
        model.commit().await?;
        // Addresses and preferences are deleted with the row that they refer to.
        let removed = write_one!(
            self.db,
            "DELETE FROM users WHERE tenant = $1 AND user_id = $2 AND ($3 OR version = $4)",
            tenant.as_str(),
            id.as_str(),
            seen.is_none(),
            seen.unwrap_or(0)
        )?;
        if removed == 0 && seen.is_some() {
            // A concurrent request has changed or deleted the user since the conditions were looked at.
            return Err(StoreError::Unavailable(Fault::Conflict, None));
        }
        Ok(removed == 1)
    }

    /// Registers one device and revives it if a provider has declared it dead. Returns [`StoreError::NotFound`] if
    /// the user does not exist.
    pub async fn put_device(
        &self,
        tenant: &TenantId,
        id: &UserId,
        device: &Device,
    ) -> Result<Written, StoreError> {
        again(|| self.try_put_device(tenant, id, device)).await
    }

    async fn try_put_device(
        &self,
        tenant: &TenantId,
        id: &UserId,
        device: &Device,
    ) -> Result<Written, StoreError> {
        let now = self.db.now();
        let mut tx = self.db.begin().await?;
        locks::take(&mut tx, tenant, id, std::slice::from_ref(device)).await?;
        let Some(version) = touch_one(&mut tx, tenant, id, now).await? else {
            return Err(StoreError::NotFound { what: "user" });
        };
        let (created, left) = contacts::register(&mut tx, tenant, id, device, now).await?;
        touch(&mut tx, tenant, &left, now).await?;
        tx.commit().await?;
        Ok(Written { created, version })
    }

    /// Removes one device; `false` if the user has no device with that token.
    pub async fn delete_device(
        &self,
        tenant: &TenantId,
        id: &UserId,
        token: &str,
    ) -> Result<bool, StoreError> {
        again(|| async {
            let mut tx = self.db.begin().await?;
            // Locks the user before the addresses, as all writers do; the opposite order would deadlock.
            locks::take(&mut tx, tenant, id, &[]).await?;
            let removed = contacts::remove(&mut tx, ContactPointId::device(tenant, id, token)).await?;
            if removed {
                touch_one(&mut tx, tenant, id, self.db.now()).await?;
            }
            tx.commit().await?;
            Ok(removed)
        })
        .await
    }

    /// Marks addresses as dead, unless they were registered again since their message was sent.
    pub async fn mark_dead(&self, dead: &[DeadContact]) -> Result<(), StoreError> {
        again(|| async {
            let mut tx = self.db.begin().await?;
            contacts::mark_dead(&mut tx, dead, self.db.now()).await?;
            tx.commit().await
        })
        .await
    }

    /// Revokes strikes that turned out to be a fault of the provider account, unless the addresses have changed
    /// since.
    pub async fn revive(&self, dead: &[DeadContact]) -> Result<(), StoreError> {
        again(|| async {
            let mut tx = self.db.begin().await?;
            contacts::revive(&mut tx, dead).await?;
            tx.commit().await
        })
        .await
    }

    /// Records that a user who opted out on a channel has consented again. `false` if the user had not opted out.
    pub async fn consent(
        &self,
        tenant: &TenantId,
        id: &UserId,
        channel: Channel,
    ) -> Result<bool, StoreError> {
        again(|| async {
            let now = self.db.now();
            let mut tx = self.db.begin().await?;
            if touch_one(&mut tx, tenant, id, now).await?.is_none() {
                return Err(StoreError::NotFound { what: "user" });
            }
            let had = opt_outs::consent(&mut tx, tenant, id, channel, now).await?;
            // Nothing has changed, so the version stays.
            if had {
                tx.commit().await?;
            }
            Ok(had)
        })
        .await
    }

    /// The facts about users that a decision needs; unknown users are absent. One round trip for each table.
    pub async fn load_facts(
        &self,
        tenant: &TenantId,
        ids: &[UserId],
    ) -> Result<HashMap<UserId, UserFacts>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        facts::load(&mut self.db.read().await?, tenant, ids).await
    }

    /// Looks up addresses for sending; deleted ones are absent.
    pub async fn resolve(
        &self,
        ids: &[ContactPointId],
    ) -> Result<HashMap<ContactPointId, ResolvedContact>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        contacts::resolve(&mut self.db.read().await?, ids).await
    }
}

/// Takes the lock of a user's row. Returns the present version, or `None` if the user does not exist.
async fn lock(tx: &mut Tx, tenant: &TenantId, id: &UserId) -> Result<Option<i64>, StoreError> {
    let version = fetch!(
        optional, tx => (i64,),
        "UPDATE users SET updated_at = updated_at WHERE tenant = $1 AND user_id = $2 RETURNING version",
        tenant.as_str(), id.as_str()
    )?;
    Ok(version.map(|(version,)| version))
}

/// Increases a user's version; returns it, or `None` if the user does not exist.
async fn touch_one(
    tx: &mut Tx,
    tenant: &TenantId,
    id: &UserId,
    now: Timestamp,
) -> Result<Option<i64>, StoreError> {
    let version = fetch!(
        optional, tx => (i64,),
        "UPDATE users SET version = version + 1, updated_at = $1 WHERE tenant = $2 AND user_id = $3
        RETURNING version",
        now, tenant.as_str(), id.as_str()
    )?;
    Ok(version.map(|(version,)| version))
}

async fn touch(tx: &mut Tx, tenant: &TenantId, ids: &[UserId], now: Timestamp) -> Result<(), StoreError> {
    for id in ids {
        touch_one(tx, tenant, id, now).await?;
    }
    Ok(())
}
