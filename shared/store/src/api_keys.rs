//! API keys (table `api_keys`).

use std::{collections::HashMap, fmt::Write as _, sync::Arc, time::Duration};

use async_trait::async_trait;
use carillon_domain::{TenantId, Timestamp};
use parking_lot::RwLock;
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::{
    batcher::{Batcher, Work},
    columns,
    db::{Db, Input, fetch, write_one},
    error::StoreError,
};

/// How long a verified key is believed without asking again: the longest that a revoked key works in other processes.
const BELIEVED: Duration = Duration::from_secs(5);
/// Most keys that one statement looks up.
const BATCH: usize = 256;
/// `last_used_at` is not written more often.
const USED: Duration = Duration::from_mins(1);

/// What a key may do; each role may all that the ones before it may.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Sends, replays, edits users.
    Operator,
    /// Everything, keys included.
    Admin,
}

/// A key that was just made. The secret is shown this once.
#[derive(Clone)]
pub struct NewKey {
    /// The key's public name.
    pub id: Uuid,
    /// `ck_<id>_<secret>`: what the client sends.
    pub secret: String,
}

/// Who is calling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Which key.
    pub key_id: Uuid,
    /// Its name.
    pub name: String,
    /// Whose data it opens.
    pub tenant: TenantId,
    /// What it may do.
    pub role: Role,
}

/// A key as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiKeyInfo {
    /// The key's public name.
    pub id: Uuid,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

#[derive(Clone, sqlx::FromRow)]
struct Row {
    id: Uuid,
    tenant: String,
    name: String,
    role: String,
    secret_hash: Vec<u8>,
    last_used_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct InfoRow {
    id: Uuid,
    name: String,
    role: String,
    created_at: Timestamp,
    revoked_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

/// A key that was verified lately.
#[derive(Debug)]
struct Believed {
    secret_hash: [u8; 32],
    principal: Principal,
    until: Timestamp,
}

/// The keys.
#[derive(Debug, Clone)]
pub struct ApiKeys {
    db: Db,
    lookups: Arc<Batcher<Lookup>>,
    believed: Arc<RwLock<HashMap<Uuid, Believed>>>,
}

/// Looks up keys that are not cached. Concurrent callers share statements, so a flood of made-up keys costs
/// the database at most two statements at a time, at any rate.
struct Lookup(Db);

#[async_trait]
impl Work for Lookup {
    type Item = Uuid;
    type Output = Option<Row>;

    async fn run(&self, ids: &[Uuid]) -> Result<Vec<Option<Row>>, StoreError> {
        let rows: Vec<Row> = Input::new(ids.len())
            .uuid("id", ids.iter().copied())
            .fetch(
                self.0.read().await?.conn(),
                "SELECT k.id, k.tenant, k.name, k.role, k.secret_hash, k.last_used_at
                FROM input i JOIN api_keys k ON k.id = i.id WHERE k.revoked_at IS NULL",
            )
            .await?;
        let found: HashMap<Uuid, Row> = rows.into_iter().map(|row| (row.id, row)).collect();
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }
}

impl ApiKeys {
    pub(crate) fn new(db: Db) -> Self {
        Self {
            lookups: Arc::new(Batcher::new(Lookup(db.clone()), db.dialect(), BATCH)),
            db,
            believed: Arc::default(),
        }
    }

    /// Makes a key. With the first one a tenant begins, so its name is checked here.
    pub async fn create(&self, tenant: &TenantId, name: &str, role: Role) -> Result<NewKey, StoreError> {
        if TenantId::parse(tenant.as_str()).is_err() {
            let expected = "expected a tenant's name of 1 to 128 bytes without control characters";
            return Err(StoreError::Invalid(expected));
        }
        let id = Uuid::now_v7();
        let mut random = [0; 32];
        rand::rng().fill_bytes(&mut random);
        let secret = random
            .iter()
            .fold(format!("ck_{}_", id.simple()), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            });
        write_one!(
            self.db,
            "INSERT INTO api_keys (id, tenant, name, role, secret_hash, created_at)
            VALUES ($1, $2, $3, $4, $5, $6)",
            id,
            tenant.as_str(),
            name,
            <&str>::from(role),
            hash(&secret).as_slice(),
            self.db.now()
        )?;
        Ok(NewKey { id, secret })
    }

    /// Who holds this secret; `None` if nobody does or the key is revoked. A revoked key may be believed for another
    /// 5 seconds in processes that did not revoke it.
    pub async fn verify(&self, secret: &str) -> Result<Option<Principal>, StoreError> {
        let Some(id) = id_of(secret) else { return Ok(None) };
        let (hash, now) = (hash(secret), self.db.now());
        if let Some(known) = self.believed.read().get(&id)
            && known.until > now
        {
            return Ok(same(&known.secret_hash, &hash).then(|| known.principal.clone()));
        }
        let row = self.lookups.submit(vec![id]).await?.pop().flatten();
        let Some(row) = row.filter(|row| same(&row.secret_hash, &hash)) else {
            self.believed.write().remove(&id);
            return Ok(None);
        };
        let principal = Principal {
            key_id: id,
            name: row.name,
            tenant: TenantId::from(row.tenant),
            role: columns::parse(&row.role, "a role")?,
        };
        let believed = Believed {
            secret_hash: hash,
            principal: principal.clone(),
            until: now + BELIEVED,
        };
        self.believed.write().insert(id, believed);
        if row.last_used_at.is_none_or(|at| at + USED <= now) {
            let noted = write_one!(
                self.db,
                "UPDATE api_keys SET last_used_at = $1 WHERE id = $2",
                now,
                id
            );
            // The key remains valid for reads while the database takes no writes.
            if let Err(error) = noted {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the use of a key was not noted"
                );
            }
        }
        Ok(Some(principal))
    }

    /// A tenant's keys, newest first.
    pub async fn list(&self, tenant: &TenantId) -> Result<Vec<ApiKeyInfo>, StoreError> {
        let rows = fetch!(
            all, self.db.read().await? => InfoRow,
            "SELECT id, name, role, created_at, revoked_at, last_used_at FROM api_keys
            WHERE tenant = $1 ORDER BY created_at DESC, id DESC",
            tenant.as_str()
        )?;
        rows.into_iter()
            .map(|row| {
                Ok(ApiKeyInfo {
                    id: row.id,
                    name: row.name,
                    role: columns::parse(&row.role, "a role")?,
                    created_at: row.created_at,
                    revoked_at: row.revoked_at,
                    last_used_at: row.last_used_at,
                })
            })
            .collect()
    }

    /// Revokes a key; `false` if there is none of that id that was not revoked yet.
    pub async fn revoke(&self, tenant: &TenantId, id: Uuid) -> Result<bool, StoreError> {
        let revoked = write_one!(
            self.db,
            "UPDATE api_keys SET revoked_at = $1 WHERE tenant = $2 AND id = $3 AND revoked_at IS NULL",
            self.db.now(),
            tenant.as_str(),
            id
        )?;
        self.believed.write().remove(&id);
        Ok(revoked == 1)
    }
}

/// The public part of `ck_<id>_<secret>`.
fn id_of(secret: &str) -> Option<Uuid> {
    let (id, rest) = secret.strip_prefix("ck_")?.split_once('_')?;
    (!rest.is_empty()).then(|| Uuid::try_parse(id).ok()).flatten()
}

/// Secrets are 256 random bits, so one round of SHA-256 is enough.
fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn same(left: &[u8], right: &[u8; 32]) -> bool {
    left.ct_eq(right).into()
}
