//! Checks a folder as a whole: the catalog, the templates, and that they fit together.

use std::path::{Path, PathBuf};

use carillon_domain::{Catalog, Channel, field_error::escape_token};
use carillon_render::{Engine, TemplateIssue, TemplateSet, locale_file};

use super::{CatalogFolder, FolderInvalid, FolderIssue};
use crate::store_templates::PARTIALS;

pub(super) fn check(
    folder: &Path,
    catalog: Catalog,
    templates: TemplateSet,
) -> Result<CatalogFolder, FolderInvalid> {
    let file = folder.join("catalog.yaml");
    let in_catalog = |pointer: String, code: &str, message: String| FolderIssue {
        file: file.clone(),
        pointer,
        line: None,
        code: code.to_owned(),
        message,
    };
    let mut issues: Vec<FolderIssue> = catalog
        .validate()
        .into_iter()
        .map(|error| in_catalog(error.pointer, &error.code, error.message))
        .collect();
    if catalog.types.contains_key(PARTIALS) {
        let message = format!("{PARTIALS} is the name under which partials are kept; expected another one");
        issues.push(in_catalog(format!("/types/{PARTIALS}"), "reserved", message));
    }
    for (name, def) in &catalog.types {
        for (index, channel) in def.channels.order.iter().enumerate() {
            let general = |def: &carillon_render::TemplateDef| {
                def.event_type == *name && def.channel == *channel && def.locale.is_none()
            };
            // Without a template, an endpoint gets the event.
            if *channel != Channel::Webhook && !templates.templates.iter().any(general) {
                issues.push(in_catalog(
                    format!("/types/{}/channels/order/{index}", escape_token(name)),
                    "missing-template",
                    format!("expected templates/{name}/{channel}.*.hbs"),
                ));
            }
        }
    }
    for def in &templates.templates {
        if !catalog.types.contains_key(&def.event_type) {
            issues.push(FolderIssue {
                file: folder.join("templates").join(&def.event_type),
                pointer: String::new(),
                line: None,
                code: "unknown-event-type".to_owned(),
                message: "expected the name of an event type of catalog.yaml".to_owned(),
            });
        }
    }
    let engine = Engine::compile(&templates);
    let mut validation = engine.judge_with_texts(&templates);
    // A schema with a mistake of its own says nothing about variables.
    let has_mistake = |name: &str| {
        let at = format!("/types/{}/schema", escape_token(name));
        issues.iter().any(|issue| issue.pointer.starts_with(&at))
    };
    let schema_of = |name: &str| {
        catalog
            .types
            .get(name)
            .filter(|_| !has_mistake(name))?
            .schema
            .as_ref()
    };
    let unfit = engine.unfit_parts(&templates, schema_of);
    validation.errors.extend(unfit);
    // The partial itself has an issue, and the author needs no other for each template around it.
    validation.errors.retain(|issue| !issue.is_consequence());
    let located = |issue: TemplateIssue| FolderIssue {
        file: file_of(folder, &issue),
        pointer: String::new(),
        line: issue.line,
        code: issue.code.to_owned(),
        message: issue.message,
    };
    issues.extend(validation.errors.into_iter().map(located));
    issues.dedup();
    if issues.is_empty() {
        let in_schemas = catalog.warnings().into_iter();
        let in_schemas =
            in_schemas.map(|warning| in_catalog(warning.pointer, &warning.code, warning.message));
        let warnings = in_schemas
            .chain(validation.warnings.into_iter().map(located))
            .collect();
        Ok(CatalogFolder {
            catalog,
            templates,
            warnings,
        })
    } else {
        Err(FolderInvalid { issues })
    }
}

/// The file in which an issue stands.
fn file_of(folder: &Path, issue: &TemplateIssue) -> PathBuf {
    if let Some(tag) = issue.template.strip_prefix("locales/") {
        return locale_file(folder, tag);
    }
    let locale = issue
        .locale
        .as_ref()
        .map(|locale| format!(".{locale}"))
        .unwrap_or_default();
    if issue.template.starts_with("partials/") {
        folder.join(format!("{}.{}.hbs", issue.template, issue.part))
    } else {
        folder
            .join("templates")
            .join(format!("{}{locale}.{}.hbs", issue.template, issue.part))
    }
}
