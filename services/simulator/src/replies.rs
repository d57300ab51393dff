//! Messages that recipients send to a Twilio number. As Twilio does by default, STOP ends the messages from that number to the recipient
//! (21610), and START lets them go again; both are passed on to the account's webhook like any other text.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use reqwest::Url;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::SimulatorError;
use crate::faults::SignatureFault;
use crate::receipts::twilio::Account;
use crate::receipts::{client, send_until_taken};

/// Twilio's default words of opting out and in (<https://help.twilio.com/articles/223134027>).
const STOP_WORDS: [&str; 8] = [
    "STOP",
    "STOPALL",
    "UNSUBSCRIBE",
    "CANCEL",
    "END",
    "QUIT",
    "REVOKE",
    "OPTOUT",
];
const START_WORDS: [&str; 3] = ["START", "YES", "UNSTOP"];
/// The number that receives for a messaging service.
const NUMBER_OF_SERVICES: &str = "+15005550006";

/// A text message from a recipient.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reply {
    /// The recipient's number.
    pub(crate) from: String,
    /// The sender that it answers: a number, a short code, or a messaging service (`MG…`).
    pub(crate) to: String,
    /// The text.
    text: String,
    /// `wrong`: the call to the webhook has a wrong signature.
    #[serde(default)]
    signature: Option<SignatureFault>,
}

/// Takes replies; clones share it.
#[derive(Clone)]
pub(crate) struct Replies(Arc<Shared>);

struct Shared {
    /// The senders and recipients between which STOP holds, until the simulator ends.
    stopped: Mutex<HashSet<(String, String)>>,
    /// The webhook of all senders.
    webhook: Option<Url>,
    account: Account,
    http: reqwest::Client,
    shutdown: CancellationToken,
}

impl Replies {
    pub(crate) fn new(
        webhook: Option<Url>,
        account: Account,
        shutdown: CancellationToken,
    ) -> Result<Self, SimulatorError> {
        Ok(Self(Arc::new(Shared {
            stopped: Mutex::default(),
            webhook,
            account,
            http: client()?,
            shutdown,
        })))
    }

    /// Whether a recipient has stopped the messages of a sender.
    pub(crate) fn has_stopped(&self, sender: &str, recipient: &str) -> bool {
        self.0.stopped.lock().contains(&pair(sender, recipient))
    }

    /// Takes a reply, and passes it on in the background.
    pub(crate) fn take(&self, reply: &Reply) {
        let is_one_of = |words: &[&str]| {
            let text = reply.text.trim();
            words.iter().any(|word| text.eq_ignore_ascii_case(word))
        };
        if is_one_of(&STOP_WORDS) {
            self.0.stopped.lock().insert(pair(&reply.to, &reply.from));
        } else if is_one_of(&START_WORDS) {
            self.0.stopped.lock().remove(&pair(&reply.to, &reply.from));
        }
        self.pass_on(reply);
    }

    fn pass_on(&self, reply: &Reply) {
        let Some(url) = &self.0.webhook else { return };
        let mut url = url.clone();
        url.set_fragment(None);
        let sid = format!("SM{}", Uuid::now_v7().simple());
        let is_service = reply.to.starts_with("MG");
        let to = if is_service { NUMBER_OF_SERVICES } else { &reply.to };
        let mut given = vec![("Body", reply.text.as_str()), ("From", &reply.from), ("To", to)];
        if is_service {
            given.push(("MessagingServiceSid", &reply.to));
        }
        let is_forged = reply.signature == Some(SignatureFault::Wrong);
        let call = self.0.account.inbound(&url, &sid, &given, is_forged);
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            tokio::select! {
                () = shared.shutdown.cancelled() => {}
                () = send_until_taken(&shared.http, &call) => {}
            }
        });
    }
}

fn pair(sender: &str, recipient: &str) -> (String, String) {
    (sender.to_owned(), recipient.to_owned())
}
