//! Users' preferences (table `preferences`).

use carillon_domain::{Preferences, TenantId, UserId};
use carillon_runtime::http::Conditions;

use crate::{
    db::{Db, Document, Input, Session, again, fetch},
    error::StoreError,
    versioned::{Versioned, Written, require},
};

const WHAT: &str = "preferences";

/// The preferences.
#[derive(Debug, Clone)]
pub struct PreferencesRepo {
    db: Db,
}

impl PreferencesRepo {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Reads a user's preferences; `None` if none were ever set.
    pub async fn get(
        &self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<Option<Versioned<Preferences>>, StoreError> {
        let row = fetch!(
            optional, self.db.read().await? => (i64, Document),
            "SELECT version, document FROM preferences WHERE tenant = $1 AND user_id = $2",
            tenant.as_str(), user.as_str()
        )?;
        row.map(|(version, document)| {
            Ok(Versioned {
                value: document.parse(WHAT)?,
                version,
            })
        })
        .transpose()
    }

    /// Replaces a user's preferences, if the conditions hold. Returns [`StoreError::NotFound`] if the user does
    /// not exist. The preferences of a user for whom none are stored exist, and have version 0.
    pub async fn put(
        &self,
        tenant: &TenantId,
        user: &UserId,
        preferences: &Preferences,
        conditions: Option<&Conditions>,
    ) -> Result<Written, StoreError> {
        let document = Document::of(preferences, WHAT)?;
        again(|| self.try_put(tenant, user, &document, conditions)).await
    }

    async fn try_put(
        &self,
        tenant: &TenantId,
        user: &UserId,
        document: &Document,
        conditions: Option<&Conditions>,
    ) -> Result<Written, StoreError> {
        let mut tx = self.db.begin().await?;
        let mut current = 0;
        if conditions.is_some() {
            // Takes the row's lock.
            let locked = fetch!(
                optional, tx => (i64,),
                "UPDATE preferences SET updated_at = updated_at WHERE tenant = $1 AND user_id = $2 RETURNING version",
                tenant.as_str(), user.as_str()
            )?;
            current = locked.map_or(0, |(version,)| version);
        }
        let known = fetch!(
            optional, tx => (i32,),
            "SELECT 1 FROM users WHERE tenant = $1 AND user_id = $2",
            tenant.as_str(), user.as_str()
        )?;
        if known.is_none() {
            return Err(StoreError::NotFound { what: "user" });
        }
        if let Some(conditions) = conditions {
            require(conditions, true, Some(current))?;
        }
        // Preferences that a concurrent request has written since the conditions were looked at have version 1.
        let version = fetch!(
            optional, tx => (i64,),
            "INSERT INTO preferences (tenant, user_id, version, document, updated_at)
            SELECT tenant, user_id, 1, $1, $2 FROM users WHERE tenant = $3 AND user_id = $4
            ON CONFLICT (tenant, user_id) DO UPDATE SET document = excluded.document,
                updated_at = excluded.updated_at, version = preferences.version + 1
            WHERE $5 OR preferences.version = $6
            RETURNING version",
            document, self.db.now(), tenant.as_str(), user.as_str(), conditions.is_none(), current
        )?;
        let (version,) = version.ok_or(StoreError::PreconditionFailed)?;
        tx.commit().await?;
        Ok(Written {
            created: version == 1,
            version,
        })
    }
}

/// Preferences of many users; `input` has the columns `tenant` and `user_id`.
pub(crate) async fn of_users(
    session: &mut Session,
    input: Input<'_>,
) -> Result<Vec<(String, Preferences)>, StoreError> {
    let rows: Vec<(String, Document)> = input
        .fetch(
            session.conn(),
            "SELECT p.user_id, p.document
            FROM input i JOIN preferences p ON p.tenant = i.tenant AND p.user_id = i.user_id",
        )
        .await?;
    rows.into_iter()
        .map(|(user, document)| Ok((user, document.parse(WHAT)?)))
        .collect()
}
