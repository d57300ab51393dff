//! The transport of provider accounts that take each message as one HTTP request.

use std::time::Duration;

use async_trait::async_trait;
use carillon_domain::{Timestamp, clock::SharedClock, conclusion::UncertainSend};
use carillon_providers::{
    FoundMessage, HttpRequests, NoAnswer, OutgoingMessage, ProviderRequest, ProviderResponse, SendOutcome,
    SentPage, parse_retry_after,
};
use carillon_runtime::http::{ClientOptions, client};
use reqwest::{Client, Request, Response, header::RETRY_AFTER};

use super::{OpenError, accepted::AcceptedMessages};
use crate::sender::Sender;

/// The most bytes of an answer that are read; the rest is cut.
const MAX_ANSWER: usize = 64 * 1024;
/// The same for a page of a list.
const MAX_PAGE: usize = 1024 * 1024;
/// The most pages of a list that are read to find a message.
const MAX_PAGES: usize = 10;

/// Sends messages through an account that takes each as one HTTP request.
pub struct HttpSender<R> {
    client: Client,
    requests: R,
    clock: SharedClock,
    accepted: AcceptedMessages,
}

impl<R> HttpSender<R> {
    /// A sender whose calls end within `timeout`; nothing is connected yet.
    pub fn new(requests: R, timeout: Duration, clock: SharedClock) -> Result<Self, OpenError> {
        let client = client(&ClientOptions {
            request_timeout: timeout,
            ..ClientOptions::default()
        })?;
        Ok(Self {
            client,
            requests,
            clock,
            accepted: AcceptedMessages::default(),
        })
    }
}

#[async_trait]
impl<R: HttpRequests> Sender for HttpSender<R> {
    async fn send(&self, message: &OutgoingMessage) -> SendOutcome {
        let sent_at = self.clock.now();
        let request = match self.requests.build(message, sent_at) {
            Ok(request) => request,
            Err(refusal) => return SendOutcome::Terminal(refusal),
        };
        let outcome = match exchange(&self.client, request, None, sent_at).await {
            Ok(answer) => self.requests.classify(&answer, self.clock.now()),
            Err(why) => why.into(),
        };
        if let SendOutcome::Ok {
            message_id: Some(message_id),
        } = &outcome
            && self.has_list()
        {
            self.accepted.note(message_id, message.delivery_id);
        }
        outcome
    }

    fn has_list(&self) -> bool {
        self.requests.sent_list().is_some()
    }

    async fn find(
        &self,
        message: &OutgoingMessage,
        sends: &[UncertainSend],
    ) -> Result<Option<FoundMessage>, String> {
        let list = self.requests.sent_list().ok_or("no-list")?;
        let is_anothers = |id: &str| self.accepted.is_anothers(id, message.delivery_id);
        let mut request = list.first_page(message, sends);
        for _ in 0..MAX_PAGES {
            let answer = exchange_up_to(MAX_PAGE, &self.client, request, None, self.clock.now()).await;
            let answer = answer.map_err(|why| code_of(why).to_owned())?;
            match list.read_page(&answer, message, sends, &is_anothers) {
                SentPage::Found(found) => return Ok(Some(found)),
                SentPage::NotHere(None) => return Ok(None),
                SentPage::NotHere(Some(next)) => request = next,
                SentPage::Unanswered(code) => return Err(code),
            }
        }
        Err("too-many-pages".to_owned())
    }
}

/// The code of a request without an answer.
fn code_of(why: NoAnswer) -> &'static str {
    match why {
        NoAnswer::NotSent => "connect",
        NoAnswer::TimedOut => "timeout",
        NoAnswer::Lost => "connection-lost",
    }
}

/// Sends a request and reads the whole answer. `within` replaces the client's time limit.
pub(super) async fn exchange(
    client: &Client,
    request: ProviderRequest,
    within: Option<Duration>,
    now: Timestamp,
) -> Result<ProviderResponse, NoAnswer> {
    exchange_up_to(MAX_ANSWER, client, request, within, now).await
}

/// Like [`exchange`], with another bound of the answer's body.
async fn exchange_up_to(
    most: usize,
    client: &Client,
    request: ProviderRequest,
    within: Option<Duration>,
    now: Timestamp,
) -> Result<ProviderResponse, NoAnswer> {
    let mut outgoing = Request::new(request.method, request.url);
    *outgoing.headers_mut() = request.headers;
    *outgoing.body_mut() = Some(request.body.into());
    *outgoing.timeout_mut() = within;
    let mut response = match client.execute(outgoing).await {
        Ok(response) => response,
        Err(error) => return Err(without_answer(&error)),
    };
    let (status, retry_after) = (response.status().as_u16(), retry_after(&response, now));
    let headers = std::mem::take(response.headers_mut());
    match body(response, most).await {
        Ok(body) => Ok(ProviderResponse {
            status,
            retry_after,
            headers,
            body,
        }),
        // The status line is an answer; only its details are lost.
        Err(_) if status >= 400 => Ok(ProviderResponse {
            status,
            retry_after,
            headers,
            body: Vec::new(),
        }),
        Err(error) => Err(without_answer(&error)),
    }
}

async fn body(mut response: Response, most: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = most.saturating_sub(body.len());
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() >= most {
            break;
        }
    }
    Ok(body)
}

pub(super) fn without_answer(error: &reqwest::Error) -> NoAnswer {
    if error.is_connect() || error.is_builder() {
        NoAnswer::NotSent
    } else if error.is_timeout() {
        NoAnswer::TimedOut
    } else {
        NoAnswer::Lost
    }
}

pub(super) fn retry_after(response: &Response, now: Timestamp) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    parse_retry_after(text, now)
}
