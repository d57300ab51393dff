//! Drafts of templates (table `template_drafts`).

use carillon_domain::{TenantId, Timestamp};
use carillon_runtime::http::Conditions;

use super::{TemplateDraft, TemplateName, published};
use crate::{
    db::{Conn, Db, Document, Session, Tx, fetch, write_one},
    error::StoreError,
    versioned::{Versioned, require, written},
};

const WHAT: &str = "a template draft";

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    locale: String,
    version: i64,
    parts: Document,
}

impl Row {
    fn draft(self) -> Result<Versioned<TemplateDraft>, StoreError> {
        let parts = self.parts.parse(WHAT)?;
        let name = TemplateName::from_columns(self.id, self.locale);
        Ok(Versioned {
            value: TemplateDraft { name, parts },
            version: self.version,
        })
    }
}

pub(super) async fn put(
    tx: &mut Tx,
    tenant: &TenantId,
    draft: &TemplateDraft,
    conditions: Option<&Conditions>,
    now: Timestamp,
) -> Result<Versioned<TemplateDraft>, StoreError> {
    let parts = Document::of(&draft.parts, WHAT)?;
    let (id, locale) = (draft.name.id.as_str(), draft.name.locale_column());
    let mut current = 0;
    if let Some(conditions) = conditions {
        // Takes the row's lock.
        let locked = fetch!(
            optional, tx => (i64,),
            "UPDATE template_drafts SET updated_at = updated_at
            WHERE tenant = $1 AND id = $2 AND locale = $3 RETURNING version",
            tenant.as_str(), id, locale
        )?;
        let exists = locked.is_some() || published::exists(tx, tenant, &draft.name).await?;
        current = locked.map_or(0, |(version,)| version);
        require(conditions, exists, Some(current))?;
    }
    // A draft that a concurrent request has made since the conditions were looked at has version 1.
    let version = fetch!(
        optional, tx => (i64,),
        "INSERT INTO template_drafts (tenant, id, locale, version, parts, updated_at)
        VALUES ($1, $2, $3, 1, $4, $5)
        ON CONFLICT (tenant, id, locale) DO UPDATE SET parts = excluded.parts,
            updated_at = excluded.updated_at, version = template_drafts.version + 1
        WHERE $6 OR template_drafts.version = $7
        RETURNING version",
        tenant.as_str(), id, locale, parts, now, conditions.is_none(), current
    )?;
    let version = written(version)?;
    Ok(Versioned {
        value: draft.clone(),
        version,
    })
}

pub(super) async fn get(
    conn: Conn<'_>,
    tenant: &TenantId,
    name: &TemplateName,
) -> Result<Option<Versioned<TemplateDraft>>, StoreError> {
    let row = fetch!(
        optional, conn => Row,
        "SELECT id, locale, version, parts FROM template_drafts WHERE tenant = $1 AND id = $2 AND locale = $3",
        tenant.as_str(), name.id.as_str(), name.locale_column()
    )?;
    row.map(Row::draft).transpose()
}

pub(super) async fn all(
    session: &mut Session,
    tenant: &TenantId,
) -> Result<Vec<Versioned<TemplateDraft>>, StoreError> {
    let rows = fetch!(
        all, session => Row,
        "SELECT id, locale, version, parts FROM template_drafts WHERE tenant = $1 ORDER BY id, locale",
        tenant.as_str()
    )?;
    rows.into_iter().map(Row::draft).collect()
}

pub(super) async fn delete(db: &Db, tenant: &TenantId, name: &TemplateName) -> Result<bool, StoreError> {
    let removed = write_one!(
        db,
        "DELETE FROM template_drafts WHERE tenant = $1 AND id = $2 AND locale = $3",
        tenant.as_str(),
        name.id.as_str(),
        name.locale_column()
    )?;
    Ok(removed == 1)
}
