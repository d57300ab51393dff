//! The audit log (table `audit_log`): which API key was shown hidden values, changed the suppression list, worked dead
//! letters off, handled their causes, cancelled or acknowledged something, published a template or revoked a key, when and on
//! which route; and which provider account's report lifted an opt-out. An entry is written before the values are
//! shown, or together with the change, and is never deleted.

use carillon_domain::{TenantId, Timestamp};
use serde::Serialize;
use strum::{AsRefStr, Display, EnumString, IntoStaticStr};
use uuid::Uuid;

use crate::{
    columns,
    db::{Db, Dynamic, Tx, execute, write_one},
    error::StoreError,
    page::{Cursor, Page, PageOf},
    principal::Principal,
};

/// An audited action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, AsRefStr, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum AuditAction {
    /// Sensitive values and addresses were shown.
    Reveal,
    /// An address was put on the suppression list, or its entry was changed.
    Suppress,
    /// An address was taken from the suppression list.
    Lift,
    /// A file of addresses was added to the suppression list.
    Import,
    /// A job was made that replays dead letters.
    Replay,
    /// A job was made that replays a dead letter with an edit.
    Edit,
    /// A job was made that discards dead letters.
    Discard,
    /// A job, an event or a delivery was cancelled.
    Cancel,
    /// A delivery was acknowledged: the app says that the recipient has seen it.
    Acknowledge,
    /// A job was paused.
    Pause,
    /// A paused job goes on.
    Resume,
    /// The note or the owner of a cause of dead letters was changed.
    Annotate,
    /// A cause of dead letters is ignored.
    Ignore,
    /// A cause of dead letters is not ignored any more.
    Unignore,
    /// A replay of a cause was planned.
    Plan,
    /// A version of a template was published.
    Publish,
    /// An API key was revoked.
    Revoke,
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// The entry's id.
    pub id: Uuid,
    /// The time of the action.
    pub at: Timestamp,
    /// The API key that was used; nil if a provider's report did it.
    pub key_id: Uuid,
    /// The key's name, or the provider account with its report.
    pub key_name: String,
    /// The action.
    pub action: AuditAction,
    /// The requested path and query, in which addresses of the suppression list are masked; or the path of the job.
    pub route: String,
}

/// Appends an entry together with the change that it tells of.
pub(crate) async fn append(
    tx: &mut Tx,
    who: &Principal,
    action: AuditAction,
    route: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    insert(tx, &who.tenant, (who.key_id, &who.name), action, route, now).await
}

/// Appends an entry of a change that a provider's report has made, together with the change. `reporter` is the account with its report.
pub(crate) async fn append_of_provider(
    tx: &mut Tx,
    tenant: &TenantId,
    reporter: &str,
    action: AuditAction,
    route: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    insert(tx, tenant, (Uuid::nil(), reporter), action, route, now).await
}

async fn insert(
    tx: &mut Tx,
    tenant: &TenantId,
    (key_id, key_name): (Uuid, &str),
    action: AuditAction,
    route: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    execute!(
        tx,
        "INSERT INTO audit_log (id, tenant, at, key_id, key_name, action, route)
        VALUES ($1, $2, $3, $4, $5, $6, $7)",
        Uuid::now_v7(),
        tenant.as_str(),
        now,
        key_id,
        key_name,
        <&str>::from(action),
        route
    )?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    at: Timestamp,
    key_id: Uuid,
    key_name: String,
    action: String,
    route: String,
}

/// The audit log.
#[derive(Debug, Clone)]
pub struct AuditLog {
    db: Db,
}

impl AuditLog {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Appends an entry; it is durable on return.
    pub async fn note(&self, who: &Principal, action: AuditAction, route: &str) -> Result<(), StoreError> {
        write_one!(
            self.db,
            "INSERT INTO audit_log (id, tenant, at, key_id, key_name, action, route)
            VALUES ($1, $2, $3, $4, $5, $6, $7)",
            Uuid::now_v7(),
            who.tenant.as_str(),
            self.db.now(),
            who.key_id,
            who.name.as_str(),
            <&str>::from(action),
            route
        )
        .map(|_| ())
    }

    /// A tenant's entries, newest first.
    pub async fn list(&self, tenant: &TenantId, page: Page) -> Result<PageOf<AuditEntry>, StoreError> {
        let mut query =
            Dynamic::new("SELECT id, at, key_id, key_name, action, route FROM audit_log WHERE tenant = ");
        query.value(tenant.as_str());
        if let Some(after) = page.after {
            query
                .sql(" AND (at, id) < (")
                .value(after.at)
                .sql(", ")
                .value(after.id)
                .sql(")");
        }
        query
            .sql(" ORDER BY at DESC, id DESC LIMIT ")
            .value(page.rows() + 1);
        let mut session = self.db.read().await?;
        let rows: Vec<Row> = query.fetch(session.conn()).await?;
        let entries = rows
            .into_iter()
            .map(|row| {
                Ok(AuditEntry {
                    id: row.id,
                    at: row.at,
                    key_id: row.key_id,
                    key_name: row.key_name,
                    action: columns::parse(&row.action, "an action")?,
                    route: row.route,
                })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        Ok(PageOf::cut(entries, &page, |entry| Cursor {
            at: entry.at,
            id: entry.id,
        }))
    }
}
