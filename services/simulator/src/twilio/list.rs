//! `GET …/Messages.json?To=&From=&DateSent>=&DateSent<=`, by which a client settles an uncertain send.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use serde_json::json;

use super::Twilio;
use super::error::TwilioError;
use super::resource::{API_VERSION, field, resource};
use crate::{MessageFilter, Provider};

const DEFAULT_PAGE: u32 = 50;
const MAX_PAGE: u32 = 1_000;

struct Request {
    filter: MessageFilter,
    from: Option<String>,
    page: u32,
}

pub(super) async fn list(
    State(twilio): State<Twilio>,
    Path(account): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if let Err(refused) = twilio.admit(&account, &headers) {
        return refused.into_response();
    }
    let request = match parse(&uri) {
        Ok(request) => request,
        Err(error) => return error.into_response(),
    };
    let Ok(found) = twilio.context.store.messages().list_stored(&request.filter).await else {
        return TwilioError::new(503, 20_503, "Service Unavailable").into_response();
    };
    let path = format!("/{API_VERSION}/Accounts/{account}/Messages.json");
    let next = (found.len() == request.page as usize)
        .then(|| found.last().map(|last| next_page(&path, &uri, last.place)))
        .flatten();
    let messages: Vec<_> = found
        .iter()
        .map(|stored| &stored.message)
        .filter(|message| {
            request
                .from
                .as_deref()
                .is_none_or(|from| message.datum(field::FROM) == Some(from))
        })
        .map(|message| resource(message, &account, false))
        .collect();
    Json(json!({
        "end": messages.len().saturating_sub(1),
        "first_page_uri": path,
        "messages": messages,
        "next_page_uri": next,
        "page": 0,
        "page_size": request.page,
        "previous_page_uri": null,
        "start": 0,
        "uri": uri.path_and_query().map(ToString::to_string),
    }))
    .into_response()
}

/// The same query, continued after the message at `place`.
fn next_page(path: &str, uri: &Uri, place: i64) -> String {
    let kept: Vec<&str> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|part| !part.is_empty() && !part.starts_with("PageToken="))
        .collect();
    let separator = if kept.is_empty() { "" } else { "&" };
    format!("{path}?{}{separator}PageToken={place}", kept.join("&"))
}

fn parse(uri: &Uri) -> Result<Request, TwilioError> {
    const INVALID: TwilioError = TwilioError::new(400, 20_001, "A query parameter cannot be read");
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| INVALID)?;
    let mut filter = MessageFilter {
        provider: Some(Provider::Twilio),
        ..MessageFilter::default()
    };
    let mut from = None;
    let mut page = DEFAULT_PAGE;
    for (name, value) in pairs {
        match name.as_str() {
            "To" => filter.to = Some(value),
            "From" => from = Some(value),
            // `DateSent>=2026-11-24` is the parameter `DateSent>` once it is split at the equals sign.
            "DateSent>" | "DateSent>=" => filter.received_from = Some(moment(&value).ok_or(INVALID)?.0),
            "DateSent<" | "DateSent<=" => filter.received_before = Some(moment(&value).ok_or(INVALID)?.1),
            "DateSent" => {
                let (start, end) = moment(&value).ok_or(INVALID)?;
                (filter.received_from, filter.received_before) = (Some(start), Some(end));
            }
            "PageSize" => page = value.parse::<u32>().map_err(|_| INVALID)?.clamp(1, MAX_PAGE),
            "PageToken" => filter.older_than = Some(value.parse().map_err(|_| INVALID)?),
            _ => {}
        }
    }
    filter.limit = Some(page);
    Ok(Request { filter, from, page })
}

/// The time span of a UTC day or of a second, half-open.
fn moment(value: &str) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    if let Ok(day) = value.parse::<NaiveDate>() {
        let start = day.and_time(NaiveTime::MIN).and_utc();
        return Some((start, start.checked_add_days(Days::new(1))?));
    }
    let second = DateTime::parse_from_rfc3339(value).ok()?.with_timezone(&Utc);
    Some((second, second.checked_add_signed(chrono::TimeDelta::seconds(1))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_covers_its_24_hours_and_a_time_its_second() {
        let (start, end) = moment("2026-11-24").unwrap();
        assert_eq!((end - start).num_hours(), 24);
        let (start, end) = moment("2026-11-24T10:00:00Z").unwrap();
        assert_eq!((end - start).num_seconds(), 1);
        assert_eq!(moment("yesterday"), None);
    }

    #[test]
    fn the_link_to_the_next_page_keeps_the_filters() {
        let uri: Uri = "/x?To=%2B1&PageToken=9".parse().unwrap();
        assert_eq!(next_page("/x", &uri, 4), "/x?To=%2B1&PageToken=4");
    }
}
