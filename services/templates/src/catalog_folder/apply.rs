//! Comparing a folder with the store, and applying it. Applying the same folder again changes nothing.

use std::collections::BTreeMap;

use carillon_domain::{Catalog, TenantId};
use carillon_store::{
    Store, StoreError,
    templates::{TemplateDraft, TemplateName},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::CatalogFolder;
use crate::store_templates::drafts;

/// The differences between a folder and the store.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Difference {
    /// Event types.
    pub types: Names,
    /// Categories.
    pub categories: Names,
    /// Templates and partials, as `<type>/<channel>` (with ` (<locale>)` if for one locale only) and
    /// `partials/<name>`.
    pub templates: Names,
    /// Files of texts, by their tags.
    pub locales: Names,
    /// The rules of sources, as `sources/<topic>`, and the catalog's other settings, by their fields.
    pub settings: Names,
}

impl Difference {
    /// Whether applying the folder would change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        [&self.types, &self.categories, &self.settings]
            .iter()
            .all(|names| names.is_empty())
            && [&self.templates, &self.locales]
                .iter()
                .all(|names| names.added.is_empty() && names.changed.is_empty())
    }
}

/// Names that were added or changed, or are only in the store.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Names {
    /// In the folder only.
    pub added: Vec<String>,
    /// In both, with different content.
    pub changed: Vec<String>,
    /// In the store only. Applying the folder removes these from the catalog. Templates and texts stay, because
    /// messages in progress may need them.
    pub only_in_store: Vec<String>,
}

impl Names {
    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.only_in_store.is_empty()
    }

    fn compare<'a, T: PartialEq + 'a>(
        folder: impl Iterator<Item = (String, &'a T)>,
        store: impl Iterator<Item = (String, &'a T)>,
    ) -> Self {
        let mut standing: BTreeMap<String, &T> = store.collect();
        let mut names = Self::default();
        for (name, value) in folder {
            match standing.remove(&name) {
                None => names.added.push(name),
                Some(other) if other != value => names.changed.push(name),
                Some(_) => {}
            }
        }
        names.only_in_store = standing.into_keys().collect();
        names
    }
}

/// The result of applying a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// The catalog's new version.
    pub catalog_version: i64,
    /// The differences before it.
    pub difference: Difference,
    /// New versions of templates and partials, by id.
    pub published: Vec<PublishedVersion>,
    /// Templates of the folder whose draft was written beside a version that is no longer in use, named as in
    /// [`Difference::templates`]. Such a draft stays until it is published, written again or discarded.
    pub outdated_drafts: Vec<String>,
}

/// A new version of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublishedVersion {
    /// `<type>/<channel>` or `partials/<name>`.
    pub id: String,
    /// The locale, if it serves a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// The version, from 1.
    pub version: u32,
}

/// The reason for which a folder was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The store failed. Completed parts stay, and applying again continues from there.
    #[error("the folder could not be applied")]
    Store(#[from] StoreError),
}

/// The differences between a folder and a tenant's data.
pub async fn diff(
    store: &Store,
    tenant: &TenantId,
    folder: &CatalogFolder,
) -> Result<Difference, StoreError> {
    let catalog = store
        .catalog()
        .get(tenant)
        .await?
        .map_or_else(Catalog::default, |catalog| catalog.value);
    let published: Vec<TemplateDraft> = store
        .templates()
        .published(tenant)
        .await?
        .into_iter()
        .map(|row| TemplateDraft {
            name: TemplateName {
                id: row.id,
                locale: row.locale,
            },
            parts: row.parts,
        })
        .collect();
    let locales = store.templates().locales(tenant).await?;
    let wanted = drafts(&folder.templates);
    let (settings, standing) = (settings(&folder.catalog), settings(&catalog));
    Ok(Difference {
        settings: Names::compare(named(&settings), named(&standing)),
        types: Names::compare(named(&folder.catalog.types), named(&catalog.types)),
        categories: Names::compare(named(&folder.catalog.categories), named(&catalog.categories)),
        templates: Names::compare(labelled(&wanted), labelled(&published)),
        locales: Names::compare(named(&folder.templates.locales), named(&locales)),
    })
}

/// The parts of a catalog beside its types and categories.
fn settings(catalog: &Catalog) -> BTreeMap<String, Value> {
    let Catalog {
        types: _,
        categories: _,
        timezone,
        quiet_hours,
        limits,
        sources,
    } = catalog;
    let sources = sources
        .iter()
        .map(|(topic, def)| (format!("sources/{topic}"), json!(def)));
    let mut settings: BTreeMap<String, Value> = sources.collect();
    let others = [
        ("timezone", json!(timezone)),
        ("quiet_hours", json!(quiet_hours)),
        ("limits", json!(limits)),
    ];
    settings.extend(others.map(|(name, value)| (name.to_owned(), value)));
    settings
}

fn named<'a, T: 'a>(
    entries: impl IntoIterator<Item = (&'a String, &'a T)>,
) -> impl Iterator<Item = (String, &'a T)> {
    entries.into_iter().map(|(name, value)| (name.clone(), value))
}

fn labelled(drafts: &[TemplateDraft]) -> impl Iterator<Item = (String, &carillon_store::templates::Parts)> {
    drafts.iter().map(|draft| (draft.name.to_string(), &draft.parts))
}

/// Applies a folder to the store: templates and texts first, so that no type is available before its messages.
pub async fn apply(store: &Store, tenant: &TenantId, folder: &CatalogFolder) -> Result<Applied, ApplyError> {
    let difference = diff(store, tenant, folder).await?;
    let published = store
        .templates()
        .apply(tenant, &drafts(&folder.templates), &folder.templates.locales)
        .await?;
    let catalog = store.catalog().put(tenant, &folder.catalog, None).await?;
    Ok(Applied {
        catalog_version: catalog.version,
        difference,
        outdated_drafts: published.outdated.iter().map(ToString::to_string).collect(),
        published: published
            .versions
            .into_iter()
            .map(|row| PublishedVersion {
                id: row.id,
                locale: row.locale,
                version: row.version,
            })
            .collect(),
    })
}
