//! Users and their addresses (tables `users`, `contact_points` and `webhook_endpoints`).

mod contacts;
mod endpoints;
mod facts;
mod locks;
mod profile;

use std::collections::HashMap;

use carillon_domain::{
    Channel, ContactPointId, TenantId, Timestamp, UserId,
    contact::{AddressHash, AddressKey, SigningSecret},
    decide::{Contact, UserFacts},
};
use carillon_runtime::http::Conditions;
use uuid::Uuid;

use self::contacts::Reader;
pub use self::{
    endpoints::MOST_ENDPOINTS,
    profile::{Device, Endpoint, EndpointPut, RegisteredDevice, User, UserPut},
};
use crate::{
    api_keys::Principal,
    audit_log::{self, AuditAction},
    db::{Db, Session, Tx, again, execute, fetch},
    error::StoreError,
    fault::Fault,
    read_model, suppressions,
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
    key: AddressKey,
}

impl Users {
    pub(crate) fn new(db: Db, model: Db, key: AddressKey) -> Self {
        Self { db, model, key }
    }

    /// Updates the hashes of a user's addresses before the user is written: those computed under another key, and those
    /// that the former release did not compute.
    async fn hash_anew(
        &self,
        tx: &mut Tx,
        tenant: &TenantId,
        id: &UserId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if suppressions::rehash_user(tx, &self.key, tenant, id).await? {
            suppressions::adopt_user(tx, &self.key, tenant, id, now).await?;
        }
        Ok(())
    }

    fn reader<'a>(&'a self, session: &'a mut Session, tenant: &'a TenantId) -> Reader<'a> {
        Reader {
            session,
            tenant,
            key: &self.key,
            now: self.db.now(),
        }
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
        self.hash_anew(&mut tx, tenant, id, now).await?;
        let email = put.email.as_deref().map(|email| (Channel::Email, email));
        let phone = put.phone.as_deref().map(|phone| (Channel::Sms, phone));
        let addresses: Vec<(Channel, &str)> = email.into_iter().chain(phone).collect();
        let devices = put.devices.as_deref().unwrap_or_default();
        if !addresses.is_empty() || !devices.is_empty() {
            locks::take(&mut tx, &self.key, tenant, id, &addresses, devices).await?;
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
        // A version above 0 means that a concurrent request has created the user after the conditions were checked.
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
            let address = (channel, address.as_deref());
            contacts::put_primary(&mut tx, &self.key, tenant, id, address, now).await?;
        }
        if let Some(devices) = &put.devices {
            let left = contacts::put_devices(&mut tx, &self.key, tenant, id, devices, now).await?;
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
            email_suppressed: None,
            phone: None,
            phone_suppressed: None,
            locale: row.locale,
            timezone: row.timezone,
            devices: Vec::new(),
            webhooks: Vec::new(),
        };
        let contacts = contacts::of_user(&mut self.reader(&mut session, tenant), id).await?;
        for (point, suppressed) in contacts {
            match (point.channel, point.platform) {
                (Channel::Email, _) => {
                    (user.email, user.email_suppressed) = (Some(point.address), suppressed);
                }
                (Channel::Sms, _) => {
                    (user.phone, user.phone_suppressed) = (Some(point.address), suppressed);
                }
                (Channel::Push, Some(platform)) => {
                    let token = point.address;
                    let device = Device { platform, token };
                    user.devices.push(RegisteredDevice { device, suppressed });
                }
                (Channel::Push, None) | (Channel::Webhook, _) => {
                    return Err(StoreError::Corrupt { what: "a device" });
                }
            }
        }
        user.webhooks = endpoints::of_user(&mut self.reader(&mut session, tenant), id).await?;
        Ok(Some(Versioned {
            value: user,
            version: row.version,
        }))
    }

    /// Erases the user's data in SQL, if the conditions hold: profile, addresses, preferences, and the user's data in
    /// the read model. Entries of the suppression list stay, without the masked address and the note. `false` if the
    /// user does not exist.
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
        let mut tx = self.db.begin().await?;
        self.hash_anew(&mut tx, tenant, id, self.db.now()).await?;
        suppressions::erase_user(&mut tx, tenant, id).await?;
        let removed = execute!(
            tx,
            "DELETE FROM users WHERE tenant = $1 AND user_id = $2 AND ($3 OR version = $4)",
            tenant.as_str(),
            id.as_str(),
            seen.is_none(),
            seen.unwrap_or(0)
        )?;
        if removed == 0 && seen.is_some() {
            // A concurrent request has changed or deleted the user after the conditions were checked.
            return Err(StoreError::Unavailable(Fault::Conflict, None));
        }
        tx.commit().await?;
        Ok(removed == 1)
    }

    /// Registers one device. A provider's verdict against its token does not count any more. Returns
    /// [`StoreError::NotFound`] if the user does not exist.
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
        self.hash_anew(&mut tx, tenant, id, now).await?;
        locks::take(&mut tx, &self.key, tenant, id, &[], std::slice::from_ref(device)).await?;
        let Some(version) = touch_one(&mut tx, tenant, id, now).await? else {
            return Err(StoreError::NotFound { what: "user" });
        };
        let (created, left) = contacts::register(&mut tx, &self.key, tenant, id, device, now).await?;
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
            locks::take(&mut tx, &self.key, tenant, id, &[], &[]).await?;
            let removed = contacts::remove(&mut tx, ContactPointId::device(tenant, id, token)).await?;
            if removed {
                touch_one(&mut tx, tenant, id, self.db.now()).await?;
            }
            tx.commit().await?;
            Ok(removed)
        })
        .await
    }

    /// Registers an endpoint, or replaces the one of its name. A verdict against its URL does not count any more. Returns
    /// [`StoreError::NotFound`] if the user does not exist, and [`StoreError::Full`] if the user has
    /// [`MOST_ENDPOINTS`].
    pub async fn put_endpoint(
        &self,
        tenant: &TenantId,
        id: &UserId,
        put: &EndpointPut,
    ) -> Result<Written, StoreError> {
        again(|| async {
            let now = self.db.now();
            let mut tx = self.db.begin().await?;
            let address = [(Channel::Webhook, put.url.as_str())];
            locks::take(&mut tx, &self.key, tenant, id, &address, &[]).await?;
            let Some(version) = touch_one(&mut tx, tenant, id, now).await? else {
                return Err(StoreError::NotFound { what: "user" });
            };
            let created = endpoints::put(&mut tx, &self.key, tenant, id, put, now).await?;
            tx.commit().await?;
            Ok(Written { created, version })
        })
        .await
    }

    /// Removes an endpoint; `false` if the user has none of that name.
    pub async fn delete_endpoint(
        &self,
        tenant: &TenantId,
        id: &UserId,
        name: &str,
    ) -> Result<bool, StoreError> {
        again(|| async {
            let mut tx = self.db.begin().await?;
            locks::take(&mut tx, &self.key, tenant, id, &[], &[]).await?;
            let removed = endpoints::remove(&mut tx, ContactPointId::endpoint(tenant, id, name)).await?;
            if removed {
                touch_one(&mut tx, tenant, id, self.db.now()).await?;
            }
            tx.commit().await?;
            Ok(removed)
        })
        .await
    }

    /// Takes back a user's opt-out of the present addresses on a channel: the user has consented again. `false` if there
    /// is none.
    pub async fn consent(&self, who: &Principal, id: &UserId, channel: Channel) -> Result<bool, StoreError> {
        again(|| async {
            let tenant = &who.tenant;
            let now = self.db.now();
            let mut tx = self.db.begin().await?;
            self.hash_anew(&mut tx, tenant, id, now).await?;
            let hashes = fetch!(
                all, tx => (Uuid,),
                "SELECT address_hash FROM contact_points WHERE tenant = $1 AND user_id = $2 AND channel = $3
                    AND address_hash IS NOT NULL",
                tenant.as_str(), id.as_str(), channel.as_str()
            )?;
            let hashes: Vec<AddressHash> = hashes.into_iter().map(|(hash,)| AddressHash(hash)).collect();
            suppressions::lock(&mut tx, hashes.iter().map(|hash| (tenant.as_str(), *hash))).await?;
            if touch_one(&mut tx, tenant, id, now).await?.is_none() {
                return Err(StoreError::NotFound { what: "user" });
            }
            let had = suppressions::consent(&mut tx, tenant, &hashes, now).await?;
            // Nothing has changed, so the version stays.
            if had {
                let route = format!("/v1/users/{id}/opt-outs/{channel}");
                audit_log::append(&mut tx, who, AuditAction::Lift, &route, now).await?;
                tx.commit().await?;
            }
            Ok(had)
        })
        .await
    }

    /// The facts about users that a decision needs, without their endpoints; unknown users are absent. One round trip for
    /// each table.
    pub async fn load_facts(
        &self,
        tenant: &TenantId,
        ids: &[UserId],
    ) -> Result<HashMap<UserId, UserFacts>, StoreError> {
        self.load(tenant, ids, false).await
    }

    /// Like [`Self::load_facts`], with endpoints, for a decision about webhooks.
    pub async fn load_facts_with_endpoints(
        &self,
        tenant: &TenantId,
        ids: &[UserId],
    ) -> Result<HashMap<UserId, UserFacts>, StoreError> {
        self.load(tenant, ids, true).await
    }

    async fn load(
        &self,
        tenant: &TenantId,
        ids: &[UserId],
        webhooks: bool,
    ) -> Result<HashMap<UserId, UserFacts>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let mut session = self.db.read().await?;
        facts::load(self.reader(&mut session, tenant), ids, webhooks).await
    }

    /// The users of a tenant who have an address, at most 10.
    pub async fn with_address(
        &self,
        tenant: &TenantId,
        hash: AddressHash,
    ) -> Result<Vec<UserId>, StoreError> {
        let rows = fetch!(
            all, self.db.read().await? => (String,),
            "SELECT DISTINCT user_id FROM contact_points WHERE tenant = $1 AND address_hash = $2
            ORDER BY user_id LIMIT 10",
            tenant.as_str(), hash.0
        )?;
        Ok(rows.into_iter().map(|(user,)| UserId::from(user)).collect())
    }

    /// Looks up a tenant's addresses for sending; deleted ones are absent.
    pub async fn resolve(
        &self,
        tenant: &TenantId,
        ids: &[ContactPointId],
    ) -> Result<HashMap<ContactPointId, Contact>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let mut session = self.db.read().await?;
        let contacts = self.reader(&mut session, tenant).of_ids(ids).await?;
        Ok(contacts
            .into_iter()
            .map(|contact| (contact.point.id, contact))
            .collect())
    }

    /// Looks up a tenant's endpoints and their secrets for sending; deleted ones are absent.
    pub async fn resolve_endpoints(
        &self,
        tenant: &TenantId,
        ids: &[ContactPointId],
    ) -> Result<HashMap<ContactPointId, (Contact, Vec<SigningSecret>)>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let mut session = self.db.read().await?;
        endpoints::of_ids(&mut self.reader(&mut session, tenant), ids).await
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
