//! API keys (table `api_keys`).

use std::{collections::HashMap, fmt::Write as _, sync::Arc, time::Duration};

use async_trait::async_trait;
use carillon_domain::{TenantId, Timestamp};
use parking_lot::RwLock;
use rand::Rng as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

pub use crate::principal::{Principal, Role};
use crate::{
    audit_log::{self, AuditAction},
    batcher::{Batcher, Gathered, Work},
    columns,
    db::{Db, Input, again, execute, fetch, write_one},
    error::StoreError,
};

/// The time for which a verified key is accepted without another query. A revoked key works in other processes for at
/// most this long.
const BELIEVED: Duration = Duration::from_secs(5);
/// The most keys that one statement looks up.
const BATCH: usize = 256;
/// The least time between two writes of `last_used_at`.
const USED: Duration = Duration::from_mins(1);

/// A key that was just created. Its secret is shown only here.
#[derive(Clone)]
pub struct NewKey {
    /// The key's public id.
    pub id: Uuid,
    /// `ck_<id>_<secret>`: the text that the client sends.
    pub secret: String,
}

/// A key as it appears in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiKeyInfo {
    /// The key's public id.
    pub id: Uuid,
    /// The key's name, which describes its use.
    pub name: String,
    /// The key's permissions.
    pub role: Role,
    /// The time at which it was created.
    pub created_at: Timestamp,
    /// The time at which it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// The time at which it was last used, to the minute.
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

/// A key that was verified within [`BELIEVED`].
#[derive(Debug)]
struct Believed {
    secret_hash: [u8; 32],
    principal: Principal,
    until: Timestamp,
}

/// The API keys.
#[derive(Debug, Clone)]
pub struct ApiKeys {
    db: Db,
    lookups: Arc<Batcher<Lookup>>,
    believed: Arc<RwLock<HashMap<Uuid, Believed>>>,
}

/// Looks up keys that are not cached. Concurrent callers share statements, so that a flood of invented keys keeps at
/// most two statements running at a time.
struct Lookup(Db);

#[async_trait]
impl Work for Lookup {
    type Item = Uuid;
    type Output = Option<Row>;

    async fn run(&self, batch: &Arc<Gathered<Self>>) -> Result<Vec<Option<Row>>, StoreError> {
        let mut session = self.0.read().await?;
        let ids = batch.items();
        let rows: Vec<Row> = Input::new(ids.len())
            .uuid("id", ids.iter().copied())
            .fetch(
                session.conn(),
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

    /// The form of a key's name.
    pub const NAME: &str = "expected a key's name of 1 to 128 characters that are not all spaces";

    /// Creates a key. A tenant comes into being with its first key, so its name is checked here.
    pub async fn create(&self, tenant: &TenantId, name: &str, role: Role) -> Result<NewKey, StoreError> {
        if TenantId::parse(tenant.as_str()).is_err() {
            let expected =
                "expected a tenant's name of 1 to 128 bytes without control characters and without '|'";
            return Err(StoreError::Invalid(expected));
        }
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 128 {
            return Err(StoreError::Invalid(Self::NAME));
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

    /// The holder of this secret; `None` if the key is unknown or revoked. Processes other than the one that revoked
    /// a key may accept it for another 5 seconds.
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
                    "the time of an API key's last use was not stored"
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

    /// Revokes a key of the caller's tenant, and notes it in the audit log; `false` if no key with that id is in force.
    pub async fn revoke_as(&self, who: &Principal, id: Uuid, route: &str) -> Result<bool, StoreError> {
        let is_revoked = again(|| async {
            let now = self.db.now();
            let mut tx = self.db.begin().await?;
            let revoked = execute!(
                tx,
                "UPDATE api_keys SET revoked_at = $1 WHERE tenant = $2 AND id = $3 AND revoked_at IS NULL",
                now,
                who.tenant.as_str(),
                id
            )?;
            if revoked == 0 {
                return Ok(false);
            }
            audit_log::append(&mut tx, who, AuditAction::Revoke, route, now).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await?;
        self.believed.write().remove(&id);
        Ok(is_revoked)
    }

    /// Revokes a key without an entry in the audit log, for the command line, which needs no key; `false` if no key with
    /// that id is in force.
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

/// A single round of SHA-256 is enough, because secrets are 256 random bits.
fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn same(left: &[u8], right: &[u8; 32]) -> bool {
    left.ct_eq(right).into()
}
