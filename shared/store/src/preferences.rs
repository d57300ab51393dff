//! Users' preferences (table `preferences`).

use carillon_domain::{Preferences, TenantId, Timestamp, UserId};
use carillon_runtime::http::Conditions;

use crate::{
    db::{Db, Document, Input, Session, Tx, again, fetch},
    error::StoreError,
    versioned::{CHANGES, Versioned, Written, before_first, is_first, require, written},
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

    /// Replaces a user's preferences, if the conditions hold. Returns [`StoreError::NotFound`] if the user does not
    /// exist. If none are stored, the user's preferences count as existing, with the version [`crate::before_first`] of
    /// the user's version.
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

    /// Replaces a user's preferences by the result of `change` on the present ones, if the conditions hold. No
    /// concurrent write comes between the reading and the writing. An error of `change` comes before a condition that
    /// does not hold. Returns [`StoreError::NotFound`] if the user does not exist.
    pub async fn change<E: Send>(
        &self,
        tenant: &TenantId,
        user: &UserId,
        conditions: &Conditions,
        change: impl Fn(&Preferences) -> Result<Preferences, E> + Sync,
    ) -> Result<Result<Versioned<Preferences>, E>, StoreError> {
        again(|| self.try_change(tenant, user, conditions, &change)).await
    }

    async fn try_put(
        &self,
        tenant: &TenantId,
        user: &UserId,
        document: &Document,
        conditions: Option<&Conditions>,
    ) -> Result<Written, StoreError> {
        let mut tx = self.db.begin().await?;
        let mut seen = None;
        if let Some(conditions) = conditions {
            let stored = lock(&mut tx, tenant, user).await?;
            let unset = unset(&mut tx, tenant, user).await?;
            let version = stored.map_or(unset, |(version, _)| version);
            require(conditions, true, Some(version))?;
            seen = Some(version);
        } else {
            unset(&mut tx, tenant, user).await?;
        }
        let version = write(&mut tx, (tenant, user), document, self.db.now(), seen).await?;
        tx.commit().await?;
        Ok(Written {
            created: is_first(version),
            version,
        })
    }

    async fn try_change<E: Send>(
        &self,
        tenant: &TenantId,
        user: &UserId,
        conditions: &Conditions,
        change: &(impl Fn(&Preferences) -> Result<Preferences, E> + Sync),
    ) -> Result<Result<Versioned<Preferences>, E>, StoreError> {
        let mut tx = self.db.begin().await?;
        let stored = lock(&mut tx, tenant, user).await?;
        let unset = unset(&mut tx, tenant, user).await?;
        let (seen, before) = match stored {
            Some((version, document)) => (version, document.parse(WHAT)?),
            None => (unset, Preferences::default()),
        };
        let value = match change(&before) {
            Ok(value) => value,
            Err(error) => return Ok(Err(error)),
        };
        require(conditions, true, Some(seen))?;
        let document = Document::of(&value, WHAT)?;
        let version = write(&mut tx, (tenant, user), &document, self.db.now(), Some(seen)).await?;
        tx.commit().await?;
        Ok(Ok(Versioned { value, version }))
    }
}

/// Reads a user's preferences, if any are stored, and takes their row's lock.
async fn lock(tx: &mut Tx, tenant: &TenantId, user: &UserId) -> Result<Option<(i64, Document)>, StoreError> {
    fetch!(
        optional, tx => (i64, Document),
        "UPDATE preferences SET updated_at = updated_at WHERE tenant = $1 AND user_id = $2
        RETURNING version, document",
        tenant.as_str(), user.as_str()
    )
}

/// The version of a user's preferences while none are stored. Returns [`StoreError::NotFound`] if the user does not
/// exist.
async fn unset(tx: &mut Tx, tenant: &TenantId, user: &UserId) -> Result<i64, StoreError> {
    let known = fetch!(
        optional, tx => (i64,),
        "SELECT version FROM users WHERE tenant = $1 AND user_id = $2",
        tenant.as_str(), user.as_str()
    )?;
    let (version,) = known.ok_or(StoreError::NotFound { what: "user" })?;
    Ok(before_first(version))
}

/// Writes a user's preferences, if they still have the version that was seen, and returns their new version.
async fn write(
    tx: &mut Tx,
    (tenant, user): (&TenantId, &UserId),
    document: &Document,
    now: Timestamp,
    seen: Option<i64>,
) -> Result<i64, StoreError> {
    // If a concurrent request has written the first preferences meanwhile, their version is above the one seen. The
    // first version is `before_first` of the user's version, plus 1.
    written(fetch!(
        optional, tx => (i64,),
        "INSERT INTO preferences (tenant, user_id, version, document, updated_at)
        SELECT tenant, user_id, version / $7 * $7 + 1, $1, $2 FROM users WHERE tenant = $3 AND user_id = $4
        ON CONFLICT (tenant, user_id) DO UPDATE SET document = excluded.document,
            updated_at = excluded.updated_at, version = preferences.version + 1
        WHERE $5 OR preferences.version = $6
        RETURNING version",
        document, now, tenant.as_str(), user.as_str(), seen.is_none(), seen.unwrap_or(0), CHANGES
    )?)
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
