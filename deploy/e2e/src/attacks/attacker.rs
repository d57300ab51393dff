//! The attacker's means: the address of the gateway and, in some attacks, an API key of the attacker's own tenant.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use carillon_runtime::http::{ClientOptions, client};
use carillon_testkit::installation::Installation;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
};

/// The attacker; clones share connections.
#[derive(Clone)]
pub(super) struct Attacker {
    pub(super) http: reqwest::Client,
    pub(super) url: String,
    pub(super) simulator: String,
    /// An admin's key of the tenant `mallory`.
    pub(super) key: String,
    pub(super) brokers: Option<String>,
    pub(super) prefix: String,
    address: SocketAddr,
}

impl Attacker {
    pub(super) fn new(
        installation: &Installation,
        key: String,
        brokers: Option<String>,
    ) -> anyhow::Result<Self> {
        let options = ClientOptions {
            request_timeout: Duration::from_mins(1),
            ..ClientOptions::default()
        };
        Ok(Self {
            http: client(&options)?,
            url: installation.url.clone(),
            simulator: installation.simulator.clone(),
            key,
            brokers,
            prefix: installation.prefix.clone(),
            address: installation.url.trim_start_matches("http://").parse()?,
        })
    }

    /// Sends a request with the attacker's key; returns the status and the answer.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> anyhow::Result<(StatusCode, String)> {
        let request = self.http.request(method.clone(), format!("{}{path}", self.url));
        let request = request
            .bearer_auth(&self.key)
            .header("content-type", "application/json")
            .body(body);
        let answer = request.send().await.with_context(|| format!("{method} {path}"))?;
        Ok((answer.status(), answer.text().await?))
    }

    /// Posts an event or a batch. A refusal for its content or rate is not a failure of the attack.
    pub(super) async fn post(&self, event: &Value) -> anyhow::Result<StatusCode> {
        let (status, answer) = self.ask(Method::POST, "/v1/events", event.to_string()).await?;
        anyhow::ensure!(!status.is_server_error(), "POST /v1/events: {status} {answer}");
        Ok(status)
    }

    /// Adds an event type to the attacker's catalog; `false` if it is refused.
    pub(super) async fn add_type(&self, name: &str, definition: Value) -> anyhow::Result<bool> {
        let (_, catalog) = self.ask(Method::GET, "/v1/catalog", String::new()).await?;
        let mut catalog: Value = serde_json::from_str(&catalog)?;
        catalog["types"][name] = definition;
        let (status, answer) = self.ask(Method::PUT, "/v1/catalog", catalog.to_string()).await?;
        anyhow::ensure!(!status.is_server_error(), "PUT /v1/catalog: {status} {answer}");
        Ok(status.is_success())
    }

    /// Puts a template and publishes it; `false` if it is refused.
    pub(super) async fn publish(&self, name: &str, parts: Value) -> anyhow::Result<bool> {
        let path = format!("/v1/templates/{name}");
        let body = serde_json::json!({ "parts": parts }).to_string();
        for (method, path, body) in [
            (Method::PUT, path.clone(), body),
            (Method::POST, format!("{path}/publish"), String::new()),
        ] {
            let (status, answer) = self.ask(method.clone(), &path, body).await?;
            anyhow::ensure!(!status.is_server_error(), "{method} {path}: {status} {answer}");
            if !status.is_success() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Opens a connection with a small receive buffer, and writes a text.
    pub(super) async fn connect_narrow(&self, text: &str) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4_096)?;
        let mut stream = socket.connect(self.address).await?;
        stream.write_all(text.as_bytes()).await?;
        Ok(stream)
    }

    /// Opens a connection and writes a text.
    pub(super) async fn connect(&self, text: &str) -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(text.as_bytes()).await?;
        Ok(stream)
    }
}
