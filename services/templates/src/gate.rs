//! The publish gate: a template is checked together with everything that is published beside it.

use carillon_domain::{TenantId, clock::Timestamp};
use carillon_render::{Engine, TemplateIssue, TemplateSet, Validation};
use carillon_store::templates::{TemplateDraft, TemplateRow};

use crate::store_templates::put;

/// What is published, with a draft in its place.
pub(crate) fn with_draft(
    mut published: TemplateSet,
    tenant: &TenantId,
    draft: &TemplateDraft,
) -> TemplateSet {
    put(
        &mut published,
        TemplateRow {
            tenant: tenant.clone(),
            id: draft.name.id.clone(),
            version: 0,
            locale: draft.name.locale.clone(),
            parts: draft.parts.clone(),
            created_at: Timestamp::UNIX_EPOCH,
        },
    );
    published
}

/// What publishing the draft would bring: its own errors, those that it causes elsewhere (a partial breaks the templates
/// that include it), and its own warnings. What was wrong elsewhere before stays out of it.
pub(crate) fn judge(published: &TemplateSet, tenant: &TenantId, draft: &TemplateDraft) -> Validation {
    let before = Engine::validate(published).errors;
    let after = Engine::validate(&with_draft(published.clone(), tenant, draft));
    let own = |issue: &TemplateIssue| issue.template == draft.name.id && issue.locale == draft.name.locale;
    Validation {
        errors: after
            .errors
            .into_iter()
            .filter(|issue| own(issue) || !before.contains(issue))
            .collect(),
        warnings: after.warnings.into_iter().filter(own).collect(),
    }
}
