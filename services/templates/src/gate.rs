//! The publish gate: a template is checked together with everything that is published beside it.

use std::sync::Arc;

use carillon_domain::{Catalog, TenantId, clock::Timestamp};
use carillon_render::{Admission, Engine, TemplateIssue, TemplateSet, Validation};
use carillon_runtime::http::Problem;
use carillon_store::templates::{Parts, TemplateDraft, TemplateRow};

use crate::{TemplatesApi, errors, store_templates::put};

/// The published set, with a draft in its place.
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

/// The result of judging a draft.
#[derive(Debug)]
pub(crate) struct Judged {
    /// The draft's own errors and warnings, and the errors that it causes elsewhere.
    pub(crate) validation: Validation,
    /// The published set, compiled with the draft in its place.
    pub(crate) engine: Arc<Engine>,
}

/// Runs [`judge`] off the threads that answer requests, because it compiles a whole set.
pub(crate) async fn judge_aside(
    api: &TemplatesApi,
    admission: &Admission,
    published: TemplateSet,
    tenant: &TenantId,
    draft: &Arc<TemplateDraft>,
) -> Result<Judged, Problem> {
    let (owner, draft) = (tenant.clone(), Arc::clone(draft));
    // Files of texts that have not changed since are not read again.
    let known = api.renderer.latest(tenant);
    let catalog = api.store.catalog().get(tenant).await;
    let catalog = catalog.map_err(|error| Problem::of_store(&error))?;
    let judging = api.renderer.work(admission, move || {
        let catalog = catalog.as_ref().map(|catalog| &catalog.value);
        judge(&published, catalog, known.as_deref(), &owner, &draft)
    });
    let judged = judging.await.map_err(|error| errors::work(&error))?;
    api.renderer.keep_draft(tenant, Arc::clone(&judged.engine));
    Ok(judged)
}

/// Judges a draft as if it were published: its own errors, those that it causes elsewhere (a partial breaks the
/// templates that include it), and its own warnings. Errors elsewhere that exist without the draft are left out.
fn judge(
    published: &TemplateSet,
    catalog: Option<&Catalog>,
    known: Option<&Engine>,
    tenant: &TenantId,
    draft: &TemplateDraft,
) -> Judged {
    let set = with_draft(published.clone(), tenant, draft);
    let engine = Engine::compile_beside(&set, known);
    let judged = |engine: &Engine, set: &TemplateSet| {
        let mut validation = engine.judge(set);
        let schema_of = |name: &str| catalog?.types.get(name)?.schema.as_ref();
        validation.errors.extend(engine.unfit_parts(set, schema_of));
        validation
    };
    let Validation { mut errors, warnings } = judged(&engine, &set);
    let own = |issue: &TemplateIssue| issue.template == draft.name.id && issue.locale == draft.name.locale;
    if !errors.iter().all(own) {
        let former = Engine::compile_beside(published, Some(&engine));
        let before = judged(&former, published).errors;
        errors.retain(|issue| own(issue) || !before.contains(issue));
    }
    let validation = Validation {
        errors,
        warnings: warnings.into_iter().filter(own).collect(),
    };
    Judged {
        validation,
        engine: Arc::new(engine),
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
