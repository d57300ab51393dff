//! `/dlq/replay` and `/dlq/discard`: first the dry run with a form, then the job.

use askama::Template;
use axum::{
    Form,
    extract::State,
    response::{IntoResponse as _, Redirect, Response},
};
use carillon_store::{api_keys::Role, dead_letter_jobs::JobKind};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    Dashboard,
    chosen::{Chosen, wrong},
    page::{Frame, NavSection, PageError, render},
    session::SignedIn,
};
use crate::{
    error::ApiError,
    input::Query,
    letters::{self, CanaryNumber, Rehearsal},
};

#[derive(Template)]
#[template(path = "dead_letter_settle.html")]
struct SettlePage {
    frame: Option<Frame>,
    kind: JobKind,
    /// The path to which the form is sent.
    action: &'static str,
    /// The selection, as (name, value).
    fields: Vec<(&'static str, String)>,
    rehearsal: Rehearsal,
    /// The id of the job, so that a form that is sent twice makes one.
    job: Uuid,
    back: String,
}

impl SettlePage {
    /// The number of letters that would get the verdict.
    fn would(&self) -> u64 {
        self.rehearsal.would.send + self.rehearsal.would.discard
    }

    /// Whether only a part of the letters was examined.
    fn is_partial(&self) -> bool {
        self.rehearsal.examined < self.rehearsal.total
    }
}

/// The dry run of a replay.
pub(crate) async fn replay(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    chosen: Result<Query<Chosen>, ApiError>,
) -> Result<Response, PageError> {
    show(&dashboard, &signed_in, chosen?.0, JobKind::Replay).await
}

/// The dry run of a discard.
pub(crate) async fn discard(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    chosen: Result<Query<Chosen>, ApiError>,
) -> Result<Response, PageError> {
    show(&dashboard, &signed_in, chosen?.0, JobKind::Discard).await
}

async fn show(
    dashboard: &Dashboard,
    signed_in: &SignedIn,
    chosen: Chosen,
    kind: JobKind,
) -> Result<Response, PageError> {
    signed_in.check_role(Role::Operator)?;
    let (gateway, tenant) = (&dashboard.gateway, signed_in.caller.tenant());
    let settling = chosen.body()?.checked(kind)?;
    let settling = settling.without_ignored(gateway, tenant).await?;
    let rehearsal = letters::rehearse(gateway, tenant, signed_in.sight, &settling).await?;
    let id = chosen.field("id");
    Ok(render(&SettlePage {
        frame: Some(signed_in.frame(NavSection::DeadLetters)),
        kind,
        action: match kind {
            JobKind::Replay => "/dlq/replay",
            JobKind::Discard => "/dlq/discard",
        },
        fields: chosen.fields(),
        rehearsal,
        job: Uuid::now_v7(),
        back: if id.is_empty() {
            format!("/dlq?{}", chosen.query())
        } else {
            format!("/dlq/{id}")
        },
    }))
}

/// The form of the dry run.
#[derive(Debug, Deserialize)]
pub(crate) struct Confirmed {
    csrf: String,
    job: Uuid,
    #[serde(default)]
    note: String,
    #[serde(default)]
    rate: String,
    #[serde(default)]
    canary: String,
    #[serde(default)]
    canary_tolerance: String,
    id: Option<String>,
    fingerprint: Option<String>,
    channel: Option<String>,
    class: Option<String>,
    provider: Option<String>,
    code: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    replayed_by: Option<String>,
    ignored: Option<String>,
}

/// Makes the job of a replay.
pub(crate) async fn confirm_replay(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    Form(confirmed): Form<Confirmed>,
) -> Result<Response, PageError> {
    confirm(&dashboard, &signed_in, confirmed, JobKind::Replay).await
}

/// Makes the job of a discard.
pub(crate) async fn confirm_discard(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    Form(confirmed): Form<Confirmed>,
) -> Result<Response, PageError> {
    confirm(&dashboard, &signed_in, confirmed, JobKind::Discard).await
}

async fn confirm(
    dashboard: &Dashboard,
    signed_in: &SignedIn,
    confirmed: Confirmed,
    kind: JobKind,
) -> Result<Response, PageError> {
    signed_in.check_form(&confirmed.csrf)?;
    signed_in.check_role(Role::Operator)?;
    let chosen = Chosen {
        id: confirmed.id,
        fingerprint: confirmed.fingerprint,
        channel: confirmed.channel,
        class: confirmed.class,
        provider: confirmed.provider,
        code: confirmed.code,
        event_type: confirmed.event_type,
        replayed_by: confirmed.replayed_by,
        ignored: confirmed.ignored,
    };
    let mut body = chosen.body()?;
    body.note = Some(confirmed.note);
    let number = |name: &str, text: &str, expected: &str| match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| wrong(name, expected, text)),
    };
    body.rate = number("rate", &confirmed.rate, "a whole number from 1 to 10000")?;
    body.canary =
        number("canary", &confirmed.canary, "a whole number from 1 to 1000")?.map(CanaryNumber::Letters);
    // Without a canary, a tolerance has no meaning.
    if body.canary.is_some() {
        let expected = "a whole number from 0 to 99";
        body.canary_tolerance = number("canary_tolerance", &confirmed.canary_tolerance, expected)?;
    }
    let (who, sight) = (&signed_in.caller.0, signed_in.sight);
    let settling = body.checked(kind)?;
    let settling = settling.without_ignored(&dashboard.gateway, &who.tenant).await?;
    letters::create(&dashboard.gateway, who, sight, settling, confirmed.job).await?;
    Ok(Redirect::to(&format!("/dlq/jobs/{}", confirmed.job)).into_response())
}
