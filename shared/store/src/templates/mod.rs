//! Message templates: drafts, immutable versions, the published version of each (tables `template_drafts`,
//! `template_versions`, `template_published`) and the messages of languages (`locales`).

mod drafts;
mod published;
mod state;

use std::{collections::BTreeMap, fmt};

use carillon_domain::{TenantId, Timestamp};
use carillon_runtime::http::Conditions;
use serde::{Deserialize, Serialize};

pub use self::state::{Draft, TemplateState};
use crate::{
    audit_log::{self, AuditAction},
    db::{Db, Tx, again, fetch},
    error::StoreError,
    principal::Principal,
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

/// The result of publishing many templates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Published {
    /// The templates that got a new version.
    pub versions: Vec<TemplateRow>,
    /// The named templates whose drafts were written beside another version than the one that is now in use.
    pub outdated: Vec<TemplateName>,
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

    /// Writes a draft, if the conditions hold for the template as it stands.
    pub async fn put_draft(
        &self,
        tenant: &TenantId,
        draft: &TemplateDraft,
        conditions: Option<&Conditions>,
    ) -> Result<TemplateState, StoreError> {
        again(|| async {
            let mut tx = self.db.begin().await?;
            let mut state = locked(&mut tx, tenant, &draft.name, conditions).await?;
            let base = state.published.as_ref().map(|row| row.version);
            let put = drafts::put(&mut tx, tenant, &draft.name, &draft.parts, base, self.db.now()).await?;
            tx.commit().await?;
            state.draft = Some(put);
            Ok(state)
        })
        .await
    }

    /// The version in use and the draft of a template.
    pub async fn state(&self, tenant: &TenantId, name: &TemplateName) -> Result<TemplateState, StoreError> {
        let mut session = self.db.read().await?;
        Ok(TemplateState {
            draft: drafts::get(session.conn(), tenant, name).await?,
            published: published::of_name(session.conn(), tenant, name).await?,
        })
    }

    /// All drafts, by name.
    pub async fn drafts(&self, tenant: &TenantId) -> Result<Vec<(TemplateName, Draft)>, StoreError> {
        drafts::all(&mut self.db.read().await?, tenant).await
    }

    /// Discards a draft, if the conditions hold for the template as it stands. Returns [`StoreError::NotFound`] if
    /// there is no draft.
    pub async fn discard_draft(
        &self,
        tenant: &TenantId,
        name: &TemplateName,
        conditions: Option<&Conditions>,
    ) -> Result<(), StoreError> {
        again(|| async {
            let mut tx = self.db.begin().await?;
            let state = locked(&mut tx, tenant, name, conditions).await?;
            if state.draft.is_none() {
                return Err(StoreError::NotFound { what: "draft" });
            }
            drafts::delete(&mut tx, tenant, name).await?;
            tx.commit().await
        })
        .await
    }

    /// Publishes a draft as a new version, or keeps the current one if the text is the same. Publishing ends the
    /// draft. The draft was judged as `judged`, beside the published content of `revision`. If either has changed
    /// since, nothing is written, and the result `None` means that it has to be judged again. Returns
    /// [`StoreError::NotFound`] if there is no draft, and [`StoreError::PreconditionFailed`] if the conditions do not
    /// hold for the template as it stands.
    pub async fn publish(
        &self,
        tenant: &TenantId,
        judged: &TemplateDraft,
        revision: i64,
        conditions: Option<&Conditions>,
    ) -> Result<Option<TemplateRow>, StoreError> {
        again(|| self.try_publish(tenant, judged, revision, conditions, None)).await
    }

    /// Publishes a draft as [`Self::publish`] does, and notes in the audit log who did so on which route, if a version is
    /// new.
    pub async fn publish_as(
        &self,
        who: &Principal,
        route: &str,
        judged: &TemplateDraft,
        revision: i64,
        conditions: Option<&Conditions>,
    ) -> Result<Option<TemplateRow>, StoreError> {
        let noted = Some((who, route));
        again(|| self.try_publish(&who.tenant, judged, revision, conditions, noted)).await
    }

    async fn try_publish(
        &self,
        tenant: &TenantId,
        judged: &TemplateDraft,
        revision: i64,
        conditions: Option<&Conditions>,
        noted: Option<(&Principal, &str)>,
    ) -> Result<Option<TemplateRow>, StoreError> {
        let mut tx = self.db.begin().await?;
        let state = locked(&mut tx, tenant, &judged.name, conditions).await?;
        let draft = state.draft.ok_or(StoreError::NotFound { what: "draft" })?;
        if draft.parts != judged.parts || published::revision(tx.conn(), tenant).await? != revision {
            return Ok(None);
        }
        let now = self.db.now();
        let (row, changed) = published::publish(&mut tx, tenant, judged, now).await?;
        if changed {
            published::bump(&mut tx, tenant).await?;
            if let Some((who, route)) = noted {
                audit_log::append(&mut tx, who, AuditAction::Publish, route, now).await?;
            }
        }
        drafts::delete(&mut tx, tenant, &judged.name).await?;
        tx.commit().await?;
        Ok(Some(row))
    }

    /// Publishes many templates and languages in one step, as `catalog apply` does. Unchanged templates keep their
    /// version, and templates that are not named stay. A draft of the same text ends; one of another text stays, and
    /// is outdated if its template got a new version.
    pub async fn apply(
        &self,
        tenant: &TenantId,
        templates: &[TemplateDraft],
        locales: &BTreeMap<String, String>,
    ) -> Result<Published, StoreError> {
        again(|| self.try_apply(tenant, templates, locales)).await
    }

    async fn try_apply(
        &self,
        tenant: &TenantId,
        templates: &[TemplateDraft],
        locales: &BTreeMap<String, String>,
    ) -> Result<Published, StoreError> {
        let mut tx = self.db.begin().await?;
        published::lock(&mut tx, tenant).await?;
        let mut done = Published::default();
        for template in templates {
            let (row, changed) = published::publish(&mut tx, tenant, template, self.db.now()).await?;
            match drafts::get(tx.conn(), tenant, &template.name).await? {
                Some(draft) if draft.parts == template.parts => {
                    drafts::delete(&mut tx, tenant, &template.name).await?;
                }
                Some(draft) if draft.base != Some(row.version) => {
                    done.outdated.push(template.name.clone());
                }
                _ => {}
            }
            if changed {
                done.versions.push(row);
            }
        }
        if published::put_locales(&mut tx, tenant, locales).await? || !done.versions.is_empty() {
            published::bump(&mut tx, tenant).await?;
        }
        tx.commit().await?;
        Ok(done)
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
        published::revision(self.db.read().await?.conn(), tenant).await
    }
}

/// Locks out other writers of the tenant's templates, and returns a template as it stands. Fails if the conditions do
/// not hold for it.
async fn locked(
    tx: &mut Tx,
    tenant: &TenantId,
    name: &TemplateName,
    conditions: Option<&Conditions>,
) -> Result<TemplateState, StoreError> {
    published::lock(tx, tenant).await?;
    let state = TemplateState {
        draft: drafts::get(tx.conn(), tenant, name).await?,
        published: published::of_name(tx.conn(), tenant, name).await?,
    };
    if let Some(conditions) = conditions {
        let held = conditions.check(state.exists(), &state.etag());
        held.map_err(StoreError::PreconditionFailed)?;
    }
    Ok(state)
}

/// The name for sentences: `OrderShipped/sms`, or `OrderShipped/sms (fr)` for one locale.
impl fmt::Display for TemplateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        match &self.locale {
            None => Ok(()),
            Some(locale) => write!(f, " ({locale})"),
        }
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
