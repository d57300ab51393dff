//! What users want to hear (table `preferences`).

use carillon_domain::{Preferences, TenantId, UserId};

use crate::{
    db::Db,
    error::StoreError,
    users::Written,
    versioned::{IfMatch, Versioned},
};

/// The preferences.
#[derive(Debug, Clone)]
pub struct PreferencesRepo {
    db: Db,
}

impl PreferencesRepo {
    /// Reads a user's preferences; `None` if they never said any.
    pub async fn get(
        &self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<Option<Versioned<Preferences>>, StoreError> {
        unimplemented!()
    }

    /// Replaces a user's preferences. [`StoreError::NotFound`] without the user.
    pub async fn put(
        &self,
        tenant: &TenantId,
        user: &UserId,
        preferences: &Preferences,
        if_match: IfMatch,
    ) -> Result<Written, StoreError> {
        unimplemented!()
    }
}
