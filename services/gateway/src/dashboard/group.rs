//! `/dlq/groups/{fingerprint}`: a cause of dead letters with its note, its owner, whether it is ignored, and its planned
//! replay.

use askama::Template;
use axum::{
    Form,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use carillon_domain::Channel;
use carillon_runtime::http::{Conditions, Path};
use carillon_store::{api_keys::Role, suppressions::Change};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{
    Dashboard,
    chosen::{Chosen, wrong},
    page::{Frame, NavSection, PageError, render},
    session::SignedIn,
};
use crate::{
    error::ApiError,
    input::Query,
    letters::{self, CanaryNumber, GroupDocument, HandlingBody, PlanBody, TemplateBody},
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    /// `saved` or `stale`, after a form.
    result: Option<String>,
}

#[derive(Template)]
#[template(path = "dead_letter_group.html")]
struct GroupPage {
    frame: Option<Frame>,
    cause: GroupDocument,
    /// The path of the page.
    path: String,
    etag: String,
    /// The selection of its letters as a query string.
    query: String,
    /// The result of a form, as a sentence.
    said: Option<&'static str>,
    may_change: bool,
    /// The template that a replay can wait for, if its letters are messages of one, and the newest version of it.
    template: Option<(String, u32)>,
    /// Whether its provider account is closed now; `None` if it has none.
    is_closed: Option<bool>,
}

/// The page of a cause.
pub(crate) async fn show(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    Path(fingerprint): Path<String>,
    asked: Result<Query<Asked>, ApiError>,
) -> Result<Response, PageError> {
    let asked = asked?.0;
    let (gateway, tenant) = (&dashboard.gateway, signed_in.caller.tenant());
    let cause = letters::group(gateway, tenant, &fingerprint).await?;
    let group = &cause.group;
    let is_message = group.queue.parse::<Channel>().is_ok();
    let id = group.sample_type.as_ref().filter(|_| is_message);
    let template = match id.map(|event_type| format!("{event_type}/{}", group.queue)) {
        None => None,
        Some(id) => {
            let versions = gateway.store.templates().versions(tenant, &id).await?;
            let newest = versions.iter().map(|row| row.version).max().unwrap_or(0);
            Some((id, newest))
        }
    };
    let is_closed = match &group.provider {
        None => None,
        Some(provider) => {
            let holds = gateway.store.account_holds().to_resume().await?;
            Some(holds.iter().any(|hold| hold.account == *provider))
        }
    };
    let query = Chosen {
        fingerprint: Some(fingerprint.clone()),
        ..Chosen::default()
    };
    Ok(render(&GroupPage {
        frame: Some(signed_in.frame(NavSection::DeadLetters)),
        path: path(&fingerprint),
        etag: cause.etag(),
        query: query.query(),
        said: match asked.result.as_deref() {
            Some("saved") => Some("Saved."),
            Some("stale") => Some("Nothing was saved: it was changed meanwhile. This is its present state."),
            _ => None,
        },
        may_change: signed_in.role() >= Role::Operator,
        template,
        is_closed,
        cause,
    }))
}

fn path(fingerprint: &str) -> String {
    format!(
        "/dlq/groups/{}",
        utf8_percent_encode(fingerprint, NON_ALPHANUMERIC)
    )
}

/// The form of the note and the owner.
#[derive(Debug, Deserialize)]
pub(crate) struct Told {
    csrf: String,
    etag: String,
    #[serde(default)]
    note: String,
    #[serde(default)]
    owner: String,
}

/// The form of a button.
#[derive(Debug, Deserialize)]
pub(crate) struct Pressed {
    csrf: String,
    etag: String,
}

fn check(signed_in: &SignedIn, csrf: &str) -> Result<(), PageError> {
    signed_in.check_form(csrf)?;
    signed_in.check_role(Role::Operator)
}

/// The answer to a form: the cause's page, which shows the result.
fn back<T>(fingerprint: &str, changed: Result<T, ApiError>) -> Result<Response, PageError> {
    let result = match changed {
        Ok(_) => "saved",
        Err(error) if error.0.status == StatusCode::PRECONDITION_FAILED.as_u16() => "stale",
        Err(error) => return Err(error.into()),
    };
    Ok(Redirect::to(&format!("{}?result={result}", path(fingerprint))).into_response())
}

/// Changes the note and the owner. A text that is sent back as it was shown changes nothing: the addresses masked in it
/// stay stored.
pub(crate) async fn tell(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    Path(fingerprint): Path<String>,
    Form(told): Form<Told>,
) -> Result<Response, PageError> {
    check(&signed_in, &told.csrf)?;
    let (gateway, who) = (&dashboard.gateway, &signed_in.caller.0);
    let shown = letters::group(gateway, &who.tenant, &fingerprint).await?;
    let change = |shown: Option<String>, said: String| {
        if said.trim() == shown.as_deref().unwrap_or_default() {
            Change::Keep
        } else {
            Change::Set(Some(said))
        }
    };
    let body = HandlingBody {
        note: change(shown.note, told.note),
        owner: change(shown.owner, told.owner),
        ignored: Change::Keep,
    };
    let conditions = Conditions::exactly(&told.etag);
    back(
        &fingerprint,
        letters::change(gateway, who, &fingerprint, body, &conditions).await,
    )
}

/// Ignores the cause.
pub(crate) async fn ignore(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    Path(fingerprint): Path<String>,
    Form(pressed): Form<Pressed>,
) -> Result<Response, PageError> {
    turn(&dashboard, &signed_in, &fingerprint, &pressed, true).await
}

/// Ignores the cause no more.
pub(crate) async fn unignore(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    Path(fingerprint): Path<String>,
    Form(pressed): Form<Pressed>,
) -> Result<Response, PageError> {
    turn(&dashboard, &signed_in, &fingerprint, &pressed, false).await
}

async fn turn(
    dashboard: &Dashboard,
    signed_in: &SignedIn,
    fingerprint: &str,
    pressed: &Pressed,
    is_ignored: bool,
) -> Result<Response, PageError> {
    check(signed_in, &pressed.csrf)?;
    let body = HandlingBody {
        ignored: Change::Set(Some(is_ignored)),
        ..HandlingBody::default()
    };
    let (gateway, who) = (&dashboard.gateway, &signed_in.caller.0);
    let conditions = Conditions::exactly(&pressed.etag);
    back(
        fingerprint,
        letters::change(gateway, who, fingerprint, body, &conditions).await,
    )
}

/// The form of a planned replay.
#[derive(Debug, Deserialize)]
pub(crate) struct Planned {
    csrf: String,
    etag: String,
    #[serde(default)]
    template: String,
    #[serde(default)]
    after: String,
    #[serde(default)]
    account: String,
    #[serde(default)]
    canary: String,
    #[serde(default)]
    note: String,
}

/// Plans a replay.
pub(crate) async fn plan(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    Path(fingerprint): Path<String>,
    Form(planned): Form<Planned>,
) -> Result<Response, PageError> {
    check(&signed_in, &planned.csrf)?;
    let number = |name: &str, text: &str, expected: &str| match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| wrong(name, expected, text)),
    };
    let after = number("after", &planned.after, "a version, a whole number from 0")?;
    let letters = number("canary", &planned.canary, "a whole number from 1 to 1000")?;
    let text = |text: String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let body = PlanBody {
        template: text(planned.template).map(|id| TemplateBody { id, after }),
        account: text(planned.account),
        rate: None,
        note: text(planned.note),
        canary: Some(letters.map_or(CanaryNumber::Wanted(false), CanaryNumber::Letters)),
        canary_tolerance: None,
    };
    let (gateway, who) = (&dashboard.gateway, &signed_in.caller.0);
    let conditions = Conditions::exactly(&planned.etag);
    back(
        &fingerprint,
        letters::plan(gateway, who, &fingerprint, body, &conditions).await,
    )
}

/// Cancels the planned replay.
pub(crate) async fn cancel_plan(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    Path(fingerprint): Path<String>,
    Form(pressed): Form<Pressed>,
) -> Result<Response, PageError> {
    check(&signed_in, &pressed.csrf)?;
    let (gateway, who) = (&dashboard.gateway, &signed_in.caller.0);
    let conditions = Conditions::exactly(&pressed.etag);
    back(
        &fingerprint,
        letters::cancel_plan(gateway, who, &fingerprint, &conditions).await,
    )
}
