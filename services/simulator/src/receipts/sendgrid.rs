//! SendGrid's event webhook: events as JSON, signed over the timestamp and the body by a key of the curve P-256.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Call;
use crate::faults::ReceiptFault;
use crate::{Message, SimulatorError, clock};

/// The webhook of the account.
pub(super) struct Webhook {
    url: Url,
    key: EcdsaKeyPair,
    random: SystemRandom,
}

impl Webhook {
    pub(super) fn new(url: Url, key_pem: &str) -> Result<Self, SimulatorError> {
        let random = SystemRandom::new();
        let der =
            PrivatePkcs8KeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|_| SimulatorError::WebhookKey)?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der.secret_pkcs8_der(), &random)
            .map_err(|_| SimulatorError::WebhookKey)?;
        Ok(Self { url, key, random })
    }

    /// The calls of a message: `processed`, then its fate.
    pub(super) fn calls(&self, message: &Message, fault: &ReceiptFault, is_forged: bool) -> Vec<Call> {
        let fate = fault.report.as_deref().unwrap_or("delivered");
        [("processed", None), (fate, fault.code.as_deref())]
            .into_iter()
            .filter_map(|event| self.call(message, event, is_forged))
            .collect()
    }

    fn call(&self, message: &Message, (event, code): (&str, Option<&str>), is_forged: bool) -> Option<Call> {
        let body = json!([described(message, event, code)]).to_string();
        let timestamp = clock::now().timestamp().to_string();
        let signed = [
            timestamp.as_bytes(),
            body.as_bytes(),
            if is_forged { b"x" } else { b"" },
        ]
        .concat();
        let signature = self.key.sign(&self.random, &signed).ok()?;
        Some(Call {
            url: self.url.clone(),
            headers: vec![
                ("content-type", "application/json".to_owned()),
                (
                    "x-twilio-email-event-webhook-signature",
                    STANDARD.encode(signature),
                ),
                ("x-twilio-email-event-webhook-timestamp", timestamp),
            ],
            body,
        })
    }
}

/// An event. SendGrid puts the custom arguments of a mail beside its own members.
fn described(message: &Message, event: &str, code: Option<&str>) -> Value {
    let custom_args = message.data.get("custom_args").and_then(Value::as_object);
    let mut described: Map<String, Value> = custom_args.cloned().unwrap_or_default();
    let own = json!({
        "email": message.to,
        "event": event,
        "sg_event_id": Uuid::now_v7().simple().to_string(),
        "sg_message_id": format!("{}.filter0001.1.1.0", message.provider_message_id),
        "smtp-id": message.header("message-id"),
        "timestamp": clock::now().timestamp(),
    });
    described.extend(own.as_object().cloned().unwrap_or_default());
    let members = match event {
        "bounce" => {
            json!({"type": "bounce", "status": code.unwrap_or("5.1.1"), "reason": "550 unknown user", "bounce_classification": "Invalid Address"})
        }
        "blocked" => {
            json!({"event": "bounce", "type": "blocked", "status": code.unwrap_or("5.7.1"), "reason": "550 blocked"})
        }
        "dropped" => json!({"reason": code.unwrap_or("Bounced Address"), "status": "5.0.0"}),
        "deferred" => json!({"response": "450 try again later", "attempt": "1"}),
        "open" => json!({"sg_machine_open": false, "useragent": "simulator", "ip": "127.0.0.1"}),
        "click" => json!({"url": "https://example.com/", "useragent": "simulator", "ip": "127.0.0.1"}),
        "delivered" => json!({"response": "250 OK"}),
        _ => json!({}),
    };
    described.extend(members.as_object().cloned().unwrap_or_default());
    Value::Object(described)
}
