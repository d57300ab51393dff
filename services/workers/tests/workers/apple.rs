//! A server that speaks APNs: HTTP/2 with a certificate of its own authority, and scripted answers.

use std::{
    collections::HashMap,
    future::poll_fn,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, LazyLock},
    time::Duration,
};

use bytes::Bytes;
use carillon_domain::{Content, Platform, clock::SharedClock};
use carillon_providers::{ApnsConfig, OutgoingMessage};
use carillon_workers::ApnsSender;
use h2::{Reason, server};
use http::{HeaderMap, Request, Response};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::http_server::message;

pub(crate) const TEAM: &str = "TEAM000001";
pub(crate) const KEY_ID: &str = "KEY0000001";
pub(crate) const TOPIC: &str = "com.example.shop";
pub(crate) const DEVICE: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";

static KEY: LazyLock<KeyPair> = LazyLock::new(key_pair);

fn key_pair() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

/// A received request.
#[derive(Clone)]
pub(crate) struct Pushed {
    pub(crate) device: String,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Value,
}

impl Pushed {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// The claims of its provider token, whose signature and header are right.
    pub(crate) fn claims(&self) -> Value {
        let token = self.header("authorization").strip_prefix("bearer ").unwrap();
        let head = jsonwebtoken::decode_header(token).unwrap();
        assert_eq!((head.alg, head.kid.as_deref()), (Algorithm::ES256, Some(KEY_ID)));
        let mut validation = Validation::new(Algorithm::ES256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        let key = DecodingKey::from_ec_pem(KEY.public_key_pem().as_bytes()).unwrap();
        jsonwebtoken::decode(token, &key, &validation).unwrap().claims
    }
}

/// An answer to a request.
#[derive(Clone)]
pub(crate) enum Answer {
    Status(u16, Value),
    Reset(Reason),
}

pub(crate) fn refuse(status: u16, reason: &str) -> Answer {
    Answer::Status(status, json!({ "reason": reason }))
}

/// The identity of a server, and the file of the authority that vouches for it.
pub(crate) struct Identity {
    pub(crate) tls: TlsAcceptor,
    pub(crate) authority: PathBuf,
    _dir: tempfile::TempDir,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let authority_key = key_pair();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(params, authority_key);
        let key = key_pair();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("authority.pem");
        std::fs::write(&path, authority.pem()).unwrap();
        carillon_runtime::http::install_tls();
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self {
            tls: TlsAcceptor::from(Arc::new(config)),
            authority: path,
            _dir: dir,
        }
    }
}

/// The settings of an account at a server.
pub(crate) fn config_at(address: SocketAddr, identity: &Identity) -> ApnsConfig {
    let json = json!({
        "team_id": TEAM, "key_id": KEY_ID, "topic": TOPIC, "key": KEY.serialize_pem(),
        "base_url": format!("https://{address}"), "root_certificates_path": identity.authority,
        "max_connections": 1, "request_timeout": "5s",
    });
    serde_json::from_value(json).unwrap()
}

/// A push message to an iPhone; `number` tells it from others.
pub(crate) fn to_iphone(number: u128) -> OutgoingMessage {
    let content = Content::Push {
        title: "Your parcel".to_owned(),
        body: "is on its way".to_owned(),
        data: [("number".to_owned(), number.to_string())].into(),
        collapse: None,
    };
    OutgoingMessage {
        delivery_id: carillon_domain::DeliveryId(uuid::Uuid::from_u128(number)),
        platform: Some(Platform::Ios),
        ..message(DEVICE, content)
    }
}

/// A running server.
pub(crate) struct Apple {
    pub(crate) address: SocketAddr,
    pub(crate) identity: Arc<Identity>,
    shared: Arc<Shared>,
}

struct Shared {
    pushed: Mutex<Vec<Pushed>>,
    /// Answers by the value `number` of the data or by device; all others are accepted.
    script: Mutex<HashMap<String, Vec<Answer>>>,
    held: watch::Sender<bool>,
    open: watch::Sender<usize>,
    most_open: Mutex<usize>,
    connections: Mutex<usize>,
    goes_away: watch::Sender<u32>,
    streams: u32,
}

impl Apple {
    pub(crate) async fn start() -> Self {
        Self::with_streams(100).await
    }

    /// A server that allows this many streams on a connection.
    pub(crate) async fn with_streams(streams: u32) -> Self {
        let identity = Arc::new(Identity::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            pushed: Mutex::default(),
            script: Mutex::default(),
            held: watch::Sender::new(false),
            open: watch::Sender::new(0),
            most_open: Mutex::default(),
            connections: Mutex::default(),
            goes_away: watch::Sender::new(0),
            streams,
        });
        tokio::spawn(accept(listener, Arc::clone(&identity), Arc::clone(&shared)));
        Self {
            address,
            identity,
            shared,
        }
    }

    pub(crate) fn config(&self) -> ApnsConfig {
        config_at(self.address, &self.identity)
    }

    pub(crate) fn sender(&self, clock: SharedClock) -> Arc<ApnsSender> {
        Arc::new(ApnsSender::new("apns", &self.config(), clock).unwrap())
    }

    pub(crate) fn pushed(&self) -> Vec<Pushed> {
        self.shared.pushed.lock().clone()
    }

    /// The numbers of the received messages, in their order.
    pub(crate) fn numbers(&self) -> Vec<u128> {
        let number = |pushed: &Pushed| pushed.payload["number"].as_str()?.parse().ok();
        self.shared.pushed.lock().iter().filter_map(number).collect()
    }

    /// Scripts the answers to the next requests of a number.
    pub(crate) fn answers(&self, number: u128, answers: impl IntoIterator<Item = Answer>) {
        let mut script = self.shared.script.lock();
        let answers: Vec<Answer> = answers.into_iter().collect();
        script.insert(number.to_string(), answers.into_iter().rev().collect());
    }

    /// Scripts the next answer to each of these devices.
    pub(crate) fn answers_devices<const N: usize>(&self, answers: [(&str, Answer); N]) {
        let answers = answers.map(|(device, answer)| (device.to_owned(), vec![answer]));
        self.shared.script.lock().extend(answers);
    }

    /// Holds all answers back, or lets them go.
    pub(crate) fn holds(&self, holds: bool) {
        self.shared.held.send_replace(holds);
    }

    /// Waits until this many requests are held.
    pub(crate) async fn until_open(&self, count: usize) {
        let mut open = self.shared.open.subscribe();
        let wait = open.wait_for(|open| *open == count);
        tokio::time::timeout(Duration::from_secs(20), wait)
            .await
            .unwrap()
            .unwrap();
    }

    /// The most requests that were open at a time.
    pub(crate) fn most_open(&self) -> usize {
        *self.shared.most_open.lock()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.shared.connections.lock()
    }

    /// Sends a GOAWAY on each connection, whose open streams are still answered.
    pub(crate) fn goes_away(&self) {
        self.shared.goes_away.send_modify(|times| *times += 1);
    }
}

async fn accept(listener: TcpListener, identity: Arc<Identity>, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (identity, shared) = (Arc::clone(&identity), Arc::clone(&shared));
        tokio::spawn(async move {
            if let Ok(stream) = identity.tls.accept(stream).await {
                serve(stream, shared).await;
            }
        });
    }
}

async fn serve(stream: TlsStream<TcpStream>, shared: Arc<Shared>) {
    *shared.connections.lock() += 1;
    let mut goes_away = shared.goes_away.subscribe();
    let opened = server::Builder::new()
        .max_concurrent_streams(shared.streams)
        .handshake(stream)
        .await;
    let Ok(mut connection) = opened else { return };
    let mut is_leaving = false;
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    tokio::spawn(answer(request, respond, Arc::clone(&shared)));
                }
                _ => break,
            },
            Ok(()) = goes_away.changed(), if !is_leaving => {
                is_leaving = true;
                connection.graceful_shutdown();
            }
        }
    }
    let _ = poll_fn(|cx| connection.poll_closed(cx)).await;
}

async fn answer(
    request: Request<h2::RecvStream>,
    mut respond: server::SendResponse<Bytes>,
    shared: Arc<Shared>,
) {
    let (head, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    while let Some(Ok(chunk)) = body.data().await {
        body.flow_control().release_capacity(chunk.len()).unwrap();
        bytes.extend_from_slice(&chunk);
    }
    let payload: Value = serde_json::from_slice(&bytes).unwrap();
    let number = payload["number"].as_str().unwrap_or_default().to_owned();
    let device = head.uri.path().strip_prefix("/3/device/").unwrap().to_owned();
    shared.pushed.lock().push(Pushed {
        device: device.clone(),
        headers: head.headers,
        payload,
    });
    let mut open = 0;
    shared.open.send_modify(|count| {
        *count += 1;
        open = *count;
    });
    {
        let mut most = shared.most_open.lock();
        *most = open.max(*most);
    }
    let mut hold = shared.held.subscribe();
    let _ = hold.wait_for(|is_held| !is_held).await;
    shared.open.send_modify(|count| *count -= 1);
    let scripted = {
        let mut script = shared.script.lock();
        let key = if script.contains_key(&number) {
            number
        } else {
            device
        };
        script.get_mut(&key).and_then(Vec::pop)
    };
    match scripted.unwrap_or(Answer::Status(200, Value::Null)) {
        Answer::Reset(reason) => respond.send_reset(reason),
        Answer::Status(status, body) => {
            let response = Response::builder().status(status).body(()).unwrap();
            let is_empty = body.is_null();
            let sent = respond.send_response(response, is_empty);
            if let (Ok(mut stream), false) = (sent, is_empty) {
                let _ = stream.send_data(Bytes::from(body.to_string()), true);
            }
        }
    }
}
