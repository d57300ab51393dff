//! Starting and ending a simulator.

use std::net::SocketAddr;

use axum::Router;
use reqwest::Url;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::apns::{self, Apns, ApnsIdentity, ProviderTokens};
use crate::context::Context;
use crate::faults::Faults;
use crate::fcm::Tokens;
use crate::http::Accounts;
use crate::receipts::{Reports, sns};
use crate::replies::Replies;
use crate::smtp::Smtp;
use crate::store::{KEPT_MESSAGES, Messages, Store};
use crate::twilio::Account;
use crate::webhook;
use crate::{SimulatorConfig, SimulatorError, http, receipts, ses, smtp};

/// The names of this machine in a certificate.
const THIS_MACHINE: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A running simulator. It runs until the token given to [`start`](Self::start) is cancelled, even if this is
/// dropped.
pub struct Simulator {
    http_addr: SocketAddr,
    smtp_addr: SocketAddr,
    apns_addr: SocketAddr,
    apns_authority: String,
    messages: Messages,
    faults: Faults,
    tasks: JoinHandle<Result<(), SimulatorError>>,
}

impl Simulator {
    /// Opens the memory, binds the ports of HTTP, SMTP and APNs, and serves. The simulator is ready when this returns.
    /// `operations` are the routes of health and metrics, which are the same for all roles.
    ///
    /// # Errors An address is in use, the data folder cannot be written, or a setting is invalid.
    pub async fn start(
        config: SimulatorConfig,
        operations: Router,
        shutdown: CancellationToken,
    ) -> Result<Self, SimulatorError> {
        let (store, writer) = Store::open(config.data_dir.as_deref(), KEPT_MESSAGES).await?;
        let secret = writer.secret("access-tokens").await?;
        let tokens = Tokens::new(&secret, config.service_account_public_key_pem.as_deref())?;
        let (http_listener, http_addr) = listen(config.listen).await?;
        let (smtp_listener, smtp_addr) = listen(config.smtp_listen).await?;
        let (apns_listener, apns_addr) = listen(config.apns_listen).await?;
        let (settings, topic) = reporting(&config, http_addr)?;
        let inbound = config.twilio_inbound_url.as_deref().map(Url::parse).transpose();
        let inbound = inbound.map_err(|_| SimulatorError::Url("simulator.twilio_inbound_url"))?;
        let signer =
            receipts::twilio::Account::new(config.twilio_account_sid.clone(), &config.twilio_auth_token);
        let identity = match (config.apns_identity, &config.data_dir) {
            (Some(identity), _) => identity,
            (None, Some(folder)) => ApnsIdentity::of_folder(folder, &THIS_MACHINE)?,
            (None, None) => ApnsIdentity::generate(&THIS_MACHINE)?,
        };
        let provider_tokens = ProviderTokens::new(
            config.apns_team_id,
            config.apns_key_id,
            config.apns_public_key_pem.as_deref(),
        )?;
        let faults = Faults::none();
        let messages = store.messages().clone();
        let context = Context {
            store,
            faults: faults.clone(),
            reports: Reports::new(settings, faults.clone(), shutdown.clone())?,
            replies: Replies::new(inbound, signer, shutdown.clone())?,
            shutdown,
        };
        let accounts = Accounts {
            tokens,
            twilio: Account {
                sid: config.twilio_account_sid,
                token: config.twilio_auth_token,
            },
            sendgrid: config.sendgrid_api_key,
            ses: ses::Account {
                region: config.ses_region,
                access_key_id: config.ses_access_key_id,
                secret_access_key: config.ses_secret_access_key,
                session_token: config.ses_session_token,
            },
            webhooks: webhook::Key::parse(&config.webhook_secret).ok_or(SimulatorError::WebhookSecret)?,
        };
        let apns_context = context.clone();
        let operations = match topic {
            Some(topic) => operations.merge(topic.routes()),
            None => operations,
        };
        let router = http::router(&context, accounts, operations);
        let serve_http = tokio::spawn(http::serve(http_listener, router, context.clone()));
        let serve_smtp = tokio::spawn(smtp::serve(
            smtp_listener,
            Smtp {
                context,
                user: config.smtp_user,
                offers_utf8: config.smtp_utf8,
            },
        ));
        let serve_apns = tokio::spawn(apns::serve(
            apns_listener,
            Apns {
                context: apns_context,
                tls: identity.acceptor()?,
                tokens: provider_tokens,
                topic: config.apns_topic,
                max_streams: config.apns_max_streams,
            },
        ));
        let nobody_sends = CancellationToken::new();
        let write = tokio::spawn(writer.run(nobody_sends.clone()));
        let tasks = tokio::spawn(async move {
            let served = serve_http.await;
            let mailed = serve_smtp.await;
            let pushed = serve_apns.await;
            nobody_sends.cancel();
            write.await?;
            mailed?;
            pushed??;
            served?
        });
        tracing::info!(http = %http_addr, smtp = %smtp_addr, apns = %apns_addr, "the simulator is ready");
        Ok(Self {
            http_addr,
            smtp_addr,
            apns_addr,
            apns_authority: identity.authority_pem,
            messages,
            faults,
            tasks,
        })
    }

    /// The address of HTTP.
    pub fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// The address of SMTP.
    pub fn smtp_addr(&self) -> SocketAddr {
        self.smtp_addr
    }

    /// The address of APNs.
    pub fn apns_addr(&self) -> SocketAddr {
        self.apns_addr
    }

    /// The certificate of the authority that vouches for APNs, in PEM.
    pub fn apns_authority_pem(&self) -> &str {
        &self.apns_authority
    }

    /// The received messages.
    pub fn messages(&self) -> &Messages {
        &self.messages
    }

    /// The fault script, for changes without HTTP.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Waits until all tasks have ended after the shutdown; all received messages are then in the memory.
    pub async fn finished(self) -> Result<(), SimulatorError> {
        self.tasks.await?
    }
}

/// The settings of reports, and SES's topic if it has a subscriber.
fn reporting(
    config: &SimulatorConfig,
    http_addr: SocketAddr,
) -> Result<(receipts::Settings, Option<sns::Topic>), SimulatorError> {
    let url = |name, text: Option<&String>| {
        let url = text.map(|text| Url::parse(text)).transpose();
        url.map_err(|_| SimulatorError::Url(name))
    };
    let of_http = Some(format!("http://{http_addr}"));
    let endpoint = config.sns_endpoint.as_ref().or(of_http.as_ref());
    let topic = match url("simulator.sns_endpoint", endpoint)? {
        Some(endpoint) if config.receipts_after.is_some() => sns::Topic::new(sns::Settings {
            topic: config.ses_topic.clone(),
            subscriber: url("simulator.sns_subscriber_url", config.sns_subscriber_url.as_ref())?,
            endpoint,
            signature_version: config.sns_signature_version,
        })?,
        _ => None,
    };
    let settings = receipts::Settings {
        sendgrid_url: url(
            "simulator.sendgrid_webhook_url",
            config.sendgrid_webhook_url.as_ref(),
        )?,
        sendgrid_key_pem: config.sendgrid_webhook_key_pem.clone(),
        sns: topic.clone(),
        after: config.receipts_after,
        twilio_sid: config.twilio_account_sid.clone(),
        twilio_token: config.twilio_auth_token.clone(),
    };
    Ok((settings, topic))
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), SimulatorError> {
    let failed = |source| SimulatorError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
