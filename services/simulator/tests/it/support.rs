//! A simulator for each test, and clients.

use std::net::SocketAddr;
use std::time::Duration;

use axum::{Router, routing::get};
use carillon_simulator::{Message, MessageFilter, Simulator, SimulatorConfig};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, Tokio1Executor};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The time that a test waits, long enough for a loaded machine; tests that pass do not wait this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const TWILIO_SID: &str = "AC00000000000000000000000000000001";
pub(crate) const TWILIO_TOKEN: &str = "token";
pub(crate) const SENDGRID_KEY: &str = "SG.key";

pub(crate) struct Running {
    pub(crate) simulator: Simulator,
    pub(crate) http: reqwest::Client,
    shutdown: DropGuard,
}

pub(crate) fn config() -> SimulatorConfig {
    SimulatorConfig {
        twilio_account_sid: TWILIO_SID.to_owned(),
        twilio_auth_token: TWILIO_TOKEN.to_owned(),
        sendgrid_api_key: SENDGRID_KEY.to_owned(),
        ..SimulatorConfig::default()
    }
}

pub(crate) async fn start() -> Running {
    start_with(config()).await
}

pub(crate) async fn start_with(config: SimulatorConfig) -> Running {
    let shutdown = CancellationToken::new();
    let operations = Router::new().route("/healthz", get(|| async { "ok" }));
    let simulator = Simulator::start(config, operations, shutdown.clone())
        .await
        .unwrap();
    Running {
        simulator,
        http: http_client(),
        shutdown: shutdown.drop_guard(),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the simulator's tests are strangers to carillon-runtime's client"
)]
fn http_client() -> reqwest::Client {
    // The error means that another test of this process has installed it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

impl Running {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.simulator.http_addr())
    }

    pub(crate) async fn stop(self) {
        drop(self.shutdown);
        tokio::time::timeout(PATIENCE, self.simulator.finished())
            .await
            .unwrap()
            .unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.http.get(self.url(path))).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.http.put(self.url(path)).json(body)).await
    }

    /// Puts a fault script in force.
    pub(crate) async fn script(&self, rules: Value) {
        let (status, body) = self.put("/v1/faults?seed=1", &rules).await;
        assert_eq!(status, 200, "{body}");
    }

    pub(crate) async fn list(&self, filter: MessageFilter) -> Vec<Message> {
        self.simulator.messages().list(&filter).await.unwrap()
    }

    pub(crate) async fn all(&self) -> Vec<Message> {
        self.list(MessageFilter::default()).await
    }

    /// An FCM access token; the assertion's signature does not matter here.
    pub(crate) async fn access_token(&self) -> String {
        let assertion = assertion(
            &jsonwebtoken::EncodingKey::from_secret(b"any"),
            jsonwebtoken::Algorithm::HS256,
        );
        let (status, body) = answer(self.http.post(self.url("/token")).form(&grant(&assertion))).await;
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn push_request(&self, message: Value) -> reqwest::RequestBuilder {
        self.http
            .post(self.url("/v1/projects/shop/messages:send"))
            .bearer_auth(self.access_token().await)
            .json(&json!({ "message": message }))
    }

    pub(crate) async fn push(&self, message: Value) -> (u16, Value) {
        answer(self.push_request(message).await).await
    }

    pub(crate) fn sms_request(&self, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
        self.http
            .post(self.url(&format!("/2010-04-01/Accounts/{TWILIO_SID}/Messages.json")))
            .basic_auth(TWILIO_SID, Some(TWILIO_TOKEN))
            .form(fields)
    }

    pub(crate) async fn sms(&self, fields: &[(&str, &str)]) -> (u16, Value) {
        answer(self.sms_request(fields)).await
    }

    pub(crate) fn sendgrid_request(&self, body: &Value) -> reqwest::RequestBuilder {
        self.http
            .post(self.url("/v3/mail/send"))
            .bearer_auth(SENDGRID_KEY)
            .json(body)
    }

    pub(crate) async fn sendgrid(&self, body: &Value) -> (u16, Value) {
        answer(self.sendgrid_request(body)).await
    }

    pub(crate) fn mailer(&self, user: Option<(&str, &str)>) -> AsyncSmtpTransport<Tokio1Executor> {
        let address = self.simulator.smtp_addr();
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string())
            .port(address.port())
            .hello_name(ClientId::Domain("tests.example".to_owned()))
            .timeout(Some(PATIENCE));
        if let Some((name, password)) = user {
            builder = builder.credentials(Credentials::new(name.to_owned(), password.to_owned()));
        }
        builder.build()
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

pub(crate) fn grant(assertion: &str) -> [(&'static str, String); 2] {
    [
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned(),
        ),
        ("assertion", assertion.to_owned()),
    ]
}

#[expect(
    clippy::disallowed_methods,
    reason = "assertions are checked against the simulator's clock, the wall clock"
)]
pub(crate) fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

pub(crate) fn assertion(key: &jsonwebtoken::EncodingKey, algorithm: jsonwebtoken::Algorithm) -> String {
    signed(
        key,
        algorithm,
        &json!({
            "iss": "sender@shop.example",
            "scope": "https://www.googleapis.com/auth/firebase.messaging",
            "aud": "http://simulator/token",
            "iat": now(),
            "exp": now() + 3_600,
        }),
    )
}

pub(crate) fn signed(
    key: &jsonwebtoken::EncodingKey,
    algorithm: jsonwebtoken::Algorithm,
    claims: &Value,
) -> String {
    jsonwebtoken::encode(&jsonwebtoken::Header::new(algorithm), claims, key).unwrap()
}

/// A mail in the form of Carillon's worker.
pub(crate) fn mail(to: &str, delivery: &str) -> lettre::Message {
    let mut mail = lettre::Message::builder()
        .from("Shop <shop@example.com>".parse::<Mailbox>().unwrap())
        .to(to.parse().unwrap())
        .subject("Votre commande est expédiée")
        .multipart(MultiPart::alternative_plain_html(
            "Bonjour\n.une ligne\n..deux points".to_owned(),
            "<p>Bonjour</p>".to_owned(),
        ))
        .unwrap();
    for (name, value) in [
        ("X-Carillon-Delivery", delivery),
        ("X-Carillon-Event", "order-1001-shipped"),
    ] {
        let name = lettre::message::header::HeaderName::new_from_ascii(name.to_owned()).unwrap();
        mail.headers_mut()
            .insert_raw(lettre::message::header::HeaderValue::new(name, value.to_owned()));
    }
    mail
}

/// An SMTP client that sends exactly the given lines.
pub(crate) struct RawSmtp {
    stream: BufReader<TcpStream>,
}

impl RawSmtp {
    /// Connects and reads the greeting.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut client = Self {
            stream: BufReader::new(TcpStream::connect(address).await.unwrap()),
        };
        assert!(client.line().await.starts_with("220 "));
        client
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    /// The next line without its end; empty if the server has closed the connection.
    pub(crate) async fn line(&mut self) -> String {
        self.try_line().await.unwrap()
    }

    pub(crate) async fn try_line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        tokio::time::timeout(PATIENCE, self.stream.read_line(&mut line))
            .await
            .unwrap()?;
        Ok(line.trim_end().to_owned())
    }

    /// The last line of a reply.
    pub(crate) async fn reply(&mut self) -> String {
        loop {
            let line = self.line().await;
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }

    pub(crate) async fn ask(&mut self, command: &str) -> String {
        self.say(&format!("{command}\r\n")).await;
        self.reply().await
    }

    /// Sends the commands up to the `354` that asks for the message.
    pub(crate) async fn envelope(&mut self, to: &str) {
        for (command, code) in [
            ("EHLO t", "250"),
            ("MAIL FROM:<a@b.example>", "250"),
            (&format!("RCPT TO:<{to}>"), "250"),
            ("DATA", "354"),
        ] {
            let reply = self.ask(command).await;
            assert!(reply.starts_with(code), "{command}: {reply}");
        }
    }
}
