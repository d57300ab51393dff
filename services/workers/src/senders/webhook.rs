//! The transport of webhooks. The owner of an endpoint chooses its name and the name's addresses, so an address is checked when the name
//! has been resolved, and the connection is made to that address: a second resolution could give another one (DNS rebinding).

use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use async_trait::async_trait;
use carillon_domain::clock::SharedClock;
use carillon_providers::{
    NoAnswer, OutgoingMessage, ProviderResponse, SendOutcome, WebhookConfig,
    webhook::{NotSendable, WebhookRequests},
};
use carillon_runtime::http::{ClientOptions, Resolver, client};
use reqwest::{
    Client, Request, Response,
    dns::{Addrs, Name, Resolve, Resolving},
};

use super::{
    OpenError,
    http::{retry_after, without_answer},
};
use crate::sender::Sender;

/// The most bytes of an answer's body that are read. They are not looked at: a body that was read to its end leaves the connection
/// open for the next request.
const MAX_DRAINED: usize = 16 * 1024;

/// Finds the addresses of a name.
#[async_trait]
pub trait Lookup: Send + Sync + 'static {
    /// The addresses of a name, in the order of preference.
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The resolver of the operating system.
#[derive(Debug, Clone, Copy)]
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((name, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// Sends webhooks.
pub struct WebhookSender {
    client: Client,
    requests: Arc<WebhookRequests>,
    clock: SharedClock,
}

impl WebhookSender {
    /// A sender under the settings; nothing is connected yet.
    pub fn new(
        config: &WebhookConfig,
        lookup: Arc<dyn Lookup>,
        clock: SharedClock,
    ) -> Result<Self, OpenError> {
        let requests = Arc::new(WebhookRequests::new(config));
        let resolver = AllowedAddresses {
            requests: Arc::clone(&requests),
            lookup,
        };
        let client = client(&ClientOptions {
            request_timeout: config.request_timeout,
            // Most endpoints get few requests at a time.
            pool_idle_per_host: 8,
            resolver: Some(Resolver(Arc::new(resolver))),
            ..ClientOptions::default()
        })?;
        Ok(Self {
            client,
            requests,
            clock,
        })
    }
}

#[async_trait]
impl Sender for WebhookSender {
    async fn send(&self, message: &OutgoingMessage) -> SendOutcome {
        let now = self.clock.now();
        let request = match self.requests.build(message, now) {
            Ok(request) => request,
            Err(refusal) => return SendOutcome::Terminal(refusal),
        };
        let mut outgoing = Request::new(request.method, request.url);
        *outgoing.headers_mut() = request.headers;
        *outgoing.body_mut() = Some(request.body.into());
        let response = match self.client.execute(outgoing).await {
            Ok(response) => response,
            Err(error) => return self.unanswered(&error),
        };
        let answer = ProviderResponse {
            status: response.status().as_u16(),
            retry_after: retry_after(&response, now),
            ..ProviderResponse::default()
        };
        drain(response).await;
        self.requests.classify(&answer)
    }
}

impl WebhookSender {
    fn unanswered(&self, error: &reqwest::Error) -> SendOutcome {
        if let Some(why) = not_sendable(error) {
            return SendOutcome::Terminal(why.refusal());
        }
        let why: NoAnswer = without_answer(error);
        self.requests.unanswered(why)
    }
}

/// The resolver's refusal, if it is the cause of an error.
fn not_sendable(error: &(dyn Error + 'static)) -> Option<NotSendable> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(why) = error.downcast_ref::<NotSendable>() {
            return Some(*why);
        }
        cause = error.source();
    }
    None
}

/// Reads the beginning of a body. The answer is known by then, so errors and the end of the time do not matter.
async fn drain(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > MAX_DRAINED {
            return;
        }
    }
}

/// Gives the client only those addresses that endpoints may have.
struct AllowedAddresses {
    requests: Arc<WebhookRequests>,
    lookup: Arc<dyn Lookup>,
}

impl Resolve for AllowedAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        let (requests, lookup) = (Arc::clone(&self.requests), Arc::clone(&self.lookup));
        Box::pin(async move {
            let mut found = lookup.addresses(name.as_str()).await?;
            if found.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address").into());
            }
            found.retain(|address| requests.allows(*address));
            if found.is_empty() {
                return Err(NotSendable::Address.into());
            }
            // The client replaces port 0 by the URL's.
            let addresses: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}
