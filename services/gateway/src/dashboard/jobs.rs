//! `/dlq/jobs` and `/dlq/jobs/{id}`: the jobs that work dead letters off. The page of a running job loads itself again.

use askama::Template;
use axum::{
    Form,
    extract::State,
    response::{IntoResponse as _, Redirect, Response},
};
use carillon_domain::dead_letter::SkipReason;
use carillon_store::{api_keys::Role, dead_letter_jobs::JobState};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    Dashboard,
    page::{Frame, NavSection, PageError, render},
    session::SignedIn,
};
use crate::{
    error::ApiError,
    input::{Id, NoQuery, Query, page},
    letters::{self, FilterBody, JobDocument},
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "dead_letter_jobs.html")]
struct JobsPage {
    frame: Option<Frame>,
    jobs: Vec<JobDocument>,
    older: Option<String>,
}

/// The list, newest first.
pub(crate) async fn list(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    asked: Result<Query<Asked>, ApiError>,
) -> Result<Response, PageError> {
    let page = page(None, asked?.0.cursor.as_deref())?;
    let jobs = dashboard.gateway.store.dead_letter_jobs();
    let found = jobs.list(signed_in.caller.tenant(), page).await?;
    Ok(render(&JobsPage {
        frame: Some(signed_in.frame(NavSection::DeadLetters)),
        jobs: found.items.into_iter().map(JobDocument::of).collect(),
        older: found
            .next_cursor
            .map(|cursor| format!("/dlq/jobs?cursor={cursor}")),
    }))
}

#[derive(Template)]
#[template(path = "dead_letter_job.html")]
struct JobPage {
    frame: Option<Frame>,
    job: JobDocument,
    is_running: bool,
    /// Whether it goes on when it is resumed.
    is_paused: bool,
    /// The reason for which its canary has stopped it.
    stopped: Option<String>,
    /// The number of letters that died again after it had put them back.
    again: u64,
    /// The letter that it edits.
    letter: Option<Uuid>,
    may_change: bool,
    /// The reasons for which letters stay as they are: number, word and sentence.
    reasons: Vec<(u64, SkipReason, &'static str)>,
}

/// The page of a job.
pub(crate) async fn show(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    id: Result<Id, ApiError>,
    asked: Result<NoQuery, ApiError>,
) -> Result<Response, PageError> {
    let NoQuery = asked?;
    let Id(id) = id?;
    let jobs = dashboard.gateway.store.dead_letter_jobs();
    let job = jobs
        .get(signed_in.caller.tenant(), id)
        .await?
        .ok_or_else(|| ApiError::missing("job", id))?;
    let letter = job.edit.as_ref().and(job.selection.ids.first().copied());
    let job = JobDocument::of(job);
    let again = letters::died_again(&dashboard.gateway, signed_in.caller.tenant(), job.id).await?;
    let is_running = job.state == JobState::Running;
    let is_stopped = job.state == JobState::Stopped;
    let is_paused = is_stopped || job.state == JobState::Paused;
    let reasons = job.reasons.iter();
    Ok(render(&JobPage {
        frame: Some(signed_in.frame(NavSection::DeadLetters)),
        is_running,
        is_paused,
        stopped: is_stopped
            .then(|| job.canary.as_ref().map(|canary| canary.sentence.clone()))
            .flatten(),
        again,
        letter,
        may_change: (is_running || is_paused) && signed_in.role() >= Role::Operator,
        reasons: reasons
            .map(|(reason, count)| (*count, *reason, reason.sentence()))
            .collect(),
        job,
    }))
}

/// A filter as one line of text.
pub(crate) fn filter_text(filter: &FilterBody) -> String {
    serde_json::to_string(filter).unwrap_or_default()
}

/// The form of a button that changes a job.
#[derive(Debug, Deserialize)]
pub(crate) struct Change {
    csrf: String,
}

/// The id of the job that the form changes, if the user may.
fn changed(
    signed_in: &SignedIn,
    id: Result<Id, ApiError>,
    Form(change): Form<Change>,
) -> Result<Uuid, PageError> {
    signed_in.check_form(&change.csrf)?;
    signed_in.check_role(Role::Operator)?;
    Ok(id?.0)
}

/// The answer to a form: the job's page.
fn back<T>(id: Uuid, changed: Option<T>) -> Result<Response, PageError> {
    changed.ok_or_else(|| ApiError::missing("job", id))?;
    Ok(Redirect::to(&format!("/dlq/jobs/{id}")).into_response())
}

/// Cancels a job.
pub(crate) async fn cancel(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    id: Result<Id, ApiError>,
    form: Form<Change>,
) -> Result<Response, PageError> {
    let id = changed(&signed_in, id, form)?;
    let jobs = dashboard.gateway.store.dead_letter_jobs();
    back(id, jobs.cancel(&signed_in.caller.0, id).await?)
}

/// Pauses a job.
pub(crate) async fn pause(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    id: Result<Id, ApiError>,
    form: Form<Change>,
) -> Result<Response, PageError> {
    let id = changed(&signed_in, id, form)?;
    let jobs = dashboard.gateway.store.dead_letter_jobs();
    back(id, jobs.pause(&signed_in.caller.0, id).await?)
}

/// Lets a paused job go on.
pub(crate) async fn resume(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    id: Result<Id, ApiError>,
    form: Form<Change>,
) -> Result<Response, PageError> {
    let id = changed(&signed_in, id, form)?;
    let jobs = dashboard.gateway.store.dead_letter_jobs();
    back(id, jobs.resume(&signed_in.caller.0, id).await?)
}
