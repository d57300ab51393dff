//! The store as a source of templates.

use async_trait::async_trait;
use carillon_domain::TenantId;
use carillon_render::{PartialDef, SourceError, TemplateDef, TemplateSet, TemplateSource};
use carillon_store::{
    Store, StoreError,
    templates::{TemplateDraft, TemplateName, TemplateRow},
};

/// The first part of a partial's id: `partials/<name>`.
pub(crate) const PARTIALS: &str = "partials";

/// Reads published templates from the store.
#[derive(Debug, Clone)]
pub struct StoreTemplates {
    store: Store,
}

impl StoreTemplates {
    /// A reader of a store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// All published templates and texts of a tenant.
    pub async fn published(&self, tenant: &TenantId) -> Result<TemplateSet, StoreError> {
        let templates = self.store.templates();
        // The revision is read first. A change after that has another revision, which causes a new reading.
        let revision = templates.revision(tenant).await?;
        let mut set = TemplateSet {
            revision,
            locales: templates.locales(tenant).await?,
            ..TemplateSet::default()
        };
        for row in templates.published(tenant).await? {
            put(&mut set, row);
        }
        Ok(set)
    }
}

#[async_trait]
impl TemplateSource for StoreTemplates {
    async fn load(&self, tenant: &TenantId) -> Result<TemplateSet, SourceError> {
        self.published(tenant)
            .await
            .map_err(|error| SourceError(Box::new(error)))
    }

    async fn revision(&self, tenant: &TenantId) -> Result<i64, SourceError> {
        self.store
            .templates()
            .revision(tenant)
            .await
            .map_err(|error| SourceError(Box::new(error)))
    }
}

/// Puts a template or partial into a set; replaces the one of the same name.
pub(crate) fn put(set: &mut TemplateSet, row: TemplateRow) {
    match Kind::parse(&row.id) {
        Some(Kind::Template { event_type, channel }) => {
            set.templates.retain(|def| {
                def.event_type != event_type || def.channel != channel || def.locale != row.locale
            });
            set.templates.push(TemplateDef {
                event_type: event_type.to_owned(),
                channel,
                locale: row.locale,
                version: row.version,
                parts: row.parts,
            });
        }
        Some(Kind::Partial { name }) => {
            set.partials.retain(|def| def.name != name);
            set.partials.push(PartialDef {
                name: name.to_owned(),
                parts: row.parts,
            });
        }
        None => tracing::error!(id = row.id, "a stored template has an invalid id"),
    }
}

/// The object that an id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    Template {
        event_type: &'a str,
        channel: carillon_domain::Channel,
    },
    Partial {
        name: &'a str,
    },
}

impl<'a> Kind<'a> {
    pub(crate) fn parse(id: &'a str) -> Option<Self> {
        let (group, name) = id.split_once('/')?;
        if group == PARTIALS {
            return (!name.is_empty()).then_some(Self::Partial { name });
        }
        let channel = name.parse().ok()?;
        (!group.is_empty()).then_some(Self::Template {
            event_type: group,
            channel,
        })
    }
}

/// The templates of a set as drafts for the store.
pub(crate) fn drafts(set: &TemplateSet) -> Vec<TemplateDraft> {
    let templates = set.templates.iter().map(|def| TemplateDraft {
        name: TemplateName {
            id: def.id(),
            locale: def.locale.clone(),
        },
        parts: def.parts.clone(),
    });
    let partials = set.partials.iter().map(|def| TemplateDraft {
        name: TemplateName {
            id: format!("{PARTIALS}/{}", def.name),
            locale: None,
        },
        parts: def.parts.clone(),
    });
    templates.chain(partials).collect()
}

#[cfg(test)]
mod tests {
    use carillon_domain::Channel;

    use super::*;

    #[test]
    fn an_id_names_a_template_or_a_partial() {
        let template = Kind::Template {
            event_type: "OrderShipped",
            channel: Channel::Sms,
        };
        assert_eq!(Kind::parse("OrderShipped/sms"), Some(template));
        assert_eq!(
            Kind::parse("partials/layout"),
            Some(Kind::Partial { name: "layout" })
        );
        for wrong in ["OrderShipped", "OrderShipped/fax", "/sms", "partials/"] {
            assert_eq!(Kind::parse(wrong), None, "{wrong}");
        }
    }
}
