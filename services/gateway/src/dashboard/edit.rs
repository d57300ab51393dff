//! `/dlq/{id}/edit`: the event in a dead letter as a text; then the changes, field by field; then the job that puts it back.
//! The browser sends the whole text. The patch is the difference between that text and the shown one, so a masked value that
//! was not changed keeps its true value.

use askama::Template;
use axum::{
    Form,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use carillon_domain::{
    edit::{Document, Edit},
    json::fault,
    mask::HIDDEN,
};
use carillon_runtime::http::{ProblemError, ProblemKind};
use carillon_store::{api_keys::Role, dead_letter_jobs::JobKind, dead_letters::DeadLetterView};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    Dashboard,
    page::{Frame, NavSection, PageError, render},
    session::SignedIn,
};
use crate::{
    error::ApiError,
    input::{Id, NoQuery},
    letters::{self, ChangeDocument, Editable, LetterId, SettleBody, verdicts_of},
    privacy::{Sight, mask_letter},
};

/// The text for a record that cannot be read, or that is not shown.
const EMPTY: &str = "{\n  \"specversion\": \"1.0\",\n  \"id\": \"\",\n  \"source\": \"/\",\n  \"type\": \"\",\n  \"data\": {}\n}";

#[derive(Template)]
#[template(path = "dead_letter_edit.html")]
struct EditPage {
    frame: Option<Frame>,
    letter: DeadLetterView,
    text: String,
    /// Whether the whole record has to be written anew.
    is_new: bool,
    is_masked: bool,
    /// Whether a value is hidden as a whole.
    has_secrets: bool,
    errors: Vec<ProblemError>,
    /// The changes that are to be confirmed.
    proposal: Option<Proposal>,
}

struct Proposal {
    /// The JSON Patch.
    patch: String,
    changes: Vec<ChangeDocument>,
    /// The id of the job, so that a form that is sent twice makes one.
    job: Uuid,
}

/// The form.
#[derive(Debug, Deserialize)]
pub(crate) struct Edited {
    csrf: String,
    /// The event as it was written.
    #[serde(default)]
    text: String,
    /// The patch that is confirmed.
    #[serde(default)]
    patch: String,
    job: Option<Uuid>,
    #[serde(default)]
    note: String,
}

/// The event as a text.
pub(crate) async fn show(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    id: Result<Id, ApiError>,
    asked: Result<NoQuery, ApiError>,
) -> Result<Response, PageError> {
    signed_in.check_role(Role::Operator)?;
    let NoQuery = asked?;
    let (letter, editable) = find(&dashboard, &signed_in, id?.0).await?;
    let text = text_of(&letter, &editable, signed_in.sight);
    Ok(render(&page(&signed_in, letter, &editable, text)))
}

/// The changes that a text would make, or with a patch the job.
pub(crate) async fn send(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    id: Result<Id, ApiError>,
    Form(form): Form<Edited>,
) -> Result<Response, PageError> {
    signed_in.check_form(&form.csrf)?;
    signed_in.check_role(Role::Operator)?;
    let (letter, editable) = find(&dashboard, &signed_in, id?.0).await?;
    let id = letter.id;
    if let (false, Some(job)) = (form.patch.is_empty(), form.job) {
        let settling = body(id, form.patch, Some(form.note))?.checked(JobKind::Replay)?;
        let (who, sight) = (&signed_in.caller.0, signed_in.sight);
        letters::create(&dashboard.gateway, who, sight, settling, job).await?;
        return Ok(Redirect::to(&format!("/dlq/jobs/{job}")).into_response());
    }
    let mut page = page(&signed_in, letter, &editable, form.text);
    let proposal = match Document::parse(&page.text) {
        None => Err(wrong(
            "malformed-json",
            &format!("expected JSON, as it was shown: {}", unreadable(&page.text)),
        )),
        Some(written) => {
            let edit = Edit::between(&editable.shown, &written);
            propose(&dashboard, &signed_in, id, &edit).await
        }
    };
    match proposal {
        Ok(proposal) => {
            page.proposal = Some(proposal);
            Ok(render(&page))
        }
        Err(errors) => {
            page.errors = errors;
            let mut response = render(&page);
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        }
    }
}

/// The changes of an edit, if it could be made.
async fn propose(
    dashboard: &Dashboard,
    signed_in: &SignedIn,
    id: Uuid,
    edit: &Edit,
) -> Result<Proposal, Vec<ProblemError>> {
    if edit.is_empty() {
        return Err(wrong("unchanged", "expected a change"));
    }
    let (gateway, tenant) = (&dashboard.gateway, signed_in.caller.tenant());
    let patch = edit.text();
    let settling = body(id, patch.clone(), None)
        .and_then(|body| body.checked(JobKind::Replay))
        .map_err(errors_of)?;
    let rehearsed = letters::rehearse(gateway, tenant, signed_in.sight, &settling).await;
    let rehearsed = rehearsed.map_err(errors_of)?;
    if let Some(reason) = rehearsed.samples.first().and_then(|sample| sample.reason) {
        return Err(wrong(
            "unchanged",
            &format!("it cannot be sent with these changes: {reason}"),
        ));
    }
    Ok(Proposal {
        patch,
        changes: rehearsed.changes,
        job: Uuid::now_v7(),
    })
}

/// The request for the job of an edit. A patch that cannot be read is refused: without it, the letter would be put back as it is.
fn body(id: Uuid, patch: String, note: Option<String>) -> Result<SettleBody, ApiError> {
    let edit = RawValue::from_string(patch).map_err(|error| {
        let text = format!("the patch: expected JSON: {}", fault(&error));
        ApiError::new(ProblemKind::MalformedJson, text)
    })?;
    Ok(SettleBody {
        ids: Some(vec![LetterId(id)]),
        edit: Some(edit),
        note,
        ..SettleBody::default()
    })
}

/// The end of a sentence that says why a text is not JSON.
fn unreadable(text: &str) -> String {
    match serde_json::from_str::<&RawValue>(text) {
        Err(error) => fault(&error),
        Ok(_) => "it has a value that cannot be kept".to_owned(),
    }
}

async fn find(
    dashboard: &Dashboard,
    signed_in: &SignedIn,
    id: Uuid,
) -> Result<(DeadLetterView, Editable), PageError> {
    let (gateway, tenant) = (&dashboard.gateway, signed_in.caller.tenant());
    let found = gateway.store.dead_letters().get(tenant, id).await?;
    let mut letter = found.ok_or_else(|| ApiError::missing("dead letter", id))?;
    verdicts_of(gateway, tenant, std::slice::from_mut(&mut letter)).await?;
    let editable = letters::editable(gateway, tenant, signed_in.sight, &letter).await?;
    Ok((letter, editable))
}

fn page(signed_in: &SignedIn, mut letter: DeadLetterView, editable: &Editable, text: String) -> EditPage {
    mask_letter(&mut letter);
    EditPage {
        frame: Some(signed_in.frame(NavSection::DeadLetters)),
        letter,
        text,
        is_new: !editable.shown.is_object(),
        is_masked: editable.shown.text() != editable.document.text(),
        has_secrets: editable.shown.text().contains(HIDDEN),
        errors: Vec::new(),
        proposal: None,
    }
}

/// The text that the form begins with.
fn text_of(letter: &DeadLetterView, editable: &Editable, sight: Sight) -> String {
    if editable.shown.is_object() {
        return editable.shown.readable();
    }
    // Bytes that are no JSON may hold anything, so only a reveal shows them.
    match std::str::from_utf8(&letter.value) {
        Ok(text) if sight.is_revealed() && !text.is_empty() => text.to_owned(),
        _ => EMPTY.to_owned(),
    }
}

fn wrong(code: &str, message: &str) -> Vec<ProblemError> {
    vec![ProblemError {
        pointer: String::new(),
        code: code.to_owned(),
        message: message.to_owned(),
    }]
}

/// The errors of a check, with pointers into the event.
fn errors_of(ApiError(problem): ApiError) -> Vec<ProblemError> {
    if problem.errors.is_empty() {
        return wrong("problem", &problem.detail);
    }
    let errors = problem.errors.into_iter().map(|error| ProblemError {
        pointer: error
            .pointer
            .strip_prefix("/edited")
            .unwrap_or_default()
            .to_owned(),
        ..error
    });
    errors.collect()
}
