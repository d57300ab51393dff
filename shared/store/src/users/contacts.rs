//! Addresses of users (table `contact_points`), with their entries in the suppression list.

use std::collections::{HashMap, HashSet};

use carillon_domain::{
    Channel, ContactPoint, ContactPointId, TenantId, Timestamp, UserId,
    contact::{self, AddressHash, AddressKey},
    decide::Contact,
    suppression::Suppression,
};
use uuid::Uuid;

use super::{Device, locks};
use crate::{
    columns,
    db::{Input, Session, Tx, execute, fetch},
    error::StoreError,
    suppressions::{self, SuppressionView},
};

/// The columns that all readers of this table use.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Row {
    id: Uuid,
    user_id: String,
    channel: String,
    address: String,
    platform: Option<String>,
    registered_at: Timestamp,
    address_hash: Option<Uuid>,
    /// The verdict that a role of the former release wrote. It counts until the address has a hash.
    dead_reason: Option<String>,
    dead_at: Option<Timestamp>,
    /// The entry in the suppression list.
    reason: Option<String>,
    created_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

/// The rows of contact points that `input` names, with the entries of their addresses.
macro_rules! contacts_of {
    ($join:literal) => {
        concat!(
            "SELECT c.id, c.user_id, c.channel, c.address, c.platform, c.registered_at, c.address_hash, c.dead_reason,
                c.dead_at, s.reason, s.created_at, s.expires_at
            FROM input i JOIN contact_points c ON ",
            $join,
            " LEFT JOIN suppressions s ON s.tenant = c.tenant AND s.address_hash = c.address_hash"
        )
    };
}

impl Row {
    fn point(&self) -> Result<ContactPoint, StoreError> {
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

    fn suppression(&self, now: Timestamp) -> Result<Option<Suppression>, StoreError> {
        let (Some(reason), Some(since)) = (&self.reason, self.created_at) else {
            return Ok(None);
        };
        if !suppressions::counts(self.expires_at, now) {
            return Ok(None);
        }
        Ok(Some(Suppression {
            reason: suppressions::reason(reason)?,
            since,
        }))
    }

    /// The verdict of a role of the former release.
    fn former(&self) -> Result<Option<Suppression>, StoreError> {
        let Some(since) = self.dead_at else {
            return Ok(None);
        };
        let channel = columns::parse(&self.channel, "a channel")?;
        let reason = suppressions::former_reason(channel, self.dead_reason.as_deref())?;
        Ok(Some(Suppression { reason, since }))
    }
}

/// A session, and the key and clock with which suppressions are read.
pub(super) struct Reader<'a> {
    pub(super) session: &'a mut Session,
    pub(super) tenant: &'a TenantId,
    pub(super) key: &'a AddressKey,
    pub(super) now: Timestamp,
}

impl Reader<'_> {
    /// Addresses of many users in the order in which they were registered; `input` has the columns `tenant` and
    /// `user_id`.
    pub(super) async fn of_users(&mut self, input: Input<'_>) -> Result<Vec<(String, Contact)>, StoreError> {
        let statement = contacts_of!("c.tenant = i.tenant AND c.user_id = i.user_id");
        let mut rows: Vec<Row> = input.fetch(self.session.conn(), statement).await?;
        rows.sort_by_key(|row| (row.registered_at, row.id));
        self.contacts(rows).await
    }

    /// The contact points with these ids; deleted ones are absent.
    pub(super) async fn of_ids(&mut self, ids: &[ContactPointId]) -> Result<Vec<Contact>, StoreError> {
        let ids: HashSet<Uuid> = ids.iter().map(|id| id.0).collect();
        let rows: Vec<Row> = Input::new(ids.len())
            .uuid("id", ids.iter().copied())
            .text("tenant", ids.iter().map(|_| self.tenant.as_str()))
            .fetch(
                self.session.conn(),
                contacts_of!("c.id = i.id AND c.tenant = i.tenant"),
            )
            .await?;
        let contacts = self.contacts(rows).await?;
        Ok(contacts.into_iter().map(|(_, contact)| contact).collect())
    }

    /// Contacts with their users. Rows that a role of the former release has written have no hash; their entries cost one
    /// more query.
    async fn contacts(&mut self, rows: Vec<Row>) -> Result<Vec<(String, Contact)>, StoreError> {
        let mut contacts = Vec::with_capacity(rows.len());
        let mut former = Vec::new();
        for row in rows {
            let point = row.point()?;
            let suppressed = if row.address_hash.is_some() {
                row.suppression(self.now)?
            } else {
                former.push((contacts.len(), self.key.hash(point.channel, &point.address)));
                row.former()?
            };
            contacts.push((row.user_id, Contact { point, suppressed }));
        }
        if !former.is_empty() {
            let hashes: Vec<AddressHash> = former.iter().map(|(_, hash)| *hash).collect();
            let found = suppressions::of_addresses(self.session, self.tenant, &hashes, self.now).await?;
            for (index, hash) in former {
                let suppressed = &mut contacts[index].1.suppressed;
                *suppressed = suppressed.or(found.get(&hash).copied());
            }
        }
        Ok(contacts)
    }
}

/// A user's addresses in the order in which they were registered, with the whole entries of those that take no messages.
pub(super) async fn of_user(
    reader: &mut Reader<'_>,
    user: &UserId,
) -> Result<Vec<(ContactPoint, Option<SuppressionView>)>, StoreError> {
    let input = Input::new(1)
        .text("tenant", std::iter::once(reader.tenant.as_str()))
        .text("user_id", std::iter::once(user.as_str()));
    let contacts = reader.of_users(input).await?;
    let hash = |point: &ContactPoint| reader.key.hash(point.channel, &point.address);
    let hashes: Vec<AddressHash> = contacts
        .iter()
        .filter(|(_, contact)| contact.suppressed.is_some())
        .map(|(_, contact)| hash(&contact.point))
        .collect();
    let (tenant, now) = (reader.tenant, reader.now);
    let mut entries = if hashes.is_empty() {
        HashMap::new()
    } else {
        suppressions::entries_of(reader.session, tenant, &hashes, now).await?
    };
    Ok(contacts
        .into_iter()
        .map(|(_, Contact { point, suppressed })| {
            let entry = suppressed.map(|suppressed| {
                let entry = entries.remove(&reader.key.hash(point.channel, &point.address));
                entry.unwrap_or_else(|| of_former_release(&point, suppressed))
            });
            (point, entry)
        })
        .collect())
}

/// The entry of a verdict that a role of the former release has written, until it is moved over.
fn of_former_release(point: &ContactPoint, suppressed: Suppression) -> SuppressionView {
    SuppressionView {
        channel: point.channel,
        address_masked: Some(contact::mask(point.channel, &point.address)),
        reason: suppressed.reason,
        provider: None,
        code: None,
        delivery_id: None,
        actor: None,
        note: None,
        created_at: suppressed.since,
        expires_at: None,
    }
}

/// Writes or removes the user's e-mail address or phone, of which there is one each. The caller vouches that the address
/// exists, so an entry of a provider's verdict is deleted; a recipient's wish and a person's entry stay. The
/// caller has locked the address.
pub(super) async fn put_primary(
    tx: &mut Tx,
    key: &AddressKey,
    tenant: &TenantId,
    user: &UserId,
    (channel, address): (Channel, Option<&str>),
    now: Timestamp,
) -> Result<(), StoreError> {
    let id = ContactPointId::primary(tenant, user, channel);
    let Some(address) = address else {
        remove(tx, id).await?;
        return Ok(());
    };
    let hash = key.hash(channel, address);
    let was_lifted = suppressions::registered(tx, tenant, hash).await?;
    execute!(
        tx,
        "INSERT INTO contact_points (id, tenant, user_id, channel, address, address_hash, registered_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (id) DO UPDATE SET address = excluded.address, address_hash = excluded.address_hash,
            registered_at = excluded.registered_at
        WHERE $8 OR contact_points.address <> excluded.address",
        id.0,
        tenant.as_str(),
        user.as_str(),
        channel.as_str(),
        address,
        hash.0,
        now,
        was_lifted
    )?;
    Ok(())
}

/// Replaces the user's devices. Returns the users that lost a token. The caller has locked the tokens.
pub(super) async fn put_devices(
    tx: &mut Tx,
    key: &AddressKey,
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
            let hash = key.hash(Channel::Push, &device.token);
            let was_lifted = suppressions::registered(tx, tenant, hash).await?;
            execute!(
                tx,
                "UPDATE contact_points SET platform = $1, registered_at = CASE WHEN $2 THEN $3 ELSE registered_at END
                WHERE id = $4 AND ($2 OR platform <> $1)",
                <&str>::from(device.platform),
                was_lifted,
                now,
                id.0
            )?;
        } else {
            left.extend(register(tx, key, tenant, user, device, now).await?.1);
        }
    }
    for id in had {
        remove(tx, ContactPointId(id)).await?;
    }
    Ok(left)
}

/// Registers a device. Returns whether it is new to the user, and the users that lost the token. The caller has locked
/// the token.
pub(super) async fn register(
    tx: &mut Tx,
    key: &AddressKey,
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
    let hash = key.hash(Channel::Push, &device.token);
    suppressions::registered(tx, tenant, hash).await?;
    let known = execute!(
        tx,
        "UPDATE contact_points SET platform = $1, registered_at = $2 WHERE id = $3",
        <&str>::from(device.platform),
        now,
        id.0
    )?;
    if known == 0 {
        execute!(
            tx,
            "INSERT INTO contact_points
                (id, tenant, user_id, channel, address, address_hash, token_hash, platform, registered_at)
            VALUES ($1, $2, $3, 'push', $4, $5, $6, $7, $8)",
            id.0,
            tenant.as_str(),
            user.as_str(),
            device.token.as_str(),
            hash.0,
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
