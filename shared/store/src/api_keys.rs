//! API keys (table `api_keys`).

use carillon_domain::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr};
use uuid::Uuid;

use crate::{db::Db, error::StoreError};

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

/// The keys.
#[derive(Debug, Clone)]
pub struct ApiKeys {
    db: Db,
}

impl ApiKeys {
    /// Makes a key.
    pub async fn create(&self, tenant: &TenantId, name: &str, role: Role) -> Result<NewKey, StoreError> {
        unimplemented!()
    }

    /// Who holds this secret; `None` if nobody does or the key is revoked.
    pub async fn verify(&self, secret: &str) -> Result<Option<Principal>, StoreError> {
        unimplemented!()
    }

    /// A tenant's keys, newest first.
    pub async fn list(&self, tenant: &TenantId) -> Result<Vec<ApiKeyInfo>, StoreError> {
        unimplemented!()
    }

    /// Revokes a key; `false` if there is none of that id that was not revoked yet.
    pub async fn revoke(&self, tenant: &TenantId, id: Uuid) -> Result<bool, StoreError> {
        unimplemented!()
    }
}
