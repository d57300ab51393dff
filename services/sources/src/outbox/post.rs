//! Posting events to the gateway, and the meaning of its answers.

use std::time::Duration;

use carillon_runtime::Secret;
use reqwest::{StatusCode, header};
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::PostedEvent;

/// The longest pause for which an answer may ask.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// The gateway.
pub(super) struct Gateway {
    client: reqwest::Client,
    url: String,
    api_key: Secret,
}

/// What the gateway says about one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PostVerdict {
    Accepted,
    /// It has the event already.
    Duplicate,
    /// It will never take this event.
    Refused(String),
    /// It may take the event later.
    Later(String),
}

/// A request without verdicts.
#[derive(Debug)]
pub(super) enum PostError {
    /// The request breaks a rule.
    Refused(String),
    /// The same request may succeed later.
    Later { why: String, pause: Duration },
}

#[derive(Deserialize)]
struct Answer {
    items: Vec<AnsweredItem>,
}

#[derive(Deserialize)]
struct AnsweredItem {
    index: usize,
    status: String,
    problem: Option<ProblemBody>,
}

/// A problem document (RFC 9457).
#[derive(Default, Deserialize)]
#[serde(default)]
struct ProblemBody {
    title: String,
    status: u16,
    detail: Option<String>,
    errors: Vec<Wrong>,
}

#[derive(Deserialize)]
struct Wrong {
    pointer: String,
    message: String,
}

impl ProblemBody {
    /// The problem as one line. `place` begins the pointers of errors: the event's place in its batch.
    fn text(&self, place: &str) -> String {
        let mut text = self.title.clone();
        if let Some(detail) = &self.detail {
            text.push_str(": ");
            text.push_str(detail);
        }
        for Wrong { pointer, message } in &self.errors {
            text.push_str("; ");
            text.push_str(pointer.strip_prefix(place).unwrap_or(pointer));
            text.push_str(": ");
            text.push_str(message);
        }
        text
    }
}

/// Whether the same request may succeed later.
fn passes(status: u16) -> bool {
    matches!(status, 408 | 409 | 425 | 429) || status >= 500
}

impl Gateway {
    pub(super) fn new(client: reqwest::Client, url: &str, api_key: Secret) -> Self {
        Self {
            client,
            url: format!("{}/v1/events", url.trim_end_matches('/')),
            api_key,
        }
    }

    /// Posts events as one batch; returns a verdict about each.
    pub(super) async fn post(&self, items: &[PostedEvent]) -> Result<Vec<PostVerdict>, PostError> {
        let events: Vec<&str> = items.iter().map(|item| &*item.json).collect();
        let later = |why: String| PostError::Later {
            why,
            pause: Duration::ZERO,
        };
        let request = self
            .client
            .post(&self.url)
            .bearer_auth(self.api_key.expose_secret())
            .header(header::CONTENT_TYPE, "application/json")
            .body(format!("[{}]", events.join(",")));
        let answer = request.send().await.map_err(|error| {
            let why = if error.is_timeout() {
                "has not answered in time"
            } else {
                "cannot be reached"
            };
            later(format!("the gateway {} {why}", self.url))
        })?;
        let status = answer.status();
        let pause = answer
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map_or(Duration::ZERO, Duration::from_secs)
            .min(LONGEST_PAUSE);
        let body = answer
            .bytes()
            .await
            .map_err(|_| later(format!("the answer of the gateway {} broke off", self.url)))?;
        if matches!(status, StatusCode::ACCEPTED | StatusCode::UNPROCESSABLE_ENTITY)
            && let Ok(answer) = serde_json::from_slice::<Answer>(&body)
        {
            return verdicts(answer, items.len())
                .ok_or_else(|| later("the gateway's answer lacks events".to_owned()));
        }
        let problem: ProblemBody = serde_json::from_slice(&body).unwrap_or_default();
        let why = format!("the gateway answered {status}: {}", problem.text(""));
        match status {
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                Err(PostError::Refused(why))
            }
            // A wrong key or address is the operator's to mend: no row is at fault.
            _ => Err(PostError::Later { why, pause }),
        }
    }
}

/// The verdicts in the order of the events; `None` if the answer does not name each event once.
fn verdicts(answer: Answer, events: usize) -> Option<Vec<PostVerdict>> {
    let mut verdicts = vec![None; events];
    for item in answer.items {
        let place = format!("/{}", item.index);
        let verdict = match (&*item.status, item.problem) {
            ("accepted", _) => PostVerdict::Accepted,
            ("duplicate", _) => PostVerdict::Duplicate,
            (_, Some(problem)) if passes(problem.status) => PostVerdict::Later(problem.text(&place)),
            (_, problem) => PostVerdict::Refused(problem.unwrap_or_default().text(&place)),
        };
        *verdicts.get_mut(item.index)? = Some(verdict);
    }
    verdicts.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_verdict_about_each_event() {
        let answer = |json: &str| serde_json::from_str::<Answer>(json).unwrap();
        let all = r#"{"items":[{"index":1,"status":"duplicate"},{"index":0,"status":"accepted"},
            {"index":2,"status":"rejected","problem":{"title":"Validation","status":422,"detail":"d","errors":[{"pointer":"/2/x","code":"c","message":"expected y"}]}},
            {"index":3,"status":"rejected","problem":{"title":"In progress","status":409}}]}"#;
        assert_eq!(
            verdicts(answer(all), 4).unwrap(),
            [
                PostVerdict::Accepted,
                PostVerdict::Duplicate,
                PostVerdict::Refused("Validation: d; /x: expected y".to_owned()),
                PostVerdict::Later("In progress".to_owned()),
            ]
        );
        assert_eq!(verdicts(answer(all), 5), None, "an event has no verdict");
        assert_eq!(verdicts(answer(all), 3), None, "an event that was not posted");
    }
}
