//! `/live`: server-sent events that say how many rows of a page's lists are new since it was loaded. The page shows a link
//! that loads them; its rows stay as they are.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderName, StatusCode, Uri},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use carillon_domain::{FieldError, TenantId, field_error::quoted};
use carillon_runtime::http::ProblemKind;
use carillon_store::Cursor;
use futures::{Stream, stream};
use serde::Deserialize;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::{Dashboard, activity, dead_letters, deliveries, session::SignedIn};
use crate::{
    error::ApiError,
    input::Query,
    live::{List, Place, Shared, Tally},
};

/// Tells a proxy such as nginx to pass each event on at once.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");
/// The most lists of one page.
const MOST_LISTS: usize = 4;

/// The lists of a page, and the first row of each, which is empty if there was none.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    list: Vec<String>,
    since: Vec<String>,
}

/// A list to which a page listens.
struct Listened {
    /// What its rows are, one and several.
    nouns: (&'static str, &'static str),
    shared: Arc<Shared>,
    tally: Tally,
}

impl Listened {
    /// `12 new deliveries`; `None` if nothing is new.
    fn words(&self) -> Option<String> {
        let least = if self.tally.is_least() { "+" } else { "" };
        match (self.tally.new_rows(), self.nouns) {
            (0, _) => None,
            (1, (one, _)) => Some(format!("1{least} new {one}")),
            (count, (_, many)) => Some(format!("{count}{least} new {many}")),
        }
    }
}

/// A page that listens.
struct Listener {
    dashboard: Dashboard,
    token: String,
    lists: Vec<Listened>,
    ticks: Interval,
    /// The last text that was sent.
    told: Option<String>,
    is_first: bool,
    is_over: bool,
    _place: Place,
}

/// Opens the stream of a page.
pub(crate) async fn listen(
    State(dashboard): State<Dashboard>,
    signed_in: Result<SignedIn, Response>,
    asked: Result<Query<Asked>, ApiError>,
) -> Result<Response, ApiError> {
    let signed_in = match signed_in {
        Ok(signed_in) => signed_in,
        // By this answer a browser knows that it need not ask again.
        Err(response) if response.status().is_redirection() => {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        Err(response) => return Ok(response),
    };
    let Asked { list, since } = asked?.0;
    if list.is_empty() || list.len() > MOST_LISTS || list.len() != since.len() {
        let text =
            format!("the parameter list: expected 1 to {MOST_LISTS} lists, each with a parameter since");
        return Err(wrong("/list", &text));
    }
    let tenant = signed_in.caller.tenant().clone();
    let mut lists = Vec::with_capacity(list.len());
    for (name, since) in list.iter().zip(&since) {
        lists.push(listened(&dashboard, &tenant, name, since).await?);
    }
    let Some(place) = dashboard.live.places.take(&signed_in.caller.0) else {
        let text = "as many live views are open as may be (gateway.max_live_views)";
        return Err(ApiError::new(ProblemKind::RateLimited, text));
    };
    let mut ticks = interval(dashboard.live.interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let listener = Listener {
        token: signed_in.token.clone(),
        dashboard,
        lists,
        ticks,
        told: None,
        is_first: true,
        is_over: false,
        _place: place,
    };
    let stream = Sse::new(events(listener)).keep_alive(KeepAlive::default());
    Ok(([(UNBUFFERED, "no")], stream).into_response())
}

async fn listened(
    dashboard: &Dashboard,
    tenant: &TenantId,
    name: &str,
    since: &str,
) -> Result<Listened, ApiError> {
    let uri: Uri = name.parse().map_err(|_| wrong("/list", &expected_list(name)))?;
    let gateway = &dashboard.gateway;
    let (list, nouns) = match uri.path() {
        "/deliveries" => {
            let list = List::Deliveries(deliveries::listed(&uri)?);
            (list, ("delivery", "deliveries"))
        }
        "/dlq" => {
            let list = List::DeadLetters(dead_letters::listed(gateway, tenant, &uri).await?);
            (list, ("dead letter", "dead letters"))
        }
        "/activity" => {
            let list = List::Events(Box::new(activity::listed(&uri, gateway.clock.now())?));
            (list, ("event", "events"))
        }
        _ => return Err(wrong("/list", &expected_list(name))),
    };
    let since = match since {
        "" => None,
        text => Some(Cursor::parse(text).ok_or_else(|| {
            let expected = "the parameter since: expected the place of a row, or nothing, not";
            wrong("/since", &format!("{expected} {}", quoted(text)))
        })?),
    };
    Ok(Listened {
        nouns,
        shared: dashboard.live.list(tenant, name, list),
        tally: Tally::new(since),
    })
}

fn expected_list(found: &str) -> String {
    let expected = "the parameter list: expected the path and query of /activity, /deliveries or /dlq, not";
    format!("{expected} {}", quoted(found))
}

fn wrong(pointer: &str, text: &str) -> ApiError {
    ApiError::fields(vec![FieldError::new(pointer, "format", text)])
}

/// The events of a page, until it leaves, its session ends or the process is asked to end.
fn events(listener: Listener) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(listener, |mut listener| async move {
        if listener.is_over {
            return None;
        }
        let shutdown = listener.dashboard.gateway.shutdown.clone();
        tokio::select! {
            biased;
            () = shutdown.soft() => None,
            event = listener.next() => Some((Ok(event), listener)),
        }
    })
}

impl Listener {
    /// The next event: another number of new rows, or the end of the session.
    async fn next(&mut self) -> Event {
        loop {
            self.ticks.tick().await;
            if !self.dashboard.is_signed_in(&self.token).await {
                self.is_over = true;
                return Event::default().event("end").data("You are signed out.");
            }
            if let Err(error) = self.look().await {
                tracing::debug!(detail = error.0.detail, "a live view could not look for new rows");
                continue;
            }
            let words: Vec<String> = self.lists.iter().filter_map(Listened::words).collect();
            let text = words.join(", ");
            if self.told.as_ref() != Some(&text) {
                let event = match text.as_str() {
                    "" => Event::default().event("none").data("0"),
                    text => Event::default().data(text),
                };
                self.told = Some(text);
                return event;
            }
        }
    }

    async fn look(&mut self) -> Result<(), ApiError> {
        let Dashboard { gateway, live, .. } = &self.dashboard;
        let mut looks = Vec::with_capacity(self.lists.len());
        for listened in &self.lists {
            looks.push(if self.is_first {
                live.look(gateway, &listened.shared, Instant::now()).await?
            } else {
                live.again(gateway, &listened.shared).await?
            });
        }
        for (listened, rows) in self.lists.iter_mut().zip(looks) {
            listened.tally.take(&rows);
        }
        self.is_first = false;
        Ok(())
    }
}
