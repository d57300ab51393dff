//! Message templates: drafts, immutable versions, the published version of each (tables `template_drafts`,
//! `template_versions`, `template_published`) and the messages of languages (`locales`).

mod drafts;
mod published;

use std::collections::BTreeMap;

use carillon_domain::{TenantId, Timestamp};
use carillon_runtime::http::Conditions;
use serde::{Deserialize, Serialize};

use crate::{
    db::{Db, again, fetch},
    error::StoreError,
    versioned::Versioned,
};

/// A template's text by part: `subject`, `text`, `html`, `title`, `body`.
pub type Parts = BTreeMap<String, String>;

/// The name of a template: `<type>/<channel>`, for one locale or for all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TemplateName {
    /// `<type>/<channel>`.
    pub id: String,
    /// BCP 47; `None` serves all locales that have no template of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
}

/// A template in progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateDraft {
    /// Its name.
    #[serde(flatten)]
    pub name: TemplateName,
    /// Its text.
    pub parts: Parts,
}

/// One immutable version of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TemplateRow {
    /// The tenant.
    pub tenant: TenantId,
    /// `<type>/<channel>`.
    pub id: String,
    /// From 1; unique within (tenant, id), across locales.
    pub version: u32,
    /// BCP 47, if it serves a single locale.
    pub locale: Option<String>,
    /// Its text.
    pub parts: Parts,
    /// The time at which it was first published.
    pub created_at: Timestamp,
}

/// The templates.
#[derive(Debug, Clone)]
pub struct Templates {
    db: Db,
}

impl Templates {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Writes a draft, if the conditions hold. A template without a draft has version 0, and exists if it is
    /// published.
    pub async fn put_draft(
        &self,
        tenant: &TenantId,
        draft: &TemplateDraft,
        conditions: Option<&Conditions>,
    ) -> Result<Versioned<TemplateDraft>, StoreError> {
        again(|| async {
            let mut tx = self.db.begin().await?;
            let put = drafts::put(&mut tx, tenant, draft, conditions, self.db.now()).await?;
            tx.commit().await?;
            Ok(put)
        })
        .await
    }

    /// Reads a draft.
    pub async fn draft(
        &self,
        tenant: &TenantId,
        name: &TemplateName,
    ) -> Result<Option<Versioned<TemplateDraft>>, StoreError> {
        drafts::get(self.db.read().await?.conn(), tenant, name).await
    }

    /// All drafts, by name.
    pub async fn drafts(&self, tenant: &TenantId) -> Result<Vec<Versioned<TemplateDraft>>, StoreError> {
        drafts::all(&mut self.db.read().await?, tenant).await
    }

    /// Removes a draft; `false` if it did not exist.
    pub async fn delete_draft(&self, tenant: &TenantId, name: &TemplateName) -> Result<bool, StoreError> {
        drafts::delete(&self.db, tenant, name).await
    }

    /// Publishes a draft as a new version, or the current version again if the text is unchanged. Returns
    /// [`StoreError::NotFound`] if there is no draft.
    pub async fn publish(&self, tenant: &TenantId, name: &TemplateName) -> Result<TemplateRow, StoreError> {
        again(|| self.try_publish(tenant, name)).await
    }

    async fn try_publish(&self, tenant: &TenantId, name: &TemplateName) -> Result<TemplateRow, StoreError> {
        let mut tx = self.db.begin().await?;
        published::lock(&mut tx, tenant).await?;
        let draft = drafts::get(tx.conn(), tenant, name).await?;
        let draft = draft.ok_or(StoreError::NotFound { what: "draft" })?.value;
        let (row, changed) = published::publish(&mut tx, tenant, &draft, self.db.now()).await?;
        if changed {
            published::bump(&mut tx, tenant).await?;
        }
        tx.commit().await?;
        Ok(row)
    }

    /// Publishes many templates and languages in one step, as `catalog apply` does. Unchanged templates keep their
    /// version, and templates that are not named stay. Returns the templates that got a new version.
    pub async fn apply(
        &self,
        tenant: &TenantId,
        templates: &[TemplateDraft],
        locales: &BTreeMap<String, String>,
    ) -> Result<Vec<TemplateRow>, StoreError> {
        again(|| self.try_apply(tenant, templates, locales)).await
    }

    async fn try_apply(
        &self,
        tenant: &TenantId,
        templates: &[TemplateDraft],
        locales: &BTreeMap<String, String>,
    ) -> Result<Vec<TemplateRow>, StoreError> {
        let mut tx = self.db.begin().await?;
        published::lock(&mut tx, tenant).await?;
        let mut news = Vec::new();
        for template in templates {
            let (row, changed) = published::publish(&mut tx, tenant, template, self.db.now()).await?;
            if changed {
                news.push(row);
            }
        }
        if published::put_locales(&mut tx, tenant, locales).await? || !news.is_empty() {
            published::bump(&mut tx, tenant).await?;
        }
        tx.commit().await?;
        Ok(news)
    }

    /// Publishes one of the earlier versions of a name again. Returns [`StoreError::NotFound`] if there is no such
    /// version.
    pub async fn point(
        &self,
        tenant: &TenantId,
        name: &TemplateName,
        version: u32,
    ) -> Result<TemplateRow, StoreError> {
        again(|| self.try_point(tenant, name, version)).await
    }

    async fn try_point(
        &self,
        tenant: &TenantId,
        name: &TemplateName,
        version: u32,
    ) -> Result<TemplateRow, StoreError> {
        let mut tx = self.db.begin().await?;
        published::lock(&mut tx, tenant).await?;
        let row = published::version(tx.conn(), tenant, &name.id, version).await?;
        let row = row
            .filter(|row| row.locale == name.locale)
            .ok_or(StoreError::NotFound {
                what: "template version",
            })?;
        published::point(&mut tx, tenant, name, version).await?;
        published::bump(&mut tx, tenant).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// The published versions, by name.
    pub async fn published(&self, tenant: &TenantId) -> Result<Vec<TemplateRow>, StoreError> {
        published::current(&mut self.db.read().await?, tenant).await
    }

    /// A version of a template.
    pub async fn version(
        &self,
        tenant: &TenantId,
        id: &str,
        version: u32,
    ) -> Result<Option<TemplateRow>, StoreError> {
        published::version(self.db.read().await?.conn(), tenant, id, version).await
    }

    /// All versions of a template, newest first.
    pub async fn versions(&self, tenant: &TenantId, id: &str) -> Result<Vec<TemplateRow>, StoreError> {
        published::versions(&mut self.db.read().await?, tenant, id).await
    }

    /// Fluent messages by BCP 47 tag.
    pub async fn locales(&self, tenant: &TenantId) -> Result<BTreeMap<String, String>, StoreError> {
        let rows = fetch!(
            all, self.db.read().await? => (String, String),
            "SELECT tag, messages FROM locales WHERE tenant = $1",
            tenant.as_str()
        )?;
        Ok(rows.into_iter().collect())
    }

    /// Writes languages; those that are not named stay.
    pub async fn put_locales(
        &self,
        tenant: &TenantId,
        locales: &BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        self.apply(tenant, &[], locales).await.map(|_| ())
    }

    /// A number that grows with each change of the published content; 0 if nothing was ever published. The query is
    /// cheap enough for polling.
    pub async fn revision(&self, tenant: &TenantId) -> Result<i64, StoreError> {
        let row = fetch!(
            optional, self.db.read().await? => (i64,),
            "SELECT revision FROM template_revisions WHERE tenant = $1",
            tenant.as_str()
        )?;
        Ok(row.map_or(0, |(revision,)| revision))
    }
}

impl TemplateName {
    /// The locale as its column stores it: empty for a template that serves all locales.
    fn locale_column(&self) -> &str {
        self.locale.as_deref().unwrap_or("")
    }

    fn from_columns(id: String, locale: String) -> Self {
        Self {
            id,
            locale: (!locale.is_empty()).then_some(locale),
        }
    }
}
