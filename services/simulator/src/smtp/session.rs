//! A session with one client: commands, replies, and messages at the final dot.

use std::io;
use std::slice::Iter;
use std::sync::Arc;
use std::time::Duration;

use smtp_proto::request::receiver::{
    DataReceiver, DummyDataReceiver, DummyLineReceiver, LineReceiver, RequestReceiver,
};
use smtp_proto::{Error, MailFrom, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Smtp;
use super::auth::{self, Dialogue, Step};
use super::reply::{Reply, mailbox_fate, scripted};
use super::rules::Announced;
use crate::faults::{SmtpStep, Verdict};

/// The largest message, as offered in SIZE.
const MAX_MESSAGE: usize = 10 * 1024 * 1024;
const MAX_RECEIVERS: usize = 1_000;
/// The time after which an idle session is closed: five minutes, as RFC 5321 4.5.3.2.7 demands.
const IDLE: Duration = Duration::from_mins(5);
const READ_BUFFER: usize = 16 * 1024;
const HOST: &str = "simulator.carillon.local";

/// The expected kind of the client's next bytes.
enum Expect {
    Command,
    Data { receiver: DataReceiver, raw: Vec<u8> },
    OversizedData(DummyDataReceiver),
    OversizedLine(DummyLineReceiver),
    Auth(LineReceiver<Option<Dialogue>>),
}

/// The continuation of a session.
#[derive(PartialEq, Eq)]
pub(super) enum Next {
    GoOn,
    /// Send the pending replies, then close.
    Close,
    /// Reset the connection; nothing more is sent.
    Reset,
    /// Never answer again.
    Hang,
}

#[derive(Default)]
struct Envelope {
    sender: String,
    receivers: Vec<String>,
    announced: Announced,
}

pub(super) struct Session {
    pub(super) smtp: Arc<Smtp>,
    commands: RequestReceiver,
    expect: Expect,
    pub(super) out: Vec<u8>,
    greeted: bool,
    authenticated: bool,
    envelope: Option<Envelope>,
}

/// Serves one client until it leaves or idles too long, a fault ends the session, or the simulator stops.
pub(super) async fn run(mut stream: TcpStream, smtp: Arc<Smtp>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let shutdown = smtp.context.shutdown.clone();
    let mut session = Session {
        smtp,
        commands: RequestReceiver::default(),
        expect: Expect::Command,
        out: Vec::new(),
        greeted: false,
        authenticated: false,
        envelope: None,
    };
    match session.meets(SmtpStep::Connect, &[]).await {
        Next::GoOn if session.out.is_empty() => {
            session.reply(220, "", format!("{HOST} ESMTP Carillon simulator"));
        }
        Next::GoOn | Next::Close => return stream.write_all(&session.out).await,
        Next::Reset => return stream.set_zero_linger(),
        Next::Hang => return hang(&mut stream, &shutdown, &mut [0; 64]).await,
    }
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        stream.write_all(&session.out).await?;
        session.out.clear();
        let fault = session
            .smtp
            .context
            .faults
            .idle()
            .filter(|_| session.is_between_commands());
        let patience = fault.as_ref().map_or(IDLE, |(idle, _)| (*idle).min(IDLE));
        let read = tokio::select! {
            read = tokio::time::timeout(patience, stream.read(&mut buffer)) => read,
            () = shutdown.cancelled() => {
                session.reply(421, "4.3.2", "Shutting down");
                return stream.write_all(&session.out).await;
            }
        };
        let Ok(read) = read else {
            match fault {
                Some((_, answer)) => scripted(&answer).write(&mut session.out),
                None => session.reply(421, "4.4.2", "Idle for too long"),
            }
            stream.write_all(&session.out).await?;
            stream.shutdown().await?;
            // The client may still be writing. The session reads on, so that the client receives the reply
            // and not a reset.
            return hang(&mut stream, &shutdown, &mut buffer).await;
        };
        let read = read?;
        if read == 0 {
            return Ok(());
        }
        match session.take(&buffer[..read], &mut stream).await? {
            Next::GoOn => {}
            Next::Close => return stream.write_all(&session.out).await,
            Next::Reset => return stream.set_zero_linger(),
            Next::Hang => return hang(&mut stream, &shutdown, &mut buffer).await,
        }
    }
}

impl Session {
    fn reply(&mut self, code: u16, enhanced: &str, text: impl Into<String>) {
        Reply::new(code, enhanced, text).write(&mut self.out);
    }

    /// Processes received bytes, which may be many commands (PIPELINING) or a part of one.
    async fn take(&mut self, bytes: &[u8], stream: &mut TcpStream) -> io::Result<Next> {
        let mut rest = bytes.iter();
        while !rest.as_slice().is_empty() {
            let next = match &mut self.expect {
                Expect::Command => self.command(&mut rest).await,
                Expect::Auth(line) => {
                    if line.ingest(&mut rest) {
                        let step = line
                            .state
                            .take()
                            .map_or(Step::Malformed, |dialogue| dialogue.line(&line.buf));
                        self.expect = Expect::Command;
                        self.authenticate(step);
                    }
                    Next::GoOn
                }
                Expect::OversizedLine(line) => {
                    if line.ingest(&mut rest) {
                        self.expect = Expect::Command;
                        self.reply(500, "5.5.6", "Line too long");
                    }
                    Next::GoOn
                }
                Expect::OversizedData(data) => {
                    if data.ingest(&mut rest) {
                        self.expect = Expect::Command;
                        self.envelope = None;
                        self.reply(552, "5.3.4", "Message too big");
                    }
                    Next::GoOn
                }
                Expect::Data { receiver, raw } => {
                    if receiver.ingest(&mut rest, raw) {
                        let raw = std::mem::take(raw);
                        self.expect = Expect::Command;
                        // Replies to earlier pipelined commands are due even if this one is never answered.
                        stream.write_all(&self.out).await?;
                        self.out.clear();
                        self.finish(&raw).await
                    } else {
                        if raw.len() > MAX_MESSAGE {
                            self.expect = Expect::OversizedData(DummyDataReceiver::new_data(receiver));
                        }
                        Next::GoOn
                    }
                }
            };
            if next != Next::GoOn {
                return Ok(next);
            }
        }
        Ok(Next::GoOn)
    }

    async fn command(&mut self, rest: &mut Iter<'_, u8>) -> Next {
        let request = match self.commands.ingest(rest) {
            Ok(request) => request.into_owned(),
            Err(Error::NeedsMoreData { .. }) => {
                *rest = [].iter();
                return Next::GoOn;
            }
            Err(error) => {
                self.malformed(&error);
                return Next::GoOn;
            }
        };
        let said = self.out.len();
        match request {
            Request::Ehlo { .. } => self.greet(true),
            Request::Helo { .. } => self.greet(false),
            Request::Noop { .. } => self.reply(250, "2.0.0", "OK"),
            Request::Rset => {
                self.envelope = None;
                self.reply(250, "2.0.0", "OK");
            }
            Request::Quit => {
                self.reply(221, "2.0.0", "Bye");
                return Next::Close;
            }
            Request::Auth {
                mechanism,
                initial_response,
            } => {
                if !self.greeted || self.authenticated || self.envelope.is_some() {
                    self.reply(503, "5.5.1", "AUTH comes once, after EHLO and before MAIL");
                } else {
                    self.authenticate(auth::begin(mechanism, &initial_response));
                }
            }
            Request::Mail { from } => match self.meets(SmtpStep::Mail, &[]).await {
                Next::GoOn if self.out.len() == said => self.mail(&from),
                next => return next,
            },
            Request::Rcpt { to } => match self
                .meets(SmtpStep::Rcpt, std::slice::from_ref(&to.address))
                .await
            {
                Next::GoOn if self.out.len() == said => self.rcpt(to.address),
                next => return next,
            },
            Request::Data => match self.meets(SmtpStep::Data, &self.receivers()).await {
                Next::GoOn if self.out.len() == said => self.data(),
                next => return next,
            },
            Request::Vrfy { .. } => self.reply(252, "2.1.5", "Cannot verify, will take mail for it"),
            _ => self.reply(502, "5.5.1", "Command not implemented"),
        }
        Next::GoOn
    }

    fn receivers(&self) -> Vec<String> {
        self.envelope
            .as_ref()
            .map(|envelope| envelope.receivers.clone())
            .unwrap_or_default()
    }

    fn is_between_commands(&self) -> bool {
        matches!(self.expect, Expect::Command)
    }

    fn malformed(&mut self, error: &Error) {
        match error {
            Error::ResponseTooLong => self.expect = Expect::OversizedLine(DummyLineReceiver::default()),
            Error::InvalidSenderAddress => self.reply(501, "5.1.7", "Bad sender address"),
            Error::InvalidRecipientAddress => self.reply(501, "5.1.3", "Bad receiver address"),
            Error::SyntaxError { syntax } => self.reply(501, "5.5.4", format!("Syntax: {syntax}")),
            Error::InvalidParameter { param } => self.reply(501, "5.5.4", format!("Bad parameter {param}")),
            Error::UnsupportedParameter { .. } => self.reply(555, "5.5.4", "Parameter not supported"),
            _ => self.reply(500, "5.5.1", "Command not recognised"),
        }
    }

    fn greet(&mut self, extended: bool) {
        self.greeted = true;
        self.envelope = None;
        if extended {
            let utf8 = if self.smtp.offers_utf8 {
                "250-SMTPUTF8\r\n"
            } else {
                ""
            };
            let offers = format!(
                "250-{HOST}\r\n250-PIPELINING\r\n250-SIZE {MAX_MESSAGE}\r\n250-8BITMIME\r\n{utf8}\
                 250-ENHANCEDSTATUSCODES\r\n250 AUTH PLAIN LOGIN\r\n"
            );
            self.out.extend_from_slice(offers.as_bytes());
        } else {
            self.reply(250, "", HOST);
        }
    }

    fn authenticate(&mut self, step: Step) {
        match step {
            Step::Ask(question, dialogue) => {
                self.reply(334, "", question);
                self.expect = Expect::Auth(LineReceiver::new(Some(dialogue)));
            }
            Step::Credentials { name, password } => {
                self.authenticated = auth::good(self.smtp.user.as_ref(), &name, &password);
                if self.authenticated {
                    self.reply(235, "2.7.0", "Welcome");
                } else {
                    self.reply(535, "5.7.8", "Bad name or password");
                }
            }
            Step::Malformed => self.reply(501, "5.5.2", "Not the Base64 that the mechanism wants"),
            Step::Cancelled => self.reply(501, "5.7.0", "Cancelled"),
            Step::Unknown => self.reply(504, "5.5.4", "Mechanism not offered"),
        }
    }

    fn mail(&mut self, from: &MailFrom<String>) {
        if !self.greeted {
            self.reply(503, "5.5.1", "Say EHLO first");
        } else if self.smtp.user.is_some() && !self.authenticated {
            self.reply(530, "5.7.0", "Authentication required");
        } else if self.envelope.is_some() {
            self.reply(503, "5.5.1", "There is a sender already");
        } else if from.size > MAX_MESSAGE {
            self.reply(552, "5.3.4", "Message too big");
        } else {
            match Announced::by(from.flags, &from.address, self.smtp.offers_utf8) {
                Err(refusal) => refusal.write(&mut self.out),
                Ok(announced) => {
                    self.envelope = Some(Envelope {
                        sender: from.address.clone(),
                        receivers: Vec::new(),
                        announced,
                    });
                    self.reply(250, "2.1.0", "Sender OK");
                }
            }
        }
    }

    fn rcpt(&mut self, address: String) {
        let Some(envelope) = &mut self.envelope else {
            return self.reply(503, "5.5.1", "Say MAIL first");
        };
        if envelope.receivers.len() >= MAX_RECEIVERS {
            return self.reply(452, "4.5.3", "Too many receivers");
        }
        let refusal = envelope.announced.refusal_of_address(&address);
        if let Some(refusal) = refusal.or_else(|| mailbox_fate(&address)) {
            return refusal.write(&mut self.out);
        }
        envelope.receivers.push(address);
        self.reply(250, "2.1.5", "Receiver OK");
    }

    fn data(&mut self) {
        match &self.envelope {
            None => self.reply(503, "5.5.1", "Say MAIL first"),
            Some(envelope) if envelope.receivers.is_empty() => self.reply(554, "5.5.1", "No valid receivers"),
            Some(_) => {
                self.expect = Expect::Data {
                    receiver: DataReceiver::new(),
                    raw: Vec::new(),
                };
                self.reply(354, "", "Go on, end with a dot on its own line");
            }
        }
    }

    /// The final dot: records the message, or applies its fault.
    async fn finish(&mut self, raw: &[u8]) -> Next {
        let Some(envelope) = self.envelope.take() else {
            self.reply(503, "5.5.1", "Say MAIL first");
            return Next::GoOn;
        };
        if let Some(refusal) = envelope.announced.refusal_of_message(raw) {
            refusal.write(&mut self.out);
            return Next::GoOn;
        }
        let Verdict {
            before,
            after,
            effect,
            recorded,
        } = self.roll(SmtpStep::End, &envelope.receivers);
        self.smtp.context.pause(before).await;
        let queue_id = Uuid::now_v7().simple().to_string();
        if effect.is_none() || recorded {
            let messages = crate::mail::messages(raw, &envelope.sender, &envelope.receivers, &queue_id);
            if let Err(error) = self.smtp.context.receive(messages).await {
                tracing::error!(error = %error, "a mail was not received");
                self.reply(451, "4.3.0", "Cannot keep the message now");
                return Next::GoOn;
            }
        }
        self.smtp.context.pause(after).await;
        match effect {
            None => {
                self.reply(250, "2.0.0", format!("OK: queued as {queue_id}"));
                Next::GoOn
            }
            Some(effect) => self.suffer(effect),
        }
    }
}

/// Reads and ignores input until the client gives up.
async fn hang(stream: &mut TcpStream, shutdown: &CancellationToken, buffer: &mut [u8]) -> io::Result<()> {
    loop {
        tokio::select! {
            read = stream.read(buffer) => if read? == 0 { return Ok(()) },
            () = shutdown.cancelled() => return stream.set_zero_linger(),
        }
    }
}
