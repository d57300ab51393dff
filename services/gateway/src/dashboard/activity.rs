//! `/activity`: the events, each with the outcomes for its recipients, sent or not, and the search.

use askama::Template;
use axum::{extract::State, http::Uri, response::Response};
use carillon_domain::{Moment, Timestamp, decide::Reason};
use carillon_runtime::http;
use carillon_store::read_model::activity::{ActivityFilter, OutcomeFilter};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{
    Dashboard,
    chosen::wrong,
    event,
    live_view::{LiveView, with_script},
    page::{self, Frame, NavSection, PageError, render},
    session::SignedIn,
};
use crate::{
    activity::{FoundAs, Search, search},
    api::activity::{ActivityDocument, OutcomeDocument, OutcomeName, after},
    error::ApiError,
    input::Query,
    live::begin,
};

/// The events of a page.
const ROWS: u32 = 50;
/// The outcomes of a row that are shown.
const CHIPS: usize = 8;

/// The query of the form and of links from other pages. A form sends empty fields too.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    q: Option<String>,
    user: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    outcome: Option<String>,
    reason: Option<String>,
    code: Option<String>,
    within: Option<String>,
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "activity.html")]
struct ActivityPage {
    frame: Option<Frame>,
    asked: Asked,
    /// The filters that are set: name, value, and the link to the list without it.
    filters: Vec<(&'static str, String, String)>,
    found_as: Option<FoundAs>,
    rows: Vec<ActivityDocument>,
    older: Option<String>,
    is_first: bool,
    first: String,
    live: Option<LiveView>,
}

/// The search of a list, by its path and query.
pub(super) fn listed(uri: &Uri, now: Timestamp) -> Result<Search, ApiError> {
    let asked: Asked = http::query(uri)?;
    asked.without_blanks().search(now)
}

impl ActivityPage {
    /// The value of a field.
    fn field(&self, name: &str) -> &str {
        let fields = self.asked.fields();
        let found = fields.into_iter().find(|(own, _)| *own == name);
        found.and_then(|(_, value)| value.as_deref()).unwrap_or_default()
    }
}

/// The outcomes of a row that are shown.
pub(crate) fn shown(row: &ActivityDocument) -> &[OutcomeDocument] {
    &row.outcomes[..row.outcomes.len().min(CHIPS)]
}

/// The number of a row's outcomes that are known and not shown.
pub(crate) fn left(row: &ActivityDocument) -> usize {
    row.outcomes.len().saturating_sub(CHIPS)
}

/// The first outcome of a row that is not a message on its way. The row shows its sentence.
pub(crate) fn why(row: &ActivityDocument) -> Option<&OutcomeDocument> {
    let mut outcomes = row.outcomes.iter();
    outcomes.find(|outcome| !matches!(tone(outcome), "good" | "busy"))
}

/// The colour of an outcome: of the delivery's status, or of the decision.
pub(crate) fn tone(outcome: &OutcomeDocument) -> &'static str {
    match &outcome.status {
        Some(status) => page::tone(status),
        None => event::tone(&outcome.outcome),
    }
}

/// The sign of an outcome, which tells it without its colour.
pub(crate) fn sign(outcome: &OutcomeDocument) -> &'static str {
    match tone(outcome) {
        "good" => "✓",
        "busy" => "…",
        "bad" => "✕",
        "warn" => "!",
        _ => "–",
    }
}

/// An outcome in a word or two.
pub(crate) fn word(outcome: &OutcomeDocument) -> String {
    match outcome.status {
        Some(status) => page::words(status.as_str()),
        None => page::words(outcome.reason.as_ref()),
    }
}

/// Why a message was not sent, or not yet: the sentence of its delivery's status, or of the decision.
pub(crate) fn sentence(outcome: &OutcomeDocument) -> &str {
    match (&outcome.status, &outcome.detail) {
        (Some(_), Some(detail)) => detail,
        (Some(_), None) => "",
        (None, _) => &outcome.sentence,
    }
}

/// The stable word beside the sentence.
pub(crate) fn reason(outcome: &OutcomeDocument) -> &str {
    match (&outcome.status, &outcome.code) {
        (Some(_), Some(code)) => code,
        (Some(status), None) => status.as_str(),
        (None, _) => outcome.reason.as_ref(),
    }
}

impl Asked {
    fn fields(&self) -> [(&'static str, &Option<String>); 7] {
        [
            ("q", &self.q),
            ("user", &self.user),
            ("type", &self.event_type),
            ("outcome", &self.outcome),
            ("reason", &self.reason),
            ("code", &self.code),
            ("within", &self.within),
        ]
    }

    fn without_blanks(mut self) -> Self {
        let all = [
            &mut self.q,
            &mut self.user,
            &mut self.event_type,
            &mut self.outcome,
            &mut self.reason,
            &mut self.code,
            &mut self.within,
            &mut self.cursor,
        ];
        for text in all {
            text.take_if(|text| text.trim().is_empty());
        }
        self
    }

    /// The link to the list with the filters that are set, except one.
    fn link(&self, except: &str) -> String {
        let fields = self.fields().into_iter();
        let set = fields.filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let pairs: Vec<String> = set
            .filter(|(name, _)| *name != except)
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
            .collect();
        match pairs.as_slice() {
            [] => "/activity".to_owned(),
            pairs => format!("/activity?{}", pairs.join("&")),
        }
    }

    fn search(&self, now: Timestamp) -> Result<Search, ApiError> {
        let outcome = self.outcome.as_deref().map(|text| {
            let name: Result<OutcomeName, _> = text.parse();
            let expected = "an outcome such as suppress, or not_sent";
            name.map_err(|_| wrong("outcome", expected, text))
        });
        let reason = self.reason.as_deref().map(|text| {
            let reason: Result<Reason, _> = text.parse();
            reason.map_err(|_| wrong("reason", "a reason such as no_address", text))
        });
        let from = match self.within.as_deref() {
            None => None,
            Some("1h") => Some(now - std::time::Duration::from_hours(1)),
            Some("24h") => Some(now - std::time::Duration::from_hours(24)),
            Some("7d") => Some(now - std::time::Duration::from_hours(7 * 24)),
            Some(text) => {
                let read: Result<Moment, _> = text.parse();
                let Moment(at) = read.map_err(|_| wrong("within", "1h, 24h or 7d", text))?;
                Some(at)
            }
        };
        Ok(Search {
            q: self.q.clone(),
            address: None,
            user: self.user.clone(),
            filter: ActivityFilter {
                event_type: self.event_type.clone(),
                outcome: outcome.transpose()?.map(OutcomeFilter::from),
                reason: reason.transpose()?,
                code: self.code.clone(),
                from,
                ..ActivityFilter::default()
            },
            limit: ROWS,
            after: after(self.cursor.as_deref())?,
        })
    }
}

/// Renders the page.
pub(crate) async fn show(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    asked: Result<Query<Asked>, ApiError>,
) -> Result<Response, PageError> {
    let asked = asked?.0.without_blanks();
    let gateway = &dashboard.gateway;
    let search_for = asked.search(gateway.clock.now())?;
    let found = search(gateway, signed_in.caller.tenant(), search_for).await?;
    let link = asked.link("");
    let separator = if link.contains('?') { '&' } else { '?' };
    let older = found
        .page
        .next
        .map(|next| format!("{link}{separator}cursor={next}"));
    let filters = asked
        .fields()
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.clone()?, asked.link(name))));
    let top = found.page.items.first().map(|top| begin(top.at));
    let live = asked
        .cursor
        .is_none()
        .then(|| LiveView::new(&dashboard, &link, &[(&link, top)]))
        .flatten();
    Ok(with_script(render(&ActivityPage {
        frame: Some(signed_in.frame(NavSection::Activity)),
        filters: filters.collect(),
        found_as: found.found_as,
        rows: found.page.items.into_iter().map(ActivityDocument::from).collect(),
        older,
        is_first: asked.cursor.is_none(),
        first: link,
        live,
        asked,
    })))
}

/// The meaning of a searched text, in words.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]
pub(crate) fn meaning(found_as: &FoundAs) -> &'static str {
    match found_as {
        FoundAs::Event => "an event's id",
        FoundAs::Delivery => "a delivery's id",
        FoundAs::EmailAddress => "an e-mail address",
        FoundAs::PhoneNumber => "a phone number",
        FoundAs::User => "a user's id",
        FoundAs::ProviderMessageId => "a provider's id of a message",
        FoundAs::DeviceToken => "a device's token",
        FoundAs::Code => "an error code",
    }
}
