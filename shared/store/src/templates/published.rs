//! Immutable versions, the published one of each name, and languages (tables `template_versions`,
//! `template_published`, `locales`, `template_revisions`).

use std::collections::BTreeMap;

use carillon_domain::{TenantId, Timestamp};

use super::{TemplateDraft, TemplateName, TemplateRow};
use crate::{
    columns,
    db::{Conn, Document, Session, Tx, execute, fetch},
    error::StoreError,
};

const WHAT: &str = "a template";

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    version: i64,
    locale: String,
    parts: Document,
    created_at: Timestamp,
}

impl Row {
    fn template(self, tenant: &TenantId) -> Result<TemplateRow, StoreError> {
        let name = TemplateName::from_columns(self.id, self.locale);
        Ok(TemplateRow {
            tenant: tenant.clone(),
            id: name.id,
            version: columns::version(self.version)?,
            locale: name.locale,
            parts: self.parts.parse(WHAT)?,
            created_at: self.created_at,
        })
    }
}

/// Locks out other publishers of the tenant until this transaction ends, so that versions are numbered one by one.
pub(super) async fn lock(tx: &mut Tx, tenant: &TenantId) -> Result<(), StoreError> {
    execute!(
        tx,
        "INSERT INTO template_revisions (tenant, revision) VALUES ($1, 0)
        ON CONFLICT (tenant) DO UPDATE SET tenant = excluded.tenant",
        tenant.as_str()
    )?;
    Ok(())
}

/// Increases the revision, by which renderers notice a change.
pub(super) async fn bump(tx: &mut Tx, tenant: &TenantId) -> Result<(), StoreError> {
    execute!(
        tx,
        "UPDATE template_revisions SET revision = revision + 1 WHERE tenant = $1",
        tenant.as_str()
    )?;
    Ok(())
}

/// A number that grows with each change of the published content; 0 if nothing was ever published.
pub(super) async fn revision(conn: Conn<'_>, tenant: &TenantId) -> Result<i64, StoreError> {
    let row = fetch!(
        optional, conn => (i64,),
        "SELECT revision FROM template_revisions WHERE tenant = $1",
        tenant.as_str()
    )?;
    Ok(row.map_or(0, |(revision,)| revision))
}

/// The version of a name that is in use.
pub(super) async fn of_name(
    conn: Conn<'_>,
    tenant: &TenantId,
    name: &TemplateName,
) -> Result<Option<TemplateRow>, StoreError> {
    let row = fetch!(
        optional, conn => Row,
        "SELECT v.id, v.version, v.locale, v.parts, v.created_at
        FROM template_published p
        JOIN template_versions v ON v.tenant = p.tenant AND v.id = p.id AND v.version = p.version
        WHERE p.tenant = $1 AND p.id = $2 AND p.locale = $3",
        tenant.as_str(), name.id.as_str(), name.locale_column()
    )?;
    row.map(|row| row.template(tenant)).transpose()
}

/// Publishes a text under [`lock`]. Returns the published version, and whether it is new.
pub(super) async fn publish(
    tx: &mut Tx,
    tenant: &TenantId,
    template: &TemplateDraft,
    now: Timestamp,
) -> Result<(TemplateRow, bool), StoreError> {
    let name = &template.name;
    if let Some(standing) = of_name(tx.conn(), tenant, name).await?
        && standing.parts == template.parts
    {
        return Ok((standing, false));
    }
    let (version,) = fetch!(
        one, tx => (i64,),
        "INSERT INTO template_versions (tenant, id, version, locale, parts, created_at)
        SELECT $1, $2, COALESCE(MAX(version), 0) + 1, $3, $4, $5
        FROM template_versions WHERE tenant = $1 AND id = $2
        RETURNING version",
        tenant.as_str(), name.id.as_str(), name.locale_column(), Document::of(&template.parts, WHAT)?, now
    )?;
    let version = columns::version(version)?;
    point(tx, tenant, name, version).await?;
    let row = TemplateRow {
        tenant: tenant.clone(),
        id: name.id.clone(),
        version,
        locale: name.locale.clone(),
        parts: template.parts.clone(),
        created_at: now,
    };
    Ok((row, true))
}

pub(super) async fn point(
    tx: &mut Tx,
    tenant: &TenantId,
    name: &TemplateName,
    version: u32,
) -> Result<(), StoreError> {
    execute!(
        tx,
        "INSERT INTO template_published (tenant, id, locale, version) VALUES ($1, $2, $3, $4)
        ON CONFLICT (tenant, id, locale) DO UPDATE SET version = excluded.version",
        tenant.as_str(),
        name.id.as_str(),
        name.locale_column(),
        i64::from(version)
    )?;
    Ok(())
}

/// Writes languages; returns whether any changed.
pub(super) async fn put_locales(
    tx: &mut Tx,
    tenant: &TenantId,
    locales: &BTreeMap<String, String>,
) -> Result<bool, StoreError> {
    let mut written = 0;
    for (tag, messages) in locales {
        written += execute!(
            tx,
            "INSERT INTO locales (tenant, tag, messages) VALUES ($1, $2, $3)
            ON CONFLICT (tenant, tag) DO UPDATE SET messages = excluded.messages
            WHERE locales.messages <> excluded.messages",
            tenant.as_str(),
            tag.as_str(),
            messages.as_str()
        )?;
    }
    Ok(written > 0)
}

pub(super) async fn current(
    session: &mut Session,
    tenant: &TenantId,
) -> Result<Vec<TemplateRow>, StoreError> {
    let rows = fetch!(
        all, session => Row,
        "SELECT v.id, v.version, v.locale, v.parts, v.created_at
        FROM template_published p
        JOIN template_versions v ON v.tenant = p.tenant AND v.id = p.id AND v.version = p.version
        WHERE p.tenant = $1 ORDER BY p.id, p.locale",
        tenant.as_str()
    )?;
    rows.into_iter().map(|row| row.template(tenant)).collect()
}

pub(super) async fn version(
    conn: Conn<'_>,
    tenant: &TenantId,
    id: &str,
    version: u32,
) -> Result<Option<TemplateRow>, StoreError> {
    let row = fetch!(
        optional, conn => Row,
        "SELECT id, version, locale, parts, created_at FROM template_versions
        WHERE tenant = $1 AND id = $2 AND version = $3",
        tenant.as_str(), id, i64::from(version)
    )?;
    row.map(|row| row.template(tenant)).transpose()
}

pub(super) async fn versions(
    session: &mut Session,
    tenant: &TenantId,
    id: &str,
) -> Result<Vec<TemplateRow>, StoreError> {
    let rows = fetch!(
        all, session => Row,
        "SELECT id, version, locale, parts, created_at FROM template_versions
        WHERE tenant = $1 AND id = $2 ORDER BY version DESC",
        tenant.as_str(), id
    )?;
    rows.into_iter().map(|row| row.template(tenant)).collect()
}
