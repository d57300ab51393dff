//! What the HTTP senders share.

use std::time::Duration;

use carillon_domain::Timestamp;
use reqwest::{Response, header::RETRY_AFTER};

use crate::outcome::{Refusal, SendOutcome};

/// No provider's answer is larger; what is, is cut.
const MAX_ANSWER: usize = 64 * 1024;

/// A complete answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

/// Sends a request and reads the whole answer; what did not come to an answer is `Retry` if no byte can have left, else
/// `Uncertain`.
pub(super) async fn exchange(
    request: reqwest::RequestBuilder,
    now: Timestamp,
) -> Result<Answer, SendOutcome> {
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => return Err(without_answer(&error)),
    };
    let (status, retry_after) = (response.status().as_u16(), retry_after(&response, now));
    match body(response).await {
        Ok(body) => Ok(Answer {
            status,
            retry_after,
            body,
        }),
        // The status line is an answer; only what it says in detail is lost.
        Err(_) if status >= 400 => Ok(Answer {
            status,
            retry_after,
            body: Vec::new(),
        }),
        Err(error) => Err(without_answer(&error)),
    }
}

async fn body(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = MAX_ANSWER.saturating_sub(body.len());
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() >= MAX_ANSWER {
            break;
        }
    }
    Ok(body)
}

fn without_answer(error: &reqwest::Error) -> SendOutcome {
    if error.is_connect() || error.is_builder() {
        return SendOutcome::Retry(Refusal::new("connect", "the provider could not be reached"));
    }
    if error.is_timeout() {
        return SendOutcome::Uncertain(Refusal::new("timeout", "the provider did not answer in time"));
    }
    SendOutcome::Uncertain(Refusal::new(
        "connection-lost",
        "the connection broke before the answer was complete",
    ))
}

/// `Retry-After` in seconds, or as an HTTP date.
fn retry_after(response: &Response, now: Timestamp) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    parse_retry_after(text, now)
}

fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = chrono::DateTime::parse_from_rfc2822(text.trim()).ok()?;
    Some((at.to_utc() - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_come_back_is_read_in_both_forms() {
        let now = "2026-11-24T10:00:00Z".parse().unwrap();
        assert_eq!(parse_retry_after("120", now), Some(Duration::from_mins(2)));
        assert_eq!(
            parse_retry_after("Tue, 24 Nov 2026 10:00:30 GMT", now),
            Some(Duration::from_secs(30))
        );
        assert_eq!(
            parse_retry_after("Tue, 24 Nov 2026 09:00:00 GMT", now),
            Some(Duration::ZERO)
        );
        assert_eq!(parse_retry_after("soon", now), None);
    }
}
