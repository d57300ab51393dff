//! Endpoints of users (table `webhook_endpoints`), with their entries in the suppression list.

use std::collections::{HashMap, HashSet};

use carillon_domain::{
    Channel, ContactPoint, ContactPointId, TenantId, Timestamp, UserId,
    contact::{AddressHash, AddressKey, SigningSecret},
    decide::Contact,
    suppression::Suppression,
};
use uuid::Uuid;

use super::{Endpoint, EndpointPut, contacts::Reader};
use crate::{
    db::{Input, Tx, execute, fetch},
    error::StoreError,
    suppressions,
};

/// The most endpoints of a user.
pub const MOST_ENDPOINTS: usize = 20;

#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: Uuid,
    user_id: String,
    name: String,
    url: String,
    secrets: String,
    address_hash: Uuid,
    /// The entry in the suppression list.
    reason: Option<String>,
    created_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

/// The rows of endpoints that `input` names, with the entries of their URLs.
macro_rules! endpoints_of {
    ($join:literal) => {
        concat!(
            "SELECT e.id, e.user_id, e.name, e.url, e.secrets, e.address_hash, s.reason, s.created_at, s.expires_at
            FROM input i JOIN webhook_endpoints e ON ",
            $join,
            " LEFT JOIN suppressions s ON s.tenant = e.tenant AND s.address_hash = e.address_hash"
        )
    };
}

impl Row {
    fn contact(&self, now: Timestamp) -> Result<Contact, StoreError> {
        let suppressed = match (&self.reason, self.created_at) {
            (Some(reason), Some(since)) if suppressions::counts(self.expires_at, now) => Some(Suppression {
                reason: suppressions::reason(reason)?,
                since,
            }),
            _ => None,
        };
        Ok(Contact {
            point: ContactPoint {
                id: ContactPointId(self.id),
                channel: Channel::Webhook,
                address: self.url.clone(),
                platform: None,
            },
            suppressed,
        })
    }

    fn secrets(&self) -> Result<Vec<SigningSecret>, StoreError> {
        let read = self.secrets.split(' ').map(SigningSecret::parse);
        let secrets: Result<Vec<SigningSecret>, _> = read.collect();
        secrets.map_err(|_| StoreError::Corrupt {
            what: "a signing secret",
        })
    }
}

async fn rows_of_users(reader: &mut Reader<'_>, input: Input<'_>) -> Result<Vec<Row>, StoreError> {
    let statement = endpoints_of!("e.tenant = i.tenant AND e.user_id = i.user_id");
    let mut rows: Vec<Row> = input.fetch(reader.session.conn(), statement).await?;
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(rows)
}

/// Endpoints of many users, by name; `input` has the columns `tenant` and `user_id`.
pub(super) async fn of_users(
    reader: &mut Reader<'_>,
    input: Input<'_>,
) -> Result<Vec<(String, Contact)>, StoreError> {
    let rows = rows_of_users(reader, input).await?;
    let contacts = rows
        .into_iter()
        .map(|row| Ok((row.user_id.clone(), row.contact(reader.now)?)));
    contacts.collect()
}

/// The endpoints with these ids, and their secrets; deleted ones are absent.
pub(super) async fn of_ids(
    reader: &mut Reader<'_>,
    ids: &[ContactPointId],
) -> Result<HashMap<ContactPointId, (Contact, Vec<SigningSecret>)>, StoreError> {
    let ids: HashSet<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<Row> = Input::new(ids.len())
        .uuid("id", ids.iter().copied())
        .text("tenant", ids.iter().map(|_| reader.tenant.as_str()))
        .fetch(
            reader.session.conn(),
            endpoints_of!("e.id = i.id AND e.tenant = i.tenant"),
        )
        .await?;
    let found = rows.into_iter().map(|row| {
        let known = (row.contact(reader.now)?, row.secrets()?);
        Ok((ContactPointId(row.id), known))
    });
    found.collect()
}

/// A user's endpoints by name, with the whole entries of those that take no messages.
pub(super) async fn of_user(reader: &mut Reader<'_>, user: &UserId) -> Result<Vec<Endpoint>, StoreError> {
    let input = Input::new(1)
        .text("tenant", std::iter::once(reader.tenant.as_str()))
        .text("user_id", std::iter::once(user.as_str()));
    let rows = rows_of_users(reader, input).await?;
    let hashes: Vec<AddressHash> = rows
        .iter()
        .filter(|row| row.reason.is_some())
        .map(|row| AddressHash(row.address_hash))
        .collect();
    let entries = if hashes.is_empty() {
        HashMap::new()
    } else {
        suppressions::entries_of(reader.session, reader.tenant, &hashes, reader.now).await?
    };
    let shown = rows.into_iter().map(|row| Endpoint {
        secrets: row.secrets.split(' ').count(),
        suppressed: entries.get(&AddressHash(row.address_hash)).cloned(),
        name: row.name,
        url: row.url,
    });
    Ok(shown.collect())
}

/// Writes an endpoint. The caller vouches that it exists, so an entry of its own verdict is deleted. Returns whether it is new. The
/// caller has locked the URL and the user.
pub(super) async fn put(
    tx: &mut Tx,
    key: &AddressKey,
    tenant: &TenantId,
    user: &UserId,
    put: &EndpointPut,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let id = ContactPointId::endpoint(tenant, user, &put.name);
    let known = fetch!(
        all, tx => (Uuid,),
        "SELECT id FROM webhook_endpoints WHERE tenant = $1 AND user_id = $2",
        tenant.as_str(), user.as_str()
    )?;
    let is_known = known.iter().any(|(known,)| *known == id.0);
    if !is_known && known.len() >= MOST_ENDPOINTS {
        return Err(StoreError::Full {
            what: "endpoints",
            most: MOST_ENDPOINTS,
        });
    }
    let hash = key.hash(Channel::Webhook, &put.url);
    suppressions::registered(tx, tenant, hash).await?;
    let written = |secrets: &[SigningSecret]| {
        let texts: Vec<String> = secrets.iter().map(SigningSecret::reveal).collect();
        texts.join(" ")
    };
    let first = if put.secrets.is_empty() {
        written(std::slice::from_ref(&put.first_secret))
    } else {
        written(&put.secrets)
    };
    execute!(
        tx,
        "INSERT INTO webhook_endpoints (id, tenant, user_id, name, url, address_hash, secrets, registered_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (id) DO UPDATE SET url = excluded.url, address_hash = excluded.address_hash,
            secrets = CASE WHEN $9 THEN webhook_endpoints.secrets ELSE excluded.secrets END,
            registered_at = excluded.registered_at",
        id.0,
        tenant.as_str(),
        user.as_str(),
        put.name.as_str(),
        put.url.as_str(),
        hash.0,
        first.as_str(),
        now,
        put.secrets.is_empty()
    )?;
    Ok(!is_known)
}

pub(super) async fn remove(tx: &mut Tx, id: ContactPointId) -> Result<bool, StoreError> {
    Ok(execute!(tx, "DELETE FROM webhook_endpoints WHERE id = $1", id.0)? == 1)
}
