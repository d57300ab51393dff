//! The holder of an API key, and what it may do.

use carillon_domain::TenantId;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr};
use uuid::Uuid;

/// The permissions of a key. Each role includes those of the roles before it.
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
    /// Reads.
    Viewer,
    /// Sends, replays and edits users, besides reading.
    Operator,
    /// Everything, including API keys.
    Admin,
}

/// The holder of a verified key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The key.
    pub key_id: Uuid,
    /// The key's name.
    pub name: String,
    /// The tenant to whose data the key gives access.
    pub tenant: TenantId,
    /// The key's permissions.
    pub role: Role,
}
