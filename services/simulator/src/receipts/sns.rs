//! Amazon SNS with one topic and one subscriber: the events of SES as notifications, signed with a certificate that this
//! simulator serves. As the real one, it sends notifications only after the subscriber has confirmed.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use reqwest::Url;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use rsa::pkcs8::EncodePrivateKey as _;
use rsa::{Pkcs1v15Sign, RsaPrivateKey};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use super::Call;
use crate::faults::ReceiptFault;
use crate::{Message, SimulatorError, clock};

/// The paths of the certificate, and of the confirmation of a subscription.
const CERTIFICATE: &str = "/SimpleNotificationService-simulator.pem";
const CONFIRM: &str = "/sns/confirm";
/// The prefixes of the digests that are signed (RFC 8017 §9.2, note 1).
const SHA1_PREFIX: &[u8] = b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14";
const SHA256_PREFIX: &[u8] = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
/// The longest wait for a subscriber's confirmation before a notification is dropped.
const PATIENCE: Duration = Duration::from_mins(1);

/// The settings of the topic.
pub(crate) struct Settings {
    /// The topic's ARN.
    pub(crate) topic: String,
    /// The subscriber; `None`: there is none.
    pub(crate) subscriber: Option<Url>,
    /// The URL at which the subscriber reaches this simulator.
    pub(crate) endpoint: Url,
    /// 1 (SHA-1) or 2 (SHA-256).
    pub(crate) signature_version: u8,
}

/// The topic; clones share it.
#[derive(Clone)]
pub(crate) struct Topic(Arc<Shared>);

struct Shared {
    settings: Settings,
    subscriber: Url,
    key: RsaPrivateKey,
    certificate: String,
    /// The token of the subscription.
    token: String,
    confirmed: watch::Sender<bool>,
}

impl Topic {
    /// The topic, if it has a subscriber.
    pub(crate) fn new(settings: Settings) -> Result<Option<Self>, SimulatorError> {
        let Some(subscriber) = settings.subscriber.clone() else {
            return Ok(None);
        };
        let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).map_err(|_| SimulatorError::SnsKey)?;
        let der = key.to_pkcs8_der().map_err(|_| SimulatorError::SnsKey)?;
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der.as_bytes().into(), &PKCS_RSA_SHA256)?;
        let params = CertificateParams::new(vec!["sns.amazonaws.com".to_owned()])?;
        let certificate = params.self_signed(&pair)?.pem();
        Ok(Some(Self(Arc::new(Shared {
            settings,
            subscriber,
            key,
            certificate,
            token: Uuid::now_v7().simple().to_string(),
            confirmed: watch::Sender::new(false),
        }))))
    }

    /// The certificate, and the confirmation of the subscription.
    pub(crate) fn routes(self) -> Router {
        Router::new()
            .route(CERTIFICATE, get(certificate))
            .route(CONFIRM, get(confirm))
            .with_state(self)
    }

    /// The call that asks the subscriber to confirm.
    pub(super) fn confirmation(&self) -> Call {
        let mut url = self.url(CONFIRM);
        url.query_pairs_mut()
            .append_pair("TopicArn", &self.0.settings.topic)
            .append_pair("Token", &self.0.token);
        let text = format!(
            "You have chosen to subscribe to the topic {}.",
            self.0.settings.topic
        );
        self.call("SubscriptionConfirmation", &text, Some(url.as_str()), false)
    }

    /// Waits until the subscriber has confirmed; `false` if it does not.
    pub(super) async fn is_confirmed(&self) -> bool {
        let mut confirmed = self.0.confirmed.subscribe();
        let waited = tokio::time::timeout(PATIENCE, confirmed.wait_for(|confirmed| *confirmed));
        waited.await.is_ok_and(|confirmed| confirmed.is_ok())
    }

    /// The notifications of a mail: `Send`, then its fate. A mail without a configuration set has none.
    pub(super) fn calls(&self, message: &Message, fault: &ReceiptFault, is_forged: bool) -> Vec<Call> {
        let Some(set) = message.datum("configuration_set") else {
            return Vec::new();
        };
        let fate = fault.report.as_deref().unwrap_or("Delivery");
        let notify = |(kind, code)| {
            let event = event(message, set, kind, code).to_string();
            self.call("Notification", &event, None, is_forged)
        };
        [("Send", None), (fate, fault.code.as_deref())]
            .into_iter()
            .map(notify)
            .collect()
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.0.settings.endpoint.clone();
        url.set_path(path);
        url
    }

    fn call(&self, kind: &str, message: &str, subscribe_url: Option<&str>, is_forged: bool) -> Call {
        let Shared {
            settings,
            subscriber,
            token,
            ..
        } = &*self.0;
        let version = settings.signature_version.to_string();
        let mut envelope = json!({
            "Type": kind,
            "MessageId": Uuid::now_v7().to_string(),
            "TopicArn": settings.topic,
            "Message": message,
            "Timestamp": clock::now().format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            "SignatureVersion": version,
            "SigningCertURL": self.url(CERTIFICATE).as_str(),
        });
        if let Some(url) = subscribe_url {
            envelope["SubscribeURL"] = url.into();
            envelope["Token"] = token.as_str().into();
        }
        envelope["Signature"] = self.signature(&envelope, is_forged).into();
        Call {
            url: subscriber.clone(),
            headers: vec![
                ("content-type", "text/plain; charset=UTF-8".to_owned()),
                ("x-amz-sns-message-type", kind.to_owned()),
                ("x-amz-sns-topic-arn", settings.topic.clone()),
            ],
            body: envelope.to_string(),
        }
    }

    fn signature(&self, envelope: &Value, is_forged: bool) -> String {
        let names = [
            "Message",
            "MessageId",
            "Subject",
            "SubscribeURL",
            "Timestamp",
            "Token",
            "TopicArn",
            "Type",
        ];
        let lines = names
            .iter()
            .filter_map(|name| Some(format!("{name}\n{}\n", envelope[*name].as_str()?)));
        let mut text: String = lines.collect();
        if is_forged {
            text.push('x');
        }
        let (hash, prefix) = match self.0.settings.signature_version {
            1 => (digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()), SHA1_PREFIX),
            _ => (digest(&SHA256, text.as_bytes()), SHA256_PREFIX),
        };
        let scheme = Pkcs1v15Sign {
            hash_len: Some(hash.as_ref().len()),
            prefix: prefix.into(),
        };
        // A key of 2,048 bits signs every digest.
        let signature = self.0.key.sign(scheme, hash.as_ref()).unwrap_or_default();
        STANDARD.encode(signature)
    }
}

/// An event of SES.
fn event(message: &Message, set: &str, kind: &str, code: Option<&str>) -> Value {
    let now = clock::now().format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let recipients = json!([{"emailAddress": message.to}]);
    let mut tags = message.data.get("tags").cloned().unwrap_or_else(|| json!({}));
    for value in tags
        .as_object_mut()
        .into_iter()
        .flat_map(serde_json::Map::values_mut)
    {
        *value = json!([value.take()]);
    }
    tags["ses:configuration-set"] = json!([set]);
    let mut event = json!({
        "eventType": kind,
        "mail": {
            "timestamp": message.received_at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            "messageId": message.provider_message_id,
            "destination": [message.to],
            "tags": tags,
        },
    });
    match kind {
        "Bounce" => {
            let (bounce, sub) = code
                .and_then(|code| code.split_once('/'))
                .unwrap_or(("Permanent", "General"));
            event["bounce"] = json!({"bounceType": bounce, "bounceSubType": sub, "bouncedRecipients": recipients, "timestamp": now});
        }
        "Complaint" => {
            let feedback = code.unwrap_or("abuse");
            event["complaint"] = json!({"complaintFeedbackType": feedback, "complainedRecipients": recipients, "timestamp": now});
        }
        "Delivery" => {
            event["delivery"] =
                json!({"timestamp": now, "recipients": [message.to], "smtpResponse": "250 OK"});
        }
        "DeliveryDelay" => {
            event["deliveryDelay"] = json!({"timestamp": now, "delayType": code.unwrap_or("MailboxFull")});
        }
        "Open" => event["open"] = json!({"timestamp": now, "userAgent": "simulator"}),
        "Click" => event["click"] = json!({"timestamp": now, "link": "https://example.com/"}),
        "Reject" => event["reject"] = json!({"reason": code.unwrap_or("Bad content")}),
        _ => {}
    }
    event
}

async fn certificate(State(topic): State<Topic>) -> impl IntoResponse {
    (
        [("content-type", "application/x-pem-file")],
        topic.0.certificate.clone(),
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Confirmation {
    topic_arn: String,
    token: String,
}

async fn confirm(State(topic): State<Topic>, Query(asked): Query<Confirmation>) -> StatusCode {
    if asked.topic_arn != topic.0.settings.topic || asked.token != topic.0.token {
        return StatusCode::NOT_FOUND;
    }
    topic.0.confirmed.send_replace(true);
    StatusCode::OK
}
