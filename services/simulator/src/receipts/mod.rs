//! Receipts: the simulated providers report the fate of a message some time after they received it, signed as the real
//! ones sign. As the real ones do, they repeat a report that is not answered 2xx.

mod sendgrid;
pub(crate) mod sns;
pub(crate) mod twilio;

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tokio_util::sync::CancellationToken;

use crate::faults::{Faults, ReceiptFault, Sent, SignatureFault, SmtpStep};
use crate::{Message, Provider, SimulatorError};

/// The time to the first repeat of a report; each further one takes twice as long.
const FIRST_REPEAT: Duration = Duration::from_millis(250);
/// The most times that a report is sent.
const MOST_TRIES: u32 = 8;
/// The longest time of a call.
const LONGEST_CALL: Duration = Duration::from_secs(15);

/// The settings of reports.
pub(crate) struct Settings {
    /// The time from a message's receipt to its reports; `None`: there are none.
    pub(crate) after: Option<Duration>,
    pub(crate) twilio_sid: String,
    pub(crate) twilio_token: String,
    /// The URL of SendGrid's event webhook; `None`: SendGrid reports nothing.
    pub(crate) sendgrid_url: Option<Url>,
    /// The private key of the webhook, PKCS #8 in PEM.
    pub(crate) sendgrid_key_pem: String,
    /// The topic of SES's events; `None`: SES reports nothing.
    pub(crate) sns: Option<sns::Topic>,
}

/// Sends reports; clones share it.
#[derive(Clone)]
pub(crate) struct Reports(Option<Arc<Reporter>>);

struct Reporter {
    after: Duration,
    http: reqwest::Client,
    twilio: twilio::Account,
    sendgrid: Option<sendgrid::Webhook>,
    sns: Option<sns::Topic>,
    faults: Faults,
    shutdown: CancellationToken,
}

/// A call of a provider.
pub(crate) struct Call {
    url: Url,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Reports {
    pub(crate) fn new(
        settings: Settings,
        faults: Faults,
        shutdown: CancellationToken,
    ) -> Result<Self, SimulatorError> {
        let Some(after) = settings.after else {
            return Ok(Self(None));
        };
        let webhook = settings.sendgrid_url;
        let webhook = webhook.map(|url| sendgrid::Webhook::new(url, &settings.sendgrid_key_pem));
        let reporter = Arc::new(Reporter {
            after,
            http: client()?,
            twilio: twilio::Account::new(settings.twilio_sid, &settings.twilio_token),
            sendgrid: webhook.transpose()?,
            sns: settings.sns,
            faults,
            shutdown,
        });
        let subscribing = Arc::clone(&reporter);
        tokio::spawn(async move {
            tokio::select! {
                () = subscribing.shutdown.cancelled() => {}
                () = subscribing.subscribe() => {}
            }
        });
        Ok(Self(Some(reporter)))
    }

    /// The messages of a transmission that will be reported.
    pub(crate) fn of(&self, messages: &[Message]) -> Vec<Message> {
        match &self.0 {
            None => Vec::new(),
            Some(reporter) => {
                let ours = messages.iter().filter(|message| match message.provider {
                    Provider::Twilio => true,
                    Provider::SendGrid => reporter.sendgrid.is_some(),
                    Provider::Ses => reporter.sns.is_some(),
                    Provider::Fcm | Provider::Apns | Provider::Smtp | Provider::Webhook => false,
                });
                ours.cloned().collect()
            }
        }
    }

    /// Reports messages once their time has come.
    pub(crate) fn report(&self, messages: Vec<Message>) {
        let Some(reporter) = &self.0 else { return };
        for message in messages {
            let reporter = Arc::clone(reporter);
            tokio::spawn(async move {
                tokio::select! {
                    () = reporter.shutdown.cancelled() => {}
                    () = reporter.report(&message) => {}
                }
            });
        }
    }
}

impl Reporter {
    /// Asks the subscriber of SES's topic to confirm, until it has done so.
    async fn subscribe(&self) {
        if let Some(topic) = &self.sns {
            send_until_taken(&self.http, &topic.confirmation()).await;
        }
    }

    async fn report(&self, message: &Message) {
        let fault = self.faults.receipt(&Sent {
            provider: message.provider,
            step: SmtpStep::End,
            to: &[&message.to],
        });
        let fault = fault.unwrap_or_default();
        tokio::time::sleep(self.after).await;
        if message.provider == Provider::Ses
            && let Some(topic) = &self.sns
            && !topic.is_confirmed().await
        {
            return tracing::warn!("an event of SES was dropped: its subscriber has not confirmed");
        }
        let mut calls = self.calls(message, &fault);
        if fault.reversed {
            calls.reverse();
        }
        for call in &calls {
            for _ in 0..fault.copies.unwrap_or(1) {
                send_until_taken(&self.http, call).await;
            }
        }
    }

    fn calls(&self, message: &Message, fault: &ReceiptFault) -> Vec<Call> {
        let is_forged = fault.signature == Some(SignatureFault::Wrong);
        match message.provider {
            Provider::Twilio => self.twilio.calls(message, fault, is_forged),
            Provider::SendGrid => self
                .sendgrid
                .as_ref()
                .map(|webhook| webhook.calls(message, fault, is_forged))
                .unwrap_or_default(),
            Provider::Ses => self
                .sns
                .as_ref()
                .map(|topic| topic.calls(message, fault, is_forged))
                .unwrap_or_default(),
            Provider::Fcm | Provider::Apns | Provider::Smtp | Provider::Webhook => Vec::new(),
        }
    }
}

/// Sends a call until it is answered 2xx. A call that is refused as not genuine is given up.
pub(crate) async fn send_until_taken(http: &reqwest::Client, call: &Call) {
    let mut wait = FIRST_REPEAT;
    for _ in 0..MOST_TRIES {
        let request = http.post(call.url.clone()).body(call.body.clone());
        let request = call
            .headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, value));
        match request.send().await {
            Ok(answer) if answer.status().is_success() => return,
            Ok(answer) if answer.status().as_u16() == 401 => {
                return tracing::debug!(url = %call.url, "a report was not taken for genuine");
            }
            Ok(answer) => {
                tracing::debug!(url = %call.url, status = %answer.status(), "a report is repeated");
            }
            Err(error) => tracing::debug!(url = %call.url, %error, "a report is repeated"),
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
    tracing::warn!(url = %call.url, tries = MOST_TRIES, "a report was not taken");
}

#[expect(
    clippy::disallowed_methods,
    reason = "the simulator does not depend on carillon-runtime, whose client this would be"
)]
pub(crate) fn client() -> Result<reqwest::Client, SimulatorError> {
    // An error means that another thread has installed the same provider before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .timeout(LONGEST_CALL)
        .no_proxy()
        .build();
    client.map_err(SimulatorError::Client)
}
