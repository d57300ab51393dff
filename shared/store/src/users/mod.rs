//! Users and their addresses (tables `users` and `contact_points`).

mod contacts;
mod facts;
mod locks;

use std::{collections::HashMap, sync::Arc};

use carillon_domain::{
    Channel, ContactPoint, ContactPointId, DeliveryId, Platform, TenantId, Timestamp, UserId,
    contact::{Death, DeathReason},
    decide::UserFacts,
};
use serde::{Deserialize, Serialize};

use crate::{
    db::{Db, Tx, again, fetch, write_one},
    error::StoreError,
    read_model,
    versioned::{IfMatch, Versioned, Written},
};

/// A device that receives push messages.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its platform.
    pub platform: Platform,
    /// The registration token.
    pub token: String,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device")
            .field("platform", &self.platform)
            .finish_non_exhaustive()
    }
}

/// The reason for which an address receives no more messages: the provider's verdict, and its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Obituary {
    /// The reason.
    pub reason: DeathReason,
    /// The provider's structured code.
    pub code: String,
    /// The provider account that returned the verdict.
    pub provider: Option<String>,
    /// The time at which it was recorded.
    pub at: Timestamp,
    /// The delivery that caused it.
    pub delivery_id: Option<DeliveryId>,
}

/// A device of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegisteredDevice {
    /// The device.
    #[serde(flatten)]
    pub device: Device,
    /// Set if the device receives no more messages; registering it again revives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead: Option<Obituary>,
}

/// A user.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// The id by which the event source knows the user.
    pub id: UserId,
    /// E-mail address.
    pub email: Option<String>,
    /// Set if the e-mail address receives no more messages; setting it again revives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_dead: Option<Obituary>,
    /// Phone, E.164.
    pub phone: Option<String>,
    /// Set if the phone receives no more messages; setting it again revives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_dead: Option<Obituary>,
    /// BCP 47.
    pub locale: Option<String>,
    /// IANA name.
    pub timezone: Option<String>,
    /// Devices, in order of registration.
    pub devices: Vec<RegisteredDevice>,
}

/// The content of a `PUT` of a user. The caller has checked the addresses.
#[derive(Clone, Default)]
pub struct UserPut {
    /// E-mail address; `None` removes it.
    pub email: Option<String>,
    /// Phone, E.164; `None` removes it.
    pub phone: Option<String>,
    /// BCP 47.
    pub locale: Option<String>,
    /// IANA name.
    pub timezone: Option<String>,
    /// All devices; `None` leaves them as they are.
    pub devices: Option<Vec<Device>>,
}

/// An address that a provider has declared dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadContact {
    /// The tenant.
    pub tenant: TenantId,
    /// The contact point.
    pub id: ContactPointId,
    /// The provider's structured code.
    pub code: String,
    /// The reason.
    pub reason: DeathReason,
    /// The provider account that returned the verdict.
    pub provider: Arc<str>,
    /// The delivery that caused it.
    pub delivery_id: DeliveryId,
    /// The time of the message that failed; an address registered since then is not marked.
    pub seen_at: Timestamp,
}

/// A contact point, looked up for sending.
#[derive(Debug, Clone)]
pub struct ResolvedContact {
    /// The address.
    pub point: ContactPoint,
    /// The provider's verdict, if it has declared the address dead.
    pub dead: Option<Death>,
}

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

    /// Writes a user. A device token that belongs to another user is taken from it.
    pub async fn put(
        &self,
        tenant: &TenantId,
        id: &UserId,
        put: &UserPut,
        if_match: IfMatch,
    ) -> Result<Written, StoreError> {
        again(|| self.try_put(tenant, id, put, if_match)).await
    }

    async fn try_put(
        &self,
        tenant: &TenantId,
        id: &UserId,
        put: &UserPut,
        if_match: IfMatch,
    ) -> Result<Written, StoreError> {
        let now = self.db.now();
        let mut tx = self.db.begin().await?;
        if let Some(devices) = &put.devices {
            locks::take(&mut tx, tenant, id, devices).await?;
        }
        let (locale, timezone) = (put.locale.as_deref(), put.timezone.as_deref());
        let version: Option<(i64,)> = match if_match {
            Some(seen) => fetch!(
                optional, tx => (i64,),
                "UPDATE users SET locale = $1, timezone = $2, updated_at = $3, version = version + 1
                WHERE tenant = $4 AND user_id = $5 AND version = $6 RETURNING version",
                locale, timezone, now, tenant.as_str(), id.as_str(), seen
            )?,
            None => fetch!(
                optional, tx => (i64,),
                "INSERT INTO users (tenant, user_id, locale, timezone, version, created_at, updated_at)
                VALUES ($1, $2, $3, $4, 1, $5, $5)
                ON CONFLICT (tenant, user_id) DO UPDATE SET locale = excluded.locale,
                    timezone = excluded.timezone, updated_at = excluded.updated_at, version = users.version + 1
                RETURNING version",
                tenant.as_str(), id.as_str(), locale, timezone, now
            )?,
        };
        let (version,) = version.ok_or(StoreError::PreconditionFailed)?;
        for (channel, address) in [(Channel::Email, &put.email), (Channel::Sms, &put.phone)] {
            contacts::put_primary(&mut tx, tenant, id, channel, address.as_deref(), now).await?;
        }
        if let Some(devices) = &put.devices {
            let left = contacts::put_devices(&mut tx, tenant, id, devices, now).await?;
            touch(&mut tx, tenant, &left, now).await?;
        }
        tx.commit().await?;
        Ok(Written {
            created: version == 1,
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

    /// Erases the user's data in SQL: profile, addresses, preferences, and the user's data in the read model. `false`
    /// if the user does not exist.
    pub async fn delete(&self, tenant: &TenantId, id: &UserId) -> Result<bool, StoreError> {
        // The read model may lie in another file. It comes first, so that after an interruption the user still exists
        // and can be deleted again.
        again(|| async {
            let mut model = self.model.begin().await?;
            read_model::erase_user(&mut model, tenant, id).await?;
            model.commit().await
        })
        .await?;
        // Addresses and preferences are deleted with the row that they refer to.
        let removed = write_one!(
            self.db,
            "DELETE FROM users WHERE tenant = $1 AND user_id = $2",
            tenant.as_str(),
            id.as_str()
        )?;
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
