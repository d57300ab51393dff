//! `/deliveries`: the list, with the API's filters.

use std::str::FromStr;

use askama::Template;
use axum::{extract::State, http::Uri, response::Response};
use carillon_domain::{Channel, DeliveryStatus, FieldError, Moment, Timestamp, field_error::quoted};
use carillon_runtime::http;
use carillon_store::{
    Cursor,
    read_model::{DeliveryFilter, DeliveryView},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use strum::IntoEnumIterator as _;

use super::{
    Dashboard,
    live_view::{LiveView, with_script},
    page::{Frame, NavSection, PageError, render},
    session::SignedIn,
};
use crate::{
    api::waiting,
    error::ApiError,
    input::{Query, page},
    privacy::mask_delivery,
};

/// The query of the form and of links from other pages. A form sends empty fields too.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    status: Vec<String>,
    channel: Vec<String>,
    #[serde(rename = "type")]
    event_type: Vec<String>,
    category: Vec<String>,
    user: Vec<String>,
    provider: Vec<String>,
    code: Vec<String>,
    from: Option<String>,
    to: Option<String>,
    q: Option<String>,
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "deliveries.html")]
struct DeliveriesPage {
    frame: Option<Frame>,
    statuses: Vec<Choice>,
    channels: Vec<Choice>,
    q: String,
    /// Filters that the form has no field for, as (name, value).
    others: Vec<(&'static str, String)>,
    is_filtered: bool,
    items: Vec<DeliveryView>,
    older: Option<String>,
    is_first: bool,
    first: String,
    live: Option<LiveView>,
}

/// The filter of a list, by its path and query.
pub(super) fn listed(uri: &Uri) -> Result<DeliveryFilter, ApiError> {
    let asked: Asked = http::query(uri)?;
    asked.without_blanks().filter()
}

/// An option of a list.
struct Choice {
    name: &'static str,
    is_chosen: bool,
}

/// Renders the page.
pub(crate) async fn show(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    asked: Result<Query<Asked>, ApiError>,
) -> Result<Response, PageError> {
    let asked = asked?.0.without_blanks();
    let filter = asked.filter()?;
    let page = page(None, asked.cursor.as_deref())?;
    let store = &dashboard.gateway.store;
    let mut found = store
        .read_model()
        .deliveries(signed_in.caller.tenant(), &filter, page)
        .await?;
    found.items.iter_mut().for_each(mask_delivery);
    waiting::explain(&dashboard.gateway, &mut found.items).await?;
    let query = asked.query();
    let link = |cursor: String| match query.as_str() {
        "" => format!("/deliveries?cursor={cursor}"),
        query => format!("/deliveries?{query}&cursor={cursor}"),
    };
    let first = match query.as_str() {
        "" => "/deliveries".to_owned(),
        query => format!("/deliveries?{query}"),
    };
    let top = found.items.first();
    let top = top.map(|top| Cursor::new(top.created_at, top.id.0));
    let live = asked
        .cursor
        .is_none()
        .then(|| LiveView::new(&dashboard, &first, &[(&first, top)]))
        .flatten();
    let choice = |name: &'static str, chosen: &[String]| Choice {
        name,
        is_chosen: chosen.iter().any(|text| text == name),
    };
    Ok(with_script(render(&DeliveriesPage {
        frame: Some(signed_in.frame(NavSection::Deliveries)),
        statuses: DeliveryStatus::iter()
            .map(|status| choice(status.as_str(), &asked.status))
            .collect(),
        channels: Channel::iter()
            .map(|channel| choice(channel.as_str(), &asked.channel))
            .collect(),
        others: asked.others(),
        is_filtered: !query.is_empty(),
        items: found.items,
        older: found.next_cursor.map(link),
        is_first: asked.cursor.is_none(),
        first,
        q: asked.q.unwrap_or_default(),
        live,
    })))
}

impl Asked {
    fn without_blanks(mut self) -> Self {
        let lists = [
            &mut self.status,
            &mut self.channel,
            &mut self.event_type,
            &mut self.category,
            &mut self.user,
            &mut self.provider,
            &mut self.code,
        ];
        for list in lists {
            list.retain(|text| !text.trim().is_empty());
        }
        for text in [&mut self.from, &mut self.to, &mut self.q, &mut self.cursor] {
            text.take_if(|text| text.trim().is_empty());
        }
        self
    }

    fn filter(&self) -> Result<DeliveryFilter, ApiError> {
        Ok(DeliveryFilter {
            status: each(&self.status, "/status", "a status such as sent")?,
            channel: each(&self.channel, "/channel", &Channel::names())?,
            event_type: self.event_type.clone(),
            category: self.category.clone(),
            user: self.user.clone(),
            provider: self.provider.clone(),
            code: self.code.clone(),
            from: time(self.from.as_deref(), "/from")?,
            to: time(self.to.as_deref(), "/to")?,
            q: self.q.clone(),
        })
    }

    /// The filters that the form keeps without a visible field.
    fn others(&self) -> Vec<(&'static str, String)> {
        let lists = [
            ("type", &self.event_type),
            ("category", &self.category),
            ("user", &self.user),
            ("provider", &self.provider),
            ("code", &self.code),
        ];
        let many = lists
            .into_iter()
            .flat_map(|(name, texts)| texts.iter().map(move |text| (name, text.clone())));
        let one = [("from", &self.from), ("to", &self.to)];
        many.chain(
            one.into_iter()
                .filter_map(|(name, text)| Some((name, text.clone()?))),
        )
        .collect()
    }

    /// All filters as a query string, without the cursor.
    fn query(&self) -> String {
        let shown = [("status", &self.status), ("channel", &self.channel)];
        let shown = shown
            .into_iter()
            .flat_map(|(name, texts)| texts.iter().map(move |text| (name, text.clone())));
        let all = shown
            .chain(self.q.iter().map(|q| ("q", q.clone())))
            .chain(self.others());
        let pairs: Vec<String> = all
            .map(|(name, text)| format!("{name}={}", utf8_percent_encode(&text, NON_ALPHANUMERIC)))
            .collect();
        pairs.join("&")
    }
}

fn each<T: FromStr>(texts: &[String], pointer: &str, expected: &str) -> Result<Vec<T>, ApiError> {
    let parsed = texts
        .iter()
        .map(|text| text.parse().map_err(|_| wrong(pointer, expected, text)));
    parsed.collect()
}

fn time(text: Option<&str>, pointer: &str) -> Result<Option<Timestamp>, ApiError> {
    let parsed = text.map(|text| {
        let read: Result<Moment, _> = text.parse();
        read.map(|Moment(at)| at)
            .map_err(|error| told(pointer, &error.to_string()))
    });
    parsed.transpose()
}

fn wrong(pointer: &str, expected: &str, found: &str) -> ApiError {
    told(pointer, &format!("expected {expected}, not {}", quoted(found)))
}

fn told(pointer: &str, sentence: &str) -> ApiError {
    let name = pointer.trim_start_matches('/');
    let message = format!("the parameter {name}: {sentence}");
    ApiError::fields(vec![FieldError::new(pointer, "format", message)])
}
