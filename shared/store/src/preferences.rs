//! Users' preferences (table `preferences`).

use carillon_domain::{Preferences, TenantId, UserId};

use crate::{
    db::{Db, Document, Input, Session, fetch},
    error::StoreError,
    versioned::{IfMatch, Versioned, Written},
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

    /// Replaces a user's preferences. Returns [`StoreError::NotFound`] if the user does not exist.
    pub async fn put(
        &self,
        tenant: &TenantId,
        user: &UserId,
        preferences: &Preferences,
        if_match: IfMatch,
    ) -> Result<Written, StoreError> {
        let document = Document::of(preferences, WHAT)?;
        let now = self.db.now();
        let mut write = self.db.write().await?;
        let version: Option<(i64,)> = match if_match {
            // Version 0 means that no preferences are stored yet.
            Some(0) => fetch!(
                optional, write => (i64,),
                "INSERT INTO preferences (tenant, user_id, version, document, updated_at)
                SELECT tenant, user_id, 1, $1, $2 FROM users WHERE tenant = $3 AND user_id = $4
                ON CONFLICT (tenant, user_id) DO NOTHING RETURNING version",
                document, now, tenant.as_str(), user.as_str()
            )?,
            Some(seen) => fetch!(
                optional, write => (i64,),
                "UPDATE preferences SET document = $1, updated_at = $2, version = version + 1
                WHERE tenant = $3 AND user_id = $4 AND version = $5 RETURNING version",
                document, now, tenant.as_str(), user.as_str(), seen
            )?,
            None => fetch!(
                optional, write => (i64,),
                "INSERT INTO preferences (tenant, user_id, version, document, updated_at)
                SELECT tenant, user_id, 1, $1, $2 FROM users WHERE tenant = $3 AND user_id = $4
                ON CONFLICT (tenant, user_id) DO UPDATE SET document = excluded.document,
                    updated_at = excluded.updated_at, version = preferences.version + 1
                RETURNING version",
                document, now, tenant.as_str(), user.as_str()
            )?,
        };
        write.commit().await?;
        match (version, if_match) {
            (Some((version,)), _) => Ok(Written {
                created: version == 1,
                version,
            }),
            (None, Some(_)) => Err(StoreError::PreconditionFailed),
            (None, None) => Err(StoreError::NotFound { what: "user" }),
        }
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
