//! An HTTP provider with scripted answers, which records its requests.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Uri},
    response::{IntoResponse as _, Response},
};
use carillon_domain::Content;
use carillon_domain::DeliveryId;
use carillon_providers::{OutgoingMessage, SendOutcome};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use uuid::Uuid;

use crate::support::START;

/// An answer.
#[derive(Clone)]
pub(crate) enum Reply {
    Answer {
        status: u16,
        headers: Vec<(&'static str, &'static str)>,
        body: String,
    },
    /// Takes the request and never answers.
    Silence,
}

pub(crate) fn reply(status: u16, body: &Value) -> Reply {
    Reply::Answer {
        status,
        headers: Vec::new(),
        body: body.to_string(),
    }
}

pub(crate) fn reply_after(status: u16, retry_after: &'static str, body: &Value) -> Reply {
    reply_with(status, ("retry-after", retry_after), body)
}

pub(crate) fn reply_with(status: u16, header: (&'static str, &'static str), body: &Value) -> Reply {
    Reply::Answer {
        status,
        headers: vec![header],
        body: body.to_string(),
    }
}

/// A recorded request.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) content_type: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The fields of a form, in order.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        assert_eq!(self.content_type, "application/x-www-form-urlencoded");
        let query = std::str::from_utf8(&self.body).unwrap();
        let url = reqwest::Url::parse(&format!("http://form/?{query}")).unwrap();
        url.query_pairs().into_owned().collect()
    }
}

#[derive(Default)]
struct Shared {
    /// Scripted answers by the end of the path.
    script: Mutex<HashMap<&'static str, VecDeque<Reply>>>,
    asked: Mutex<Vec<Asked>>,
}

/// The server. It ends when it is dropped.
pub(crate) struct HttpServer {
    pub(crate) url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl HttpServer {
    pub(crate) async fn start() -> Self {
        let listener = listen().await;
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, task }
    }

    /// Scripts the next answers for paths with this end. After them come a provider's usual answers.
    pub(crate) fn answers(&self, path: &'static str, replies: impl IntoIterator<Item = Reply>) {
        self.shared.script.lock().entry(path).or_default().extend(replies);
    }

    pub(crate) fn asked(&self, path: &str) -> Vec<Asked> {
        let asked = self.shared.asked.lock();
        asked
            .iter()
            .filter(|asked| asked.path.ends_with(path))
            .cloned()
            .collect()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name| Some(headers.get(name)?.to_str().unwrap().to_owned());
    let count = {
        let mut asked = shared.asked.lock();
        asked.push(Asked {
            path: uri.path().to_owned(),
            authorization: text("authorization"),
            content_type: text("content-type").unwrap_or_default(),
            headers: headers.clone(),
            body,
        });
        asked.iter().filter(|asked| asked.path == uri.path()).count()
    };
    let scripted = {
        let mut script = shared.script.lock();
        script
            .iter_mut()
            .find_map(|(path, replies)| uri.path().ends_with(path).then(|| replies.pop_front())?)
    };
    match scripted.unwrap_or_else(|| usual(uri.path(), count)) {
        Reply::Answer {
            status,
            headers,
            body,
        } => {
            let status = axum::http::StatusCode::from_u16(status).unwrap();
            let mut response = (status, body).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        Reply::Silence => std::future::pending().await,
    }
}

fn usual(path: &str, count: usize) -> Reply {
    if path.ends_with("/token") {
        let token =
            json!({"access_token": format!("token-{count}"), "expires_in": 3_600, "token_type": "Bearer"});
        reply(200, &token)
    } else if path.ends_with(":send") {
        reply(200, &json!({"name": format!("projects/shop-1/messages/{count}")}))
    } else if path.ends_with("/outbound-emails") {
        reply(200, &json!({"MessageId": format!("0107-{count}")}))
    } else if path.ends_with("/mail/send") {
        Reply::Answer {
            status: 202,
            headers: vec![("x-message-id", "14c5d75ce93")],
            body: String::new(),
        }
    } else {
        reply(
            201,
            &json!({"sid": format!("SM{count}"), "status": "queued", "error_code": null}),
        )
    }
}

pub(crate) async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// An address on which no server listens.
pub(crate) async fn nobody() -> SocketAddr {
    listen().await.local_addr().unwrap()
}

/// A server that reads a whole request, writes these bytes and closes.
pub(crate) async fn breaks_off(with: &'static str) -> String {
    let listener = listen().await;
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_request(&mut stream).await;
            stream.write_all(with.as_bytes()).await.unwrap();
        }
    });
    url
}

async fn read_request(stream: &mut TcpStream) {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4_096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return;
            }
        }
        let read = stream.read(&mut piece).await.unwrap();
        assert_ne!(read, 0, "the request is complete");
        bytes.extend_from_slice(&piece[..read]);
    }
}

/// The key of references in tests of senders.
pub(crate) fn reference_key() -> carillon_providers::ReferenceKey {
    carillon_providers::ReferenceKey::of(&carillon_domain::contact::AddressKey::new([7; 32]))
}

/// A message to send.
pub(crate) fn message(to: &str, content: Content) -> OutgoingMessage {
    OutgoingMessage {
        tenant: carillon_domain::TenantId::default(),
        reference_key: reference_key(),
        delivery_id: DeliveryId(Uuid::from_u128(7)),
        event_id: "order 1001/shipped".into(),
        accepted_at: START.parse().unwrap(),
        generation: 0,
        attempt: 1,
        to: to.to_owned(),
        platform: None,
        content,
        expires_at: None,
        unsubscribe_url: None,
        secrets: Vec::new(),
    }
}

/// An outcome as `<name> <code>[ after <seconds>]`.
pub(crate) fn told(outcome: &SendOutcome) -> String {
    if let SendOutcome::Ok { message_id } = outcome {
        return format!("ok {}", message_id.as_deref().unwrap_or("-"));
    }
    let refusal = outcome.refusal().unwrap();
    let name = outcome.name();
    match refusal.retry_after {
        Some(after) => format!("{name} {} after {}", refusal.code, after.as_secs()),
        None => format!("{name} {}", refusal.code),
    }
}
