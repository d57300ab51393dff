//! The publish gate: a template is checked together with everything that is published beside it.

use std::sync::Arc;

use carillon_domain::{TenantId, clock::Timestamp};
use carillon_render::{Engine, InProcess, TemplateIssue, TemplateSet, Validation};
use carillon_runtime::http::Problem;
use carillon_store::templates::{Parts, TemplateDraft, TemplateRow};

use crate::{errors, store_templates::put};

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

/// Runs [`judge`] off the threads that answer requests, because it compiles two whole sets.
pub(crate) async fn judge_aside(
    renderer: &InProcess,
    published: TemplateSet,
    tenant: &TenantId,
    draft: &Arc<TemplateDraft>,
) -> Result<Validation, Problem> {
    let (owner, draft) = (tenant.clone(), Arc::clone(draft));
    let judging = renderer.work(tenant, move || judge(&published, &owner, &draft));
    judging.await.map_err(|error| errors::work(&error))
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

/// Removes leading byte order marks, which some editors write and authors do not see.
pub(crate) fn without_marks(mut parts: Parts) -> Parts {
    for text in parts.values_mut() {
        if let Some(rest) = text.strip_prefix('\u{feff}') {
            *text = rest.to_owned();
        }
    }
    parts
}
