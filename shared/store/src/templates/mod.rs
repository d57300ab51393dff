//! Message templates: drafts, immutable versions, the published pointer (tables `template_drafts`,
//! `template_versions`, `template_published`) and the messages of languages (`locales`).

use std::collections::BTreeMap;

use carillon_domain::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    db::Db,
    error::StoreError,
    versioned::{IfMatch, Versioned},
};

/// A template's text by part: `subject`, `text`, `html`, `title`, `body`.
pub type Parts = BTreeMap<String, String>;

/// Names a template: `<type>/<channel>`, for one locale or for all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TemplateName {
    /// `<type>/<channel>`.
    pub id: String,
    /// BCP 47; `None` serves every locale that has no template of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
}

/// A template that is being worked on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateDraft {
    /// Which.
    #[serde(flatten)]
    pub name: TemplateName,
    /// Its text.
    pub parts: Parts,
}

/// One immutable version of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TemplateRow {
    /// Whose.
    pub tenant: TenantId,
    /// `<type>/<channel>`.
    pub id: String,
    /// From 1; unique within (tenant, id), over all locales.
    pub version: u32,
    /// BCP 47, if it serves one locale only.
    pub locale: Option<String>,
    /// Its text.
    pub parts: Parts,
    /// When it was published first.
    pub created_at: Timestamp,
}

/// The templates.
#[derive(Debug, Clone)]
pub struct Templates {
    db: Db,
}

impl Templates {
    /// Writes a draft.
    pub async fn put_draft(
        &self,
        tenant: &TenantId,
        draft: &TemplateDraft,
        if_match: IfMatch,
    ) -> Result<Versioned<TemplateDraft>, StoreError> {
        unimplemented!()
    }

    /// Reads a draft.
    pub async fn draft(
        &self,
        tenant: &TenantId,
        name: &TemplateName,
    ) -> Result<Option<Versioned<TemplateDraft>>, StoreError> {
        unimplemented!()
    }

    /// All drafts, by name.
    pub async fn drafts(&self, tenant: &TenantId) -> Result<Vec<Versioned<TemplateDraft>>, StoreError> {
        unimplemented!()
    }

    /// Removes a draft; `false` if there was none.
    pub async fn delete_draft(&self, tenant: &TenantId, name: &TemplateName) -> Result<bool, StoreError> {
        unimplemented!()
    }

    /// Publishes a draft as a new version, or the current one again if nothing changed.
    /// [`StoreError::NotFound`] without a draft.
    pub async fn publish(&self, tenant: &TenantId, name: &TemplateName) -> Result<TemplateRow, StoreError> {
        unimplemented!()
    }

    /// Publishes many templates and languages in one step, as `catalog apply` does: what is unchanged keeps its
    /// version, what is not named stays. Returns the templates that got a new version.
    pub async fn apply(
        &self,
        tenant: &TenantId,
        templates: &[TemplateDraft],
        locales: &BTreeMap<String, String>,
    ) -> Result<Vec<TemplateRow>, StoreError> {
        unimplemented!()
    }

    /// Points a name back to one of its versions. [`StoreError::NotFound`] if there is no such version.
    pub async fn point(
        &self,
        tenant: &TenantId,
        name: &TemplateName,
        version: u32,
    ) -> Result<TemplateRow, StoreError> {
        unimplemented!()
    }

    /// What is published now, by name.
    pub async fn published(&self, tenant: &TenantId) -> Result<Vec<TemplateRow>, StoreError> {
        unimplemented!()
    }

    /// One version.
    pub async fn version(
        &self,
        tenant: &TenantId,
        id: &str,
        version: u32,
    ) -> Result<Option<TemplateRow>, StoreError> {
        unimplemented!()
    }

    /// All versions of a template, newest first.
    pub async fn versions(&self, tenant: &TenantId, id: &str) -> Result<Vec<TemplateRow>, StoreError> {
        unimplemented!()
    }

    /// Fluent messages by BCP 47 tag.
    pub async fn locales(&self, tenant: &TenantId) -> Result<BTreeMap<String, String>, StoreError> {
        unimplemented!()
    }

    /// Writes languages; those that are not named stay.
    pub async fn put_locales(
        &self,
        tenant: &TenantId,
        locales: &BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Grows with every change of what is published: cheap enough to be polled. 0 if nothing ever was.
    pub async fn revision(&self, tenant: &TenantId) -> Result<i64, StoreError> {
        unimplemented!()
    }
}
