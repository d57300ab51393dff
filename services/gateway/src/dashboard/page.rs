//! The common parts of all pages: the frame around them, and pages that report a problem.

use askama::Template;
use axum::{
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};
use carillon_domain::DeliveryStatus;
use carillon_runtime::http::{Problem, ProblemKind};
use carillon_store::{
    StoreError,
    dead_letter_jobs::{CanaryPhase, JobState},
};

use crate::error::ApiError;

/// A section of the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NavSection {
    Overview,
    Activity,
    Deliveries,
    DeadLetters,
    Templates,
    Keys,
}

impl NavSection {
    fn path(self) -> &'static str {
        match self {
            Self::Overview => "/",
            Self::Activity => "/activity",
            Self::Deliveries => "/deliveries",
            Self::DeadLetters => "/dlq",
            Self::Templates => "/templates",
            Self::Keys => "/keys",
        }
    }
}

/// The frame around the pages of a signed-in user.
pub(crate) struct Frame {
    pub(crate) part: NavSection,
    pub(crate) key_name: String,
    pub(crate) role: String,
    pub(crate) tenant: String,
    pub(crate) csrf: String,
    /// Path and query of the page.
    pub(crate) page: String,
    pub(crate) is_revealed: bool,
    /// Whether the user may reveal hidden values.
    pub(crate) may_reveal: bool,
    /// Whether the user sees the API keys.
    pub(crate) sees_keys: bool,
}

impl Frame {
    /// The value of `aria-current` on the link to the part that begins at `path`.
    pub(crate) fn current(&self, path: &str) -> &'static str {
        if self.part.path() == path { "page" } else { "false" }
    }
}

/// The colour of a status, beside its name.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]
pub(crate) fn tone(status: &DeliveryStatus) -> &'static str {
    use DeliveryStatus as S;
    match status {
        S::Sent | S::Digested | S::Delivered | S::Opened | S::Acknowledged | S::Clicked => "good",
        S::Accepted | S::Deferred | S::Queued | S::Sending => "busy",
        S::Retrying | S::Uncertain => "warn",
        S::Failed | S::DeadLettered | S::Bounced | S::Complained => "bad",
        S::Expired | S::Cancelled | S::Suppressed => "calm",
    }
}

/// The colour of a job's state, beside its name.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]
pub(crate) fn job_tone(state: &JobState) -> &'static str {
    match state {
        JobState::Running => "busy",
        JobState::Done => "good",
        JobState::Cancelled => "calm",
        JobState::Paused => "warn",
        JobState::Failed | JobState::Stopped => "bad",
    }
}

/// The colour of a canary's phase, beside its name.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]
pub(crate) fn canary_tone(phase: &CanaryPhase) -> &'static str {
    match phase {
        CanaryPhase::Sending | CanaryPhase::Watching => "busy",
        CanaryPhase::Passed => "good",
        CanaryPhase::Failed => "bad",
        CanaryPhase::Overruled => "warn",
    }
}

/// A name such as `dead_lettered` in words.
pub(crate) fn words(name: impl AsRef<str>) -> String {
    name.as_ref().replace('_', " ")
}

/// A finished page.
pub(crate) fn render(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a page was not rendered"
            );
            Problem::new(ProblemKind::Internal, "the page could not be rendered").into_response()
        }
    }
}

/// A page that reports a problem.
#[derive(Debug)]
pub(crate) struct PageError(Problem);

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Option<Frame>,
    title: String,
    detail: String,
    status: u16,
}

impl PageError {
    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<Problem> for PageError {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<ApiError> for PageError {
    fn from(error: ApiError) -> Self {
        Self(error.0)
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        ApiError::from(error).into()
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let status = self.status();
        let page = ErrorPage {
            frame: None,
            title: self.0.title,
            detail: self.0.detail,
            status: self.0.status,
        };
        let mut response = render(&page);
        *response.status_mut() = status;
        response
    }
}
