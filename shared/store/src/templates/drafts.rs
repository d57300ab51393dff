//! Drafts of templates (table `template_drafts`). All changes are made under [`super::published::lock`], because a
//! draft is judged and shown together with the published version.

use carillon_domain::{TenantId, Timestamp};

use super::{Draft, Parts, TemplateName};
use crate::{
    columns,
    db::{Conn, Document, Session, Tx, execute, fetch},
    error::StoreError,
};

const WHAT: &str = "a template draft";

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    locale: String,
    version: i64,
    parts: Document,
    base_version: i64,
}

impl Row {
    fn draft(self) -> Result<(TemplateName, Draft), StoreError> {
        let base = columns::version(self.base_version)?;
        let draft = Draft {
            version: self.version,
            parts: self.parts.parse(WHAT)?,
            base: (base > 0).then_some(base),
        };
        Ok((TemplateName::from_columns(self.id, self.locale), draft))
    }
}

/// Writes a draft beside the published version `base`.
pub(super) async fn put(
    tx: &mut Tx,
    tenant: &TenantId,
    name: &TemplateName,
    parts: &Parts,
    base: Option<u32>,
    now: Timestamp,
) -> Result<Draft, StoreError> {
    let (version,) = fetch!(
        one, tx => (i64,),
        "INSERT INTO template_drafts (tenant, id, locale, version, parts, base_version, updated_at)
        VALUES ($1, $2, $3, 1, $4, $5, $6)
        ON CONFLICT (tenant, id, locale) DO UPDATE SET parts = excluded.parts, base_version = excluded.base_version,
            updated_at = excluded.updated_at, version = template_drafts.version + 1
        RETURNING version",
        tenant.as_str(), name.id.as_str(), name.locale_column(), Document::of(parts, WHAT)?,
        i64::from(base.unwrap_or(0)), now
    )?;
    Ok(Draft {
        version,
        parts: parts.clone(),
        base,
    })
}

pub(super) async fn get(
    conn: Conn<'_>,
    tenant: &TenantId,
    name: &TemplateName,
) -> Result<Option<Draft>, StoreError> {
    let row = fetch!(
        optional, conn => Row,
        "SELECT id, locale, version, parts, base_version FROM template_drafts
        WHERE tenant = $1 AND id = $2 AND locale = $3",
        tenant.as_str(), name.id.as_str(), name.locale_column()
    )?;
    Ok(row.map(Row::draft).transpose()?.map(|(_, draft)| draft))
}

pub(super) async fn all(
    session: &mut Session,
    tenant: &TenantId,
) -> Result<Vec<(TemplateName, Draft)>, StoreError> {
    let rows = fetch!(
        all, session => Row,
        "SELECT id, locale, version, parts, base_version FROM template_drafts WHERE tenant = $1 ORDER BY id, locale",
        tenant.as_str()
    )?;
    rows.into_iter().map(Row::draft).collect()
}

pub(super) async fn delete(tx: &mut Tx, tenant: &TenantId, name: &TemplateName) -> Result<(), StoreError> {
    execute!(
        tx,
        "DELETE FROM template_drafts WHERE tenant = $1 AND id = $2 AND locale = $3",
        tenant.as_str(),
        name.id.as_str(),
        name.locale_column()
    )?;
    Ok(())
}
