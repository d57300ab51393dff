//! An SMTP relay with scripted replies, which records commands and mails.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use carillon_domain::SystemClock;
use carillon_providers::{SmtpConfig, SmtpTls};
use carillon_workers::SmtpSender;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::http_server::listen;

/// A reply.
#[derive(Clone, Copy)]
pub(crate) enum Say {
    /// The reply of a relay that accepts everything.
    Usual,
    /// This reply. After a 421 the relay closes the connection, as the code announces.
    Line(&'static str),
    /// Sends this reply and closes the connection.
    Goodbye(&'static str),
    HangUp,
    Nothing,
}

#[derive(Default)]
struct Shared {
    script: Mutex<HashMap<&'static str, VecDeque<Say>>>,
    heard: Mutex<Vec<String>>,
    mails: Mutex<Vec<String>>,
}

/// The relay.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Relay {
    pub(crate) async fn start() -> Self {
        let listener = listen().await;
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let served = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Talk::with(stream, Arc::clone(&served)));
            }
        });
        Self { address, shared }
    }

    /// Scripts the next replies to a verb: `banner` at the beginning, `.` to the end of a mail.
    pub(crate) fn says(&self, verb: &'static str, says: impl IntoIterator<Item = Say>) {
        self.shared.script.lock().entry(verb).or_default().extend(says);
    }

    /// All commands received, and `connect` for each connection.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.shared.heard.lock().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        let heard = self.shared.heard.lock();
        heard.iter().filter(|line| *line == "connect").count()
    }

    /// All mails received completely, as they came over the wire.
    pub(crate) fn mails(&self) -> Vec<String> {
        self.shared.mails.lock().clone()
    }

    pub(crate) fn sender(&self) -> SmtpSender {
        open(&config(self.address))
    }

    /// A sender with this request timeout.
    pub(crate) fn sender_within(&self, request_timeout: Duration) -> SmtpSender {
        open(&SmtpConfig {
            request_timeout,
            ..config(self.address)
        })
    }
}

/// A sender with these settings.
pub(crate) fn open(config: &SmtpConfig) -> SmtpSender {
    SmtpSender::new(config, Arc::new(SystemClock)).unwrap()
}

pub(crate) fn config(address: SocketAddr) -> SmtpConfig {
    SmtpConfig {
        host: address.ip().to_string().parse().unwrap(),
        port: address.port().try_into().unwrap(),
        tls: SmtpTls::None,
        username: None,
        password: None,
        from: "Shop <shop@shop.example>".parse().unwrap(),
        max_connections: 2.try_into().unwrap(),
        request_timeout: Duration::from_secs(5),
        rate_per_second: None,
    }
}

/// One connection.
struct Talk {
    lines: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
    shared: Arc<Shared>,
}

impl Talk {
    async fn with(stream: TcpStream, shared: Arc<Shared>) {
        let (read, write) = stream.into_split();
        let mut talk = Self {
            lines: BufReader::new(read).lines(),
            write,
            shared,
        };
        talk.shared.heard.lock().push("connect".to_owned());
        // `None` means that the client has closed the connection.
        talk.run().await;
    }

    async fn run(&mut self) -> Option<()> {
        self.say("banner", "220 relay").await?;
        loop {
            let line = self.lines.next_line().await.ok()??;
            let verb = line.split(' ').next().unwrap_or_default().to_uppercase();
            self.shared.heard.lock().push(line);
            match verb.as_str() {
                "EHLO" => {
                    self.say("EHLO", "250-relay\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN")
                        .await?
                }
                "AUTH" => self.say("AUTH", "235 2.7.0 welcome").await?,
                "MAIL" => self.say("MAIL", "250 2.1.0 fine").await?,
                "RCPT" => self.say("RCPT", "250 2.1.5 fine").await?,
                "DATA" => {
                    if self.say("DATA", "354 go on").await?.starts_with('3') {
                        self.take_mail().await?;
                        self.say(".", "250 2.0.0 queued").await?;
                    }
                    continue;
                }
                "RSET" => self.say("RSET", "250 2.0.0 fine").await?,
                _ => self.say("QUIT", "221 2.0.0 bye").await?,
            };
        }
    }

    async fn take_mail(&mut self) -> Option<()> {
        let mut mail = String::new();
        loop {
            let line = self.lines.next_line().await.ok()??;
            if line == "." {
                self.shared.mails.lock().push(mail);
                return Some(());
            }
            mail.push_str(&line);
            mail.push('\n');
        }
    }

    /// Sends the scripted reply, or the usual one; returns `None` when the connection ends.
    async fn say(&mut self, verb: &'static str, usual: &'static str) -> Option<&'static str> {
        let scripted = self
            .shared
            .script
            .lock()
            .get_mut(verb)
            .and_then(VecDeque::pop_front);
        let line = match scripted.unwrap_or(Say::Usual) {
            Say::Usual => usual,
            Say::Line(line) => line,
            Say::Goodbye(line) => {
                let _ = self.write.write_all(format!("{line}\r\n").as_bytes()).await;
                return None;
            }
            Say::HangUp => return None,
            Say::Nothing => std::future::pending().await,
        };
        self.write
            .write_all(format!("{line}\r\n").as_bytes())
            .await
            .ok()?;
        (!line.starts_with("421")).then_some(line)
    }
}
