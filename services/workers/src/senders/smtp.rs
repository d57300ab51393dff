//! SMTP, on pooled connections. The transaction is spoken step by step, because the meaning of an error depends on
//! the step: before the content nothing was sent; after the final dot it is unknown whether the mail was accepted.

use std::{error::Error as _, time::Duration};

use async_trait::async_trait;
use carillon_domain::{clock::SharedClock, field_error::quoted};
use carillon_providers::{
    OutgoingMessage, SendOutcome, SettingError, SmtpConfig, SmtpTls,
    mail::{Mail, Mails},
    smtp::{RESET_TIMEOUT, SmtpFault, Stage, classify},
};
use lettre::transport::smtp::{
    authentication::{Credentials, Mechanism},
    client::{AsyncSmtpConnection, TlsParameters},
    commands::{self, Data, Rcpt, Rset},
    extension::{ClientId, Extension, MailBodyParameter, MailParameter},
    response::Response,
};
use parking_lot::Mutex;
use secrecy::ExposeSecret as _;
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};

use crate::sender::Sender;

type SmtpError = lettre::transport::smtp::Error;

/// An idle connection older than this is closed instead of used.
const MAX_IDLE: Duration = Duration::from_secs(30);

/// Sends e-mail through one relay.
pub struct SmtpSender {
    host: String,
    port: u16,
    tls: SmtpTls,
    tls_parameters: TlsParameters,
    credentials: Option<Credentials>,
    hello: ClientId,
    mails: Mails,
    clock: SharedClock,
    timeout: Duration,
    idle: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
    connections: Semaphore,
    max_connections: usize,
}

impl SmtpSender {
    /// Checks the configuration; nothing is connected yet.
    pub fn new(config: &SmtpConfig, clock: SharedClock) -> Result<Self, SettingError> {
        let mails = Mails::new(&config.from);
        let credentials = config
            .credentials()?
            .map(|(user, password)| Credentials::new(user.to_owned(), password.expose_secret().to_owned()));
        carillon_runtime::http::install_tls();
        let tls_parameters = TlsParameters::new(config.host.as_str().to_owned()).map_err(|_| {
            let expected = format!("expected a host name, not {}", quoted(config.host.as_str()));
            SettingError::new("host", expected)
        })?;
        let max_connections = usize::from(config.max_connections.get());
        Ok(Self {
            host: config.host.as_str().to_owned(),
            port: config.port.get(),
            tls: config.tls,
            tls_parameters,
            credentials,
            hello: ClientId::Domain(mails.from().domain().to_owned()),
            mails,
            clock,
            timeout: config.request_timeout,
            idle: Mutex::new(Vec::new()),
            connections: Semaphore::new(max_connections),
            max_connections,
        })
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, SmtpError> {
        let implicit = (self.tls == SmtpTls::Implicit).then(|| self.tls_parameters.clone());
        let address = (self.host.as_str(), self.port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, Some(self.timeout), &self.hello, implicit, None)
                .await?;
        if self.tls == SmtpTls::Starttls {
            connection
                .starttls(self.tls_parameters.clone(), &self.hello)
                .await?;
        }
        if let Some(credentials) = &self.credentials {
            connection
                .auth(&[Mechanism::Plain, Mechanism::Login], credentials)
                .await?;
        }
        Ok(connection)
    }

    /// An idle connection, and the time since which it is idle.
    fn pooled(&self) -> Option<(AsyncSmtpConnection, Instant)> {
        let mut idle = self.idle.lock();
        while let Some((connection, since)) = idle.pop() {
            if since.elapsed() < MAX_IDLE {
                return Some((connection, since));
            }
        }
        None
    }

    /// Drops connections that are idle since `since` or earlier. The relay has closed one that was idle since
    /// then, so it has closed these too.
    fn drop_idle_since(&self, since: Instant) {
        self.idle.lock().retain(|(_, other)| *other > since);
    }

    /// Carries out one transaction; `stage` is set to the step that it has reached.
    async fn transact(
        &self,
        connection: &mut AsyncSmtpConnection,
        mail: &Mail,
        stage: &mut Stage,
    ) -> Result<Response, Halt> {
        let mut parameters = Vec::new();
        if mail.needs_smtputf8 {
            if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                return Err(Halt::NoSmtpUtf8);
            }
            // A server that offers SMTPUTF8 also offers 8BITMIME (RFC 6531 §3.1), which the content needs
            // because of the address in its header.
            parameters = vec![
                MailParameter::Body(MailBodyParameter::EightBitMime),
                MailParameter::SmtpUtfEight,
            ];
        }
        *stage = Stage::Envelope;
        connection
            .command(commands::Mail::new(Some(self.mails.from().clone()), parameters))
            .await?;
        *stage = Stage::Recipient;
        connection.command(Rcpt::new(mail.to.clone(), Vec::new())).await?;
        connection.command(Data).await?;
        *stage = Stage::Content;
        Ok(connection.message(&mail.content).await?)
    }

    /// Sends, and connects first if necessary. A pooled connection that the relay has closed is replaced
    /// once.
    async fn attempt(
        &self,
        mail: &Mail,
        stage: &mut Stage,
    ) -> Result<(AsyncSmtpConnection, Result<Response, Halt>), SmtpError> {
        if let Some((mut connection, since)) = self.pooled() {
            match self.transact(&mut connection, mail, stage).await {
                Err(Halt::Smtp(error)) if is_the_connections(&error, *stage, &mut connection).await => {
                    self.drop_idle_since(since);
                }
                ended => return Ok((connection, ended)),
            }
        }
        *stage = Stage::Connect;
        let mut connection = self.connect().await?;
        let ended = self.transact(&mut connection, mail, stage).await;
        Ok((connection, ended))
    }

    /// Returns the connection to the pool if it is in a known state, or can be reset to one.
    async fn put_back(&self, mut connection: AsyncSmtpConnection, ended: &Result<Response, Halt>) {
        let reusable = match ended {
            Ok(_) | Err(Halt::NoSmtpUtf8) => true,
            Err(Halt::Smtp(error)) => {
                error.status().is_some_and(|code| u16::from(code) != 421)
                    && can_be_reset(&mut connection).await
            }
        };
        if reusable && !connection.has_broken() {
            self.idle.lock().push((connection, Instant::now()));
        }
    }
}

/// Why a transaction did not finish.
enum Halt {
    Smtp(SmtpError),
    /// The relay does not offer SMTPUTF8, which the mail needs. No command of the mail was sent.
    NoSmtpUtf8,
}

impl From<SmtpError> for Halt {
    fn from(error: SmtpError) -> Self {
        Self::Smtp(error)
    }
}

impl Halt {
    fn outcome(&self, stage: Stage) -> SendOutcome {
        match self {
            Self::Smtp(error) => failed(error, stage),
            Self::NoSmtpUtf8 => classify(SmtpFault::NoSmtpUtf8, stage),
        }
    }
}

fn failed(error: &SmtpError, stage: Stage) -> SendOutcome {
    let Some(code) = error.status() else {
        let fault = if error.is_tls() {
            SmtpFault::Tls
        } else if error.is_client() {
            SmtpFault::Unsupported
        } else {
            SmtpFault::Lost
        };
        return classify(fault, stage);
    };
    let text = error.source().map(ToString::to_string).unwrap_or_default();
    let reply = SmtpFault::Reply {
        code: code.into(),
        text: &text,
    };
    classify(reply, stage)
}

/// Whether an error on a previously idle connection concerns the connection and not the message: the relay
/// had closed it. It may do so silently, with 421 as the RFC says, or with another refusal that waits for the
/// first command (`451 4.4.2 timeout`). After the content's first byte the answer is always `false`, because
/// the message may have gone out.
async fn is_the_connections(error: &SmtpError, stage: Stage, connection: &mut AsyncSmtpConnection) -> bool {
    match error.status() {
        _ if stage == Stage::Content => false,
        None => true,
        Some(code) if u16::from(code) == 421 => true,
        Some(_) => stage == Stage::Envelope && !can_be_reset(connection).await,
    }
}

/// Resets a connection to the state before `MAIL FROM`; returns whether the relay still answers.
async fn can_be_reset(connection: &mut AsyncSmtpConnection) -> bool {
    tokio::time::timeout(RESET_TIMEOUT, connection.command(Rset))
        .await
        .is_ok_and(|reply| reply.is_ok())
}

#[async_trait]
impl Sender for SmtpSender {
    async fn send(&self, message: &OutgoingMessage) -> SendOutcome {
        let mail = match self.mails.build(message, self.clock.now()) {
            Ok(mail) => mail,
            Err(refusal) => return SendOutcome::Terminal(refusal),
        };
        // The wait for a connection is not part of the request: nothing is sent meanwhile.
        let _permit = self.connections.acquire().await;
        let mut stage = Stage::Connect;
        match tokio::time::timeout(self.timeout, self.attempt(&mail, &mut stage)).await {
            Ok(Ok((connection, ended))) => {
                // The relay has answered; the state of the connection does not change the outcome.
                self.put_back(connection, &ended).await;
                match ended {
                    Ok(_) => SendOutcome::Ok {
                        message_id: Some(mail.message_id),
                    },
                    Err(halt) => halt.outcome(stage),
                }
            }
            Ok(Err(error)) => failed(&error, stage),
            Err(_) => classify(SmtpFault::TimedOut, stage),
        }
    }

    fn connections(&self) -> Option<watch::Receiver<usize>> {
        Some(watch::channel(self.max_connections).1)
    }
}
