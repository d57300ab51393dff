//! `/dlq` and `/dlq/{id}`: the dead letters, by cause and one by one.

use askama::Template;
use axum::{extract::State, http::Uri, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use carillon_domain::{FieldError, TenantId, Timestamp, field_error::quoted};
use carillon_runtime::http;
use carillon_store::{
    Cursor,
    api_keys::Role,
    dead_letters::{DeadLetterFilter, DeadLetterState, DeadLetterView},
};
use serde::Deserialize;

use super::{
    Dashboard,
    chosen::Chosen,
    live_view::{LiveView, with_script},
    page::{Frame, NavSection, PageError, render},
    session::SignedIn,
};
use crate::{
    error::ApiError,
    input::{Id, NoQuery, Query, page},
    letters::{self, ChangeDocument, GroupDocument, Hidden, Shown, VerdictDocument, changes_by, verdicts_of},
    privacy::{mask_letter, show_dead_letter},
    state::GatewayState,
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    state: Option<String>,
    cursor: Option<String>,
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

#[derive(Template)]
#[template(path = "dead_letters.html")]
struct DeadLettersPage {
    frame: Option<Frame>,
    causes: Vec<GroupDocument>,
    /// The causes that are left out because they are ignored.
    hidden: Hidden,
    /// Whether the causes are shown above the letters.
    shows_causes: bool,
    chosen: Chosen,
    /// The filters as a query string.
    query: String,
    state: &'static str,
    letters: Vec<DeadLetterView>,
    older: Option<String>,
    /// Whether the user may replay and discard.
    may_settle: bool,
    live: Option<LiveView>,
}

impl DeadLettersPage {
    /// The query string of the list of another state.
    fn of_state(&self, state: &str) -> String {
        match self.query.as_str() {
            "" => format!("state={state}"),
            query => format!("state={state}&{query}"),
        }
    }
}

impl Asked {
    /// The state, open unless another one is requested.
    fn state(&self) -> Result<DeadLetterState, ApiError> {
        match self.state.as_deref() {
            None | Some("") => Ok(DeadLetterState::Open),
            Some(text) => text.parse().map_err(|_| {
                let message = format!(
                    "the parameter state: expected open, replayed or discarded, not {}",
                    quoted(text)
                );
                ApiError::fields(vec![FieldError::new("/state", "format", message)])
            }),
        }
    }

    fn chosen(self) -> Chosen {
        Chosen {
            id: None,
            fingerprint: self.fingerprint,
            channel: self.channel,
            class: self.class,
            provider: self.provider,
            code: self.code,
            event_type: self.event_type,
            replayed_by: self.replayed_by,
            ignored: self.ignored,
        }
    }
}

/// The conditions of a list.
async fn filter_of(
    gateway: &GatewayState,
    tenant: &TenantId,
    chosen: &Chosen,
    state: DeadLetterState,
) -> Result<DeadLetterFilter, ApiError> {
    let without = if chosen.leaves_ignored_out() {
        gateway.store.dead_letter_groups().ignored(tenant).await?
    } else {
        Vec::new()
    };
    chosen.filter(state, without)
}

/// The conditions of a list, by its path and query.
pub(super) async fn listed(
    gateway: &GatewayState,
    tenant: &TenantId,
    uri: &Uri,
) -> Result<DeadLetterFilter, ApiError> {
    let asked: Asked = http::query(uri)?;
    let state = asked.state()?;
    filter_of(gateway, tenant, &asked.chosen(), state).await
}

/// The list, of open dead letters unless another state is requested.
pub(crate) async fn list(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    asked: Result<Query<Asked>, ApiError>,
) -> Result<Response, PageError> {
    let asked = asked?.0;
    let state = asked.state()?;
    let cursor = asked.cursor.clone().filter(|cursor| !cursor.is_empty());
    let page = page(None, cursor.as_deref())?;
    let tenant = signed_in.caller.tenant();
    let chosen = asked.chosen();
    let gateway = &dashboard.gateway;
    let filter = filter_of(gateway, tenant, &chosen, state).await?;
    let mut found = gateway.store.dead_letters().list(tenant, &filter, page).await?;
    verdicts_of(gateway, tenant, &mut found.items).await?;
    for letter in &mut found.items {
        mask_letter(letter);
    }
    let shown = if chosen.field("ignored") == "true" {
        Shown::Any
    } else {
        Shown::False
    };
    let groups = letters::groups(gateway, tenant, shown).await?;
    // With a filter, the causes would not be those of the letters below.
    let is_filtered = chosen.fields().iter().any(|(name, _)| *name != "ignored");
    let has_causes = !groups.items.is_empty() || groups.hidden.causes > 0;
    let mut page = DeadLettersPage {
        shows_causes: has_causes && !is_filtered,
        hidden: groups.hidden,
        frame: Some(signed_in.frame(NavSection::DeadLetters)),
        causes: groups.items,
        older: None,
        query: chosen.query(),
        chosen,
        state: state.into(),
        letters: found.items,
        may_settle: signed_in.role() >= Role::Operator,
        live: None,
    };
    let of_state = page.of_state(page.state);
    if cursor.is_none() {
        let top = page.letters.first();
        let top = top.map(|top| Cursor::new(top.dead_at, top.id));
        let list = format!("/dlq?{of_state}");
        page.live = LiveView::new(&dashboard, &list, &[(&list, top)]);
    }
    page.older = found
        .next_cursor
        .map(|cursor| format!("/dlq?{of_state}&cursor={cursor}"));
    Ok(with_script(render(&page)))
}

#[derive(Template)]
#[template(path = "dead_letter.html")]
struct DeadLetterPage {
    frame: Option<Frame>,
    letter: DeadLetterView,
    verdict: Option<VerdictDocument>,
    /// The selection of this letter, if the user may replay and discard it.
    settle: Option<String>,
    /// The partition and offset that the record came from.
    place: Option<(i32, i64)>,
    /// The time of the record at that place.
    written_at: Option<Timestamp>,
    headers: Vec<(String, String)>,
    /// The reason for which the record is hidden or masked.
    hidden: Option<&'static str>,
    value: Option<Value>,
    /// The changes with which it was sent again.
    changes: Vec<ChangeDocument>,
}

/// The bytes of a record in a readable form.
enum Value {
    Text(String),
    Binary(String),
}

/// The page of a dead letter.
pub(crate) async fn show(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    id: Result<Id, ApiError>,
    asked: Result<NoQuery, ApiError>,
) -> Result<Response, PageError> {
    let NoQuery = asked?;
    let Id(id) = id?;
    let letters = dashboard.gateway.store.dead_letters();
    let mut letter = letters
        .get(signed_in.caller.tenant(), id)
        .await?
        .ok_or_else(|| ApiError::missing("dead letter", id))?;
    let (gateway, tenant) = (&dashboard.gateway, signed_in.caller.tenant());
    let verdicts = verdicts_of(gateway, tenant, std::slice::from_mut(&mut letter)).await?;
    let edited = verdicts.values().find(|verdict| verdict.edited);
    let changes = match edited {
        Some(verdict) => changes_by(gateway, tenant, signed_in.sight, &letter, verdict.job_id).await?,
        None => Vec::new(),
    };
    let document = show_dead_letter(
        gateway,
        tenant,
        signed_in.sight,
        letter,
        verdicts.into_values().next(),
    )
    .await?;
    Ok(render(&DeadLetterPage {
        frame: Some(signed_in.frame(NavSection::DeadLetters)),
        settle: (document.verdict.is_none() && signed_in.role() >= Role::Operator)
            .then(|| Chosen::letter(document.letter.id).query()),
        letter: document.letter,
        verdict: document.verdict,
        place: document.source_partition.zip(document.source_offset),
        written_at: document.source_timestamp,
        headers: document.headers.unwrap_or_default(),
        hidden: document.hidden,
        value: document.value.map(readable),
        changes,
    }))
}

/// JSON with line breaks, other text as it is, anything else as base64.
fn readable(bytes: Vec<u8>) -> Value {
    match String::from_utf8(bytes) {
        Err(error) => Value::Binary(STANDARD.encode(error.as_bytes())),
        Ok(text) => match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(json) => Value::Text(format!("{json:#}")),
            Err(_) => Value::Text(text),
        },
    }
}
