//! SendGrid's event webhook: a JSON list of events
//! (<https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event>). SendGrid puts a mail's custom arguments into each
//! of its events, and repeats a call for 24 hours.

use carillon_domain::{DeliveryStatus, Timestamp, suppression::SuppressionReason};
use serde::Deserialize;
use serde_json::Value;

use crate::receipt::{Receipt, ReceiptStep, SuppressedAddress, UnreadableCall};

/// An event, with the fields that Carillon uses.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "event")]
    name: String,
    sg_event_id: String,
    sg_message_id: Option<String>,
    /// Seconds since 1970.
    timestamp: Option<i64>,
    email: Option<String>,
    /// The type of a bounce: `bounce`, or `blocked` for a refusal that is temporary or concerns the message.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// An enhanced status code, such as `5.1.1`.
    status: Option<String>,
    /// The documented reason for which a mail was dropped.
    reason: Option<String>,
    sg_machine_open: Option<bool>,
    carillon_reference: Option<String>,
}

/// Reads a call.
pub(super) fn read(body: &[u8]) -> Result<Vec<Receipt>, UnreadableCall> {
    let events: Vec<Value> = serde_json::from_slice(body)
        .map_err(|_| UnreadableCall("expected a JSON list of events".to_owned()))?;
    // An event that cannot be read does not prevent the others from being recorded.
    let events = events.into_iter().map(serde_json::from_value::<Event>);
    Ok(events
        .map(|event| event.map_or_else(|_| foreign(), receipt))
        .collect())
}

/// An event that cannot be attributed.
fn foreign() -> Receipt {
    Receipt {
        reference: None,
        id: String::new(),
        at: None,
        message_id: None,
        step: None,
        suppressed: None,
        opted_in: None,
    }
}

fn receipt(event: Event) -> Receipt {
    let step = step(&event);
    let suppressed = event.email.as_ref().and_then(|email| {
        let reason = suppression(&event)?;
        Some(SuppressedAddress {
            address: email.clone(),
            reason,
            code: code(&event),
        })
    });
    Receipt {
        reference: event.carillon_reference,
        id: event.sg_event_id,
        // SendGrid states whole seconds. The end of the second is used, so that an event is not shown before its cause.
        at: event
            .timestamp
            .and_then(|seconds| Timestamp::from_timestamp(seconds, 999_999_000)),
        // The first part is the `X-Message-Id` that the worker has recorded.
        message_id: event
            .sg_message_id
            .and_then(|id| id.split('.').next().map(str::to_owned)),
        step,
        suppressed,
        opted_in: None,
    }
}

/// The code of a step: the enhanced status code, else the kind of the event.
fn code(event: &Event) -> String {
    let status = event.status.as_deref().filter(|status| !status.is_empty());
    status.or(event.kind.as_deref()).unwrap_or(&event.name).to_owned()
}

fn step(event: &Event) -> Option<ReceiptStep> {
    let with = |status, detail| Some(ReceiptStep::of(status, code(event), detail));
    match event.name.as_str() {
        "processed" => Some(ReceiptStep {
            detail: Some("the provider has passed the message on".to_owned()),
            ..ReceiptStep::plain(DeliveryStatus::Sent)
        }),
        "deferred" => with(
            DeliveryStatus::Sent,
            "the recipient's server puts the message off; the provider tries again for up to 72 hours",
        ),
        "delivered" => Some(ReceiptStep::plain(DeliveryStatus::Delivered)),
        "bounce" if is_hard(event) => with(
            DeliveryStatus::Bounced,
            "the recipient's server does not know the mailbox",
        ),
        "bounce" | "blocked" => with(
            DeliveryStatus::Bounced,
            "the recipient's server refused the message",
        ),
        "dropped" => with(DeliveryStatus::Failed, "the provider did not send the message"),
        "open" if event.sg_machine_open == Some(true) => Some(ReceiptStep::of(
            DeliveryStatus::Opened,
            "machine-open",
            "a machine has opened the message, which proves no reader",
        )),
        "open" => Some(ReceiptStep::plain(DeliveryStatus::Opened)),
        "click" => Some(ReceiptStep::plain(DeliveryStatus::Clicked)),
        "spamreport" => with(
            DeliveryStatus::Complained,
            "the recipient reported the message as unwanted",
        ),
        // `unsubscribe` concerns the address, not the message. `group_unsubscribe` and `group_resubscribe` concern
        // SendGrid's groups, which Carillon does not use.
        _ => None,
    }
}

/// Whether the bounce means that the mailbox does not exist. `blocked` does not: it is temporary or concerns the
/// message.
fn is_hard(event: &Event) -> bool {
    event.kind.as_deref() == Some("bounce")
}

fn suppression(event: &Event) -> Option<SuppressionReason> {
    match event.name.as_str() {
        "bounce" if is_hard(event) => Some(SuppressionReason::HardBounce),
        "spamreport" => Some(SuppressionReason::Complaint),
        "unsubscribe" => Some(SuppressionReason::OptedOut),
        // SendGrid drops a mail whose address is on one of its own suppression lists. These reasons are documented.
        "dropped" => match event.reason.as_deref()? {
            "Bounced Address" | "Invalid" => Some(SuppressionReason::HardBounce),
            "Spam Reporting Address" => Some(SuppressionReason::Complaint),
            "Unsubscribed Address" => Some(SuppressionReason::OptedOut),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::receipt::testing::summary;

    fn read_one(mut event: Value) -> Receipt {
        let common = json!({
            "email": "ada@example.com", "timestamp": 1_795_514_405, "sg_event_id": "e-1",
            "sg_message_id": "14c5d75ce93.filter0001.16648.5515E0B88.0", "smtp-id": "<x>", "category": ["shop"],
            "carillon_delivery_id": "d", "carillon_reference": "R-1_", "later": {"a": 1},
        });
        event
            .as_object_mut()
            .unwrap()
            .extend(common.as_object().unwrap().clone());
        read(json!([event]).to_string().as_bytes()).unwrap().remove(0)
    }

    fn told(event: Value) -> String {
        summary(&read_one(event))
    }

    #[test]
    fn each_documented_event_has_its_meaning() {
        for (event, expected) in [
            (json!({"event": "processed"}), "sent -"),
            (
                json!({"event": "deferred", "response": "450 try later", "attempt": "5"}),
                "sent deferred",
            ),
            (json!({"event": "delivered", "response": "250 OK"}), "delivered -"),
            (
                json!({"event": "bounce", "type": "bounce", "status": "5.1.1", "reason": "550 unknown", "bounce_classification": "Invalid Address"}),
                "bounced 5.1.1 hard_bounce ada@example.com",
            ),
            (
                json!({"event": "bounce", "type": "blocked", "status": "5.7.1"}),
                "bounced 5.7.1",
            ),
            (
                json!({"event": "bounce", "type": "blocked", "status": ""}),
                "bounced blocked",
            ),
            (json!({"event": "bounce", "status": "5.0.0"}), "bounced 5.0.0"),
            (json!({"event": "blocked"}), "bounced blocked"),
            (
                json!({"event": "dropped", "reason": "Bounced Address", "status": "5.0.0"}),
                "failed 5.0.0 hard_bounce ada@example.com",
            ),
            (
                json!({"event": "dropped", "reason": "Invalid"}),
                "failed dropped hard_bounce ada@example.com",
            ),
            (
                json!({"event": "dropped", "reason": "Spam Reporting Address"}),
                "failed dropped complaint ada@example.com",
            ),
            (
                json!({"event": "dropped", "reason": "Unsubscribed Address"}),
                "failed dropped opted_out ada@example.com",
            ),
            (
                json!({"event": "dropped", "reason": "Spam Content"}),
                "failed dropped",
            ),
            (
                json!({"event": "dropped", "reason": "Recipient List over Package Quota"}),
                "failed dropped",
            ),
            (json!({"event": "open", "sg_machine_open": false}), "opened -"),
            (
                json!({"event": "open", "sg_machine_open": true}),
                "opened machine-open",
            ),
            (
                json!({"event": "click", "url": "https://shop.example"}),
                "clicked -",
            ),
            (
                json!({"event": "spamreport"}),
                "complained spamreport complaint ada@example.com",
            ),
            (
                json!({"event": "unsubscribe"}),
                "nothing opted_out ada@example.com",
            ),
            (
                json!({"event": "group_unsubscribe", "asm_group_id": 10}),
                "nothing",
            ),
            (
                json!({"event": "group_resubscribe", "asm_group_id": 10}),
                "nothing",
            ),
            (json!({"event": "of-a-later-year"}), "nothing"),
        ] {
            assert_eq!(told(event.clone()), expected, "{event}");
        }
    }

    #[test]
    fn a_receipt_has_the_events_identity_and_time_and_the_id_that_the_worker_has_recorded() {
        let receipt = read_one(json!({"event": "delivered"}));
        assert_eq!(
            (receipt.id.as_str(), receipt.reference.as_deref()),
            ("e-1", Some("R-1_"))
        );
        assert_eq!(receipt.at, Some("2026-11-24T10:00:05.999999Z".parse().unwrap()));
        assert_eq!(receipt.message_id.as_deref(), Some("14c5d75ce93"));
    }

    #[test]
    fn an_event_that_cannot_be_read_does_not_cost_the_others() {
        let body = json!([7, {"event": "open"}, {"event": "delivered", "sg_event_id": "e-2", "carillon_reference": "R"}]);
        let receipts = read(body.to_string().as_bytes()).unwrap();
        let references: Vec<_> = receipts
            .iter()
            .map(|receipt| receipt.reference.as_deref())
            .collect();
        assert_eq!(references, [None, None, Some("R")]);
        assert!(read(b"{}").is_err() && read(b"[").is_err());
        assert_eq!(read(b"[]").unwrap(), []);
    }
}
