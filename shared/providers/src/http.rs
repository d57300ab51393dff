//! Requests and answers of providers that speak HTTP.

use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE};
use carillon_domain::{Timestamp, conclusion::UncertainSend};
use url::Url;

use crate::{
    message::OutgoingMessage,
    outcome::{Refusal, Scope, SendOutcome},
};

/// An account whose messages are each one HTTP request with one answer.
pub trait HttpRequests: Send + Sync + 'static {
    /// Builds the request that sends a message. The error says why this account cannot send the message.
    fn build(&self, message: &OutgoingMessage, now: Timestamp) -> Result<ProviderRequest, Refusal>;

    /// The outcome of the message, according to the provider's answer.
    fn classify(&self, answer: &ProviderResponse, now: Timestamp) -> SendOutcome;

    /// The list of accepted messages in which an earlier copy of a message may be found; `None` if the provider has none.
    fn sent_list(&self) -> Option<&dyn SentList> {
        None
    }
}

/// A provider's list of accepted messages. A sender whose call had no answer looks its message up before it sends it again.
pub trait SentList: Send + Sync {
    /// The request for the first page that may have the message of one of these sends.
    fn first_page(&self, message: &OutgoingMessage, sends: &[UncertainSend]) -> ProviderRequest;

    /// Reads a page. `is_anothers` tells whether the message of an id is known to be another delivery's.
    fn read_page(
        &self,
        answer: &ProviderResponse,
        message: &OutgoingMessage,
        sends: &[UncertainSend],
        is_anothers: &dyn Fn(&str) -> bool,
    ) -> SentPage;
}

/// A page of a list of accepted messages.
#[derive(Debug)]
pub enum SentPage {
    /// The message of one of the sends is on it.
    Found(FoundMessage),
    /// It is not on this page; the request for the next one, if there is one.
    NotHere(Option<ProviderRequest>),
    /// The answer is no page. It holds the structured code.
    Unanswered(String),
}

/// A message that the provider has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundMessage {
    /// The attempt that sent it.
    pub attempt: u32,
    /// The provider's id of the message.
    pub message_id: String,
}

/// A complete request. Headers with credentials are marked as sensitive.
#[derive(Debug)]
pub struct ProviderRequest {
    /// The method.
    pub method: Method,
    /// The URL.
    pub url: Url,
    /// The headers besides those of the connection and the body's length.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl ProviderRequest {
    pub(crate) fn post(url: Url, content_type: &'static str, body: Vec<u8>) -> Self {
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self {
            method: Method::POST,
            url,
            headers,
            body,
        }
    }

    pub(crate) fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn json(url: Url, body: Vec<u8>) -> Self {
        Self::post(url, "application/json", body)
    }

    pub(crate) fn form(url: Url, form: String) -> Self {
        Self::post(url, "application/x-www-form-urlencoded", form.into_bytes())
    }
}

/// A complete answer.
#[derive(Debug, Clone, Default)]
pub struct ProviderResponse {
    /// The status code.
    pub status: u16,
    /// The wait that `Retry-After` names (see [`parse_retry_after`](crate::parse_retry_after)).
    pub retry_after: Option<Duration>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, or its beginning.
    pub body: Vec<u8>,
}

impl ProviderResponse {
    /// The text of a header; `None` if there is none, or if it is not ASCII.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The code of an answer without a structured code.
pub(crate) fn status_code(answer: &ProviderResponse) -> String {
    format!("http-{}", answer.status)
}

/// The outcome of an answer that the provider does not document, such as the page of a proxy with status 200. Without the
/// documented proof of acceptance, the message's fate is unknown.
pub(crate) fn undocumented(answer: &ProviderResponse) -> SendOutcome {
    SendOutcome::Uncertain(Refusal::new(
        Scope::Connection,
        status_code(answer),
        "the provider's answer is not one that it documents",
    ))
}

/// The outcome of a status that servers and proxies on the way give before a provider has read the message; `None` for
/// any other status. Source: RFC 9110 §15.5.8, §15.5.9 and §15.5.12, RFC 8470 §5.2.
pub(crate) fn of_the_way(answer: &ProviderResponse) -> Option<SendOutcome> {
    let refusal =
        |scope, detail: &str| Refusal::new(scope, status_code(answer), detail).after(answer.retry_after);
    Some(match answer.status {
        407 => SendOutcome::Config(refusal(Scope::Account, "a proxy on the way asks for credentials")),
        408 => SendOutcome::Uncertain(refusal(Scope::Connection, "the request was broken off")),
        411 => SendOutcome::Config(refusal(
            Scope::Account,
            "a proxy on the way refuses the request's form",
        )),
        425 => SendOutcome::Retry(refusal(
            Scope::Connection,
            "the provider asks for the request once more",
        )),
        _ => return None,
    })
}

/// Why there is no answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// There was no connection, so no byte was sent.
    NotSent,
    /// The provider did not answer in time.
    TimedOut,
    /// The connection broke before the answer was complete.
    Lost,
}

impl From<NoAnswer> for SendOutcome {
    /// `Retry` if no byte can have been sent, else `Uncertain`.
    fn from(why: NoAnswer) -> Self {
        let refusal = |code, detail| Refusal::new(Scope::Connection, code, detail);
        match why {
            NoAnswer::NotSent => Self::Retry(refusal("connect", "the provider could not be reached")),
            NoAnswer::TimedOut => Self::Uncertain(refusal("timeout", "the provider did not answer in time")),
            NoAnswer::Lost => Self::Uncertain(refusal(
                "connection-lost",
                "the connection broke before the answer was complete",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_answer_the_outcome_depends_on_whether_bytes_may_have_been_sent() {
        for (why, expected) in [
            (NoAnswer::NotSent, ("retry", "connect")),
            (NoAnswer::TimedOut, ("uncertain", "timeout")),
            (NoAnswer::Lost, ("uncertain", "connection-lost")),
        ] {
            let outcome = SendOutcome::from(why);
            assert_eq!((outcome.name(), &*outcome.refusal().unwrap().code), expected);
        }
    }

    #[test]
    fn a_status_of_a_proxy_on_the_way_ends_no_message() {
        for (status, expected) in [
            (407, "config"),
            (408, "uncertain"),
            (411, "config"),
            (425, "retry"),
        ] {
            let answer = ProviderResponse {
                status,
                ..ProviderResponse::default()
            };
            assert_eq!(of_the_way(&answer).unwrap().name(), expected, "{status}");
        }
        assert_eq!(of_the_way(&ProviderResponse::default()), None);
    }
}
