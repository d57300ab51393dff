//! Users and their addresses (tables `users` and `contact_points`).

mod contacts;
mod facts;

use std::{collections::HashMap, sync::Arc};

use carillon_domain::{
    ContactPoint, ContactPointId, Platform, TenantId, Timestamp, UserId, decide::UserFacts,
};
use serde::{Deserialize, Serialize};

use crate::{
    db::Db,
    error::StoreError,
    versioned::{IfMatch, Versioned},
};

/// A device that takes push messages.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// What it runs.
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

/// A user.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// As the event source knows them.
    pub id: UserId,
    /// E-mail address.
    pub email: Option<String>,
    /// Phone, E.164.
    pub phone: Option<String>,
    /// BCP 47.
    pub locale: Option<String>,
    /// IANA name.
    pub timezone: Option<String>,
    /// Devices, ordered by when they were registered.
    pub devices: Vec<Device>,
}

/// What a `PUT` says of a user. Addresses have been checked by the caller.
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

/// What a `PUT` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Whether the row is new.
    pub created: bool,
    /// The version that was written.
    pub version: i64,
}

impl Written {
    /// The version as an entity tag.
    #[must_use]
    pub fn etag(&self) -> String {
        crate::versioned::etag(self.version)
    }
}

/// An address that a provider says is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadContact {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub id: ContactPointId,
    /// The provider's structured code.
    pub code: String,
    /// When the message was sent that found it dead; an address registered since then is left alone.
    pub seen_at: Timestamp,
}

/// A contact point, looked up for sending.
#[derive(Debug, Clone)]
pub struct ResolvedContact {
    /// The address.
    pub point: ContactPoint,
    /// The provider's code, if it said that the address is gone.
    pub dead: Option<String>,
}

/// The users.
#[derive(Debug, Clone)]
pub struct Users {
    db: Db,
}

impl Users {
    /// Writes a user. A device token that another user has leaves that user.
    pub async fn put(
        &self,
        tenant: &TenantId,
        id: &UserId,
        put: &UserPut,
        if_match: IfMatch,
    ) -> Result<Written, StoreError> {
        unimplemented!()
    }

    /// Reads a user.
    pub async fn get(&self, tenant: &TenantId, id: &UserId) -> Result<Option<Versioned<User>>, StoreError> {
        unimplemented!()
    }

    /// Erases all that is theirs in SQL; `false` if there was no such user.
    pub async fn delete(&self, tenant: &TenantId, id: &UserId) -> Result<bool, StoreError> {
        unimplemented!()
    }

    /// Registers one device, alive again if a provider had said otherwise. [`StoreError::NotFound`] without the user.
    pub async fn put_device(
        &self,
        tenant: &TenantId,
        id: &UserId,
        device: &Device,
    ) -> Result<Written, StoreError> {
        unimplemented!()
    }

    /// Removes one device; `false` if the user has none of that token.
    pub async fn delete_device(
        &self,
        tenant: &TenantId,
        id: &UserId,
        token: &str,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }

    /// Notes addresses that are gone, unless they were registered again since they were seen so.
    pub async fn mark_dead(&self, dead: &[DeadContact]) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// What a decision needs to know of users; unknown ones are absent. One round trip a table.
    pub async fn load_facts(
        &self,
        tenant: &TenantId,
        ids: &[UserId],
    ) -> Result<HashMap<UserId, UserFacts>, StoreError> {
        unimplemented!()
    }

    /// Looks addresses up for sending; those that are no more are absent.
    pub async fn resolve(
        &self,
        ids: &[ContactPointId],
    ) -> Result<HashMap<ContactPointId, ResolvedContact>, StoreError> {
        unimplemented!()
    }
}
