//! The events of Amazon SES's event publishing
//! (<https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html>). The tags of a mail come back in each
//! of its events, if the mail was sent through a configuration set.

use std::collections::BTreeMap;

use carillon_domain::{DeliveryStatus, Timestamp, suppression::SuppressionReason};
use serde::Deserialize;

use super::reference::joined;
use crate::receipt::{Receipt, ReceiptStep, SuppressedAddress, UnreadableCall};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "eventType")]
    name: String,
    mail: Mail,
    bounce: Option<Bounce>,
    complaint: Option<Complaint>,
    delivery: Option<Timed>,
    open: Option<Timed>,
    click: Option<Timed>,
    delivery_delay: Option<Delay>,
    reject: Option<Reject>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mail {
    message_id: Option<String>,
    timestamp: Option<Timestamp>,
    #[serde(default)]
    tags: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Timed {
    timestamp: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bounce {
    #[serde(rename = "bounceType")]
    kind: Option<String>,
    #[serde(rename = "bounceSubType")]
    sub_kind: Option<String>,
    #[serde(default)]
    bounced_recipients: Vec<Recipient>,
    timestamp: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Complaint {
    #[serde(rename = "complaintFeedbackType")]
    feedback: Option<String>,
    #[serde(default)]
    complained_recipients: Vec<Recipient>,
    timestamp: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delay {
    delay_type: Option<String>,
    timestamp: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Reject {
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recipient {
    email_address: String,
}

/// Reads the event in a notification. `id` is the notification's, which is the same in its repeats. A message of another form,
/// such as the one by which SES tries a new destination, leads to nothing.
pub(super) fn read(message: &str, id: &str) -> Result<Receipt, UnreadableCall> {
    let nothing = |reference, message_id| Receipt {
        reference,
        id: id.to_owned(),
        at: None,
        message_id,
        step: None,
        suppressed: None,
        opted_in: None,
    };
    let Ok(event) = serde_json::from_str::<Event>(message) else {
        return Ok(nothing(None, None));
    };
    let mut receipt = nothing(joined(&event.mail.tags), event.mail.message_id);
    let plain = ReceiptStep::plain;
    match event.name.as_str() {
        "Send" => {
            receipt.at = event.mail.timestamp;
            receipt.step = Some(ReceiptStep {
                detail: Some("the provider has passed the message on".to_owned()),
                ..plain(DeliveryStatus::Sent)
            });
        }
        "Delivery" => {
            receipt.at = event.delivery.and_then(|delivery| delivery.timestamp);
            receipt.step = Some(plain(DeliveryStatus::Delivered));
        }
        "Open" => {
            receipt.at = event.open.and_then(|open| open.timestamp);
            receipt.step = Some(plain(DeliveryStatus::Opened));
        }
        "Click" => {
            receipt.at = event.click.and_then(|click| click.timestamp);
            receipt.step = Some(plain(DeliveryStatus::Clicked));
        }
        "DeliveryDelay" => {
            let delay = event.delivery_delay.ok_or_else(|| lacks("deliveryDelay"))?;
            receipt.at = delay.timestamp;
            receipt.step = Some(ReceiptStep::of(
                DeliveryStatus::Sent,
                delay.delay_type.unwrap_or_else(|| "Undetermined".to_owned()),
                "the recipient's server puts the message off; the provider tries again",
            ));
        }
        "Bounce" => bounced(&mut receipt, event.bounce.ok_or_else(|| lacks("bounce"))?),
        "Complaint" => complained(&mut receipt, event.complaint.ok_or_else(|| lacks("complaint"))?),
        "Reject" => {
            let reason = event.reject.and_then(|reject| reject.reason);
            let code = reason.unwrap_or_else(|| "Reject".to_owned());
            receipt.step = Some(ReceiptStep::of(
                DeliveryStatus::Failed,
                code,
                "the provider has found a virus in the message",
            ));
        }
        "Rendering Failure" => {
            let detail = "the provider could not build the message";
            receipt.step = Some(ReceiptStep::of(
                DeliveryStatus::Failed,
                "RenderingFailure",
                detail,
            ));
        }
        // `Subscription` concerns SES's own contact lists.
        _ => {}
    }
    Ok(receipt)
}

fn lacks(member: &str) -> UnreadableCall {
    UnreadableCall(format!("expected the member {member} in the event"))
}

fn bounced(receipt: &mut Receipt, bounce: Bounce) {
    let is_permanent = bounce.kind.as_deref() == Some("Permanent");
    let word = |word: Option<String>| word.unwrap_or_else(|| "Undetermined".to_owned());
    let code = format!("{}/{}", word(bounce.kind), word(bounce.sub_kind));
    let detail = if is_permanent {
        "the recipient's server does not know the mailbox"
    } else {
        "the recipient's server refused the message"
    };
    receipt.at = bounce.timestamp;
    receipt.step = Some(ReceiptStep::of(DeliveryStatus::Bounced, code.clone(), detail));
    if is_permanent {
        receipt.suppressed = suppressed(bounce.bounced_recipients, SuppressionReason::HardBounce, code);
    }
}

fn complained(receipt: &mut Receipt, complaint: Complaint) {
    let code = complaint.feedback.unwrap_or_else(|| "complaint".to_owned());
    // The recipient has moved the message out of the spam folder.
    if code == "not-spam" {
        return;
    }
    let detail = "the recipient reported the message as unwanted";
    receipt.at = complaint.timestamp;
    receipt.step = Some(ReceiptStep::of(DeliveryStatus::Complained, code.clone(), detail));
    receipt.suppressed = suppressed(
        complaint.complained_recipients,
        SuppressionReason::Complaint,
        code,
    );
}

/// The address of a mail's only recipient.
fn suppressed(
    recipients: Vec<Recipient>,
    reason: SuppressionReason,
    code: String,
) -> Option<SuppressedAddress> {
    let [recipient] = <[Recipient; 1]>::try_from(recipients).ok()?;
    let address = recipient.email_address;
    let bare = address
        .rsplit_once('<')
        .and_then(|(_, rest)| rest.strip_suffix('>'));
    Some(SuppressedAddress {
        address: bare.unwrap_or(&address).to_owned(),
        reason,
        code,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::receipt::testing::summary;

    fn read_event(mut event: Value) -> Result<Receipt, UnreadableCall> {
        event["mail"] = json!({
            "timestamp": "2026-11-24T10:00:00.000Z", "messageId": "EXAMPLE7c191be45",
            "tags": {"ses:configuration-set": ["receipts"], "carillon_reference": ["R-1_"]},
        });
        read(&event.to_string(), "sns-1")
    }

    fn told(event: Value) -> String {
        summary(&read_event(event).unwrap())
    }

    fn bounce(kind: &str, sub: &str) -> Value {
        let recipient = json!({"emailAddress": "ada@example.com", "action": "failed", "status": "5.1.1", "diagnosticCode": "smtp; 550"});
        json!({"eventType": "Bounce", "bounce": {"bounceType": kind, "bounceSubType": sub, "bouncedRecipients": [recipient],
            "timestamp": "2026-11-24T10:00:07.000Z", "feedbackId": "f"}})
    }

    fn complaint(kind: &Value) -> Value {
        json!({"eventType": "Complaint", "complaint": {"complaintFeedbackType": kind, "timestamp": "2026-11-24T10:00:07.000Z",
            "complainedRecipients": [{"emailAddress": "Ada <ada@example.com>"}]}})
    }

    #[test]
    fn each_documented_event_has_its_meaning() {
        let dead = |code: &str| format!("bounced {code} hard_bounce ada@example.com");
        for (event, expected) in [
            (json!({"eventType": "Send", "send": {}}), "sent -".to_owned()),
            (
                json!({"eventType": "Delivery", "delivery": {"timestamp": "2026-11-24T10:00:05Z"}}),
                "delivered -".to_owned(),
            ),
            (bounce("Permanent", "General"), dead("Permanent/General")),
            (bounce("Permanent", "NoEmail"), dead("Permanent/NoEmail")),
            (bounce("Permanent", "Suppressed"), dead("Permanent/Suppressed")),
            (
                bounce("Permanent", "OnAccountSuppressionList"),
                dead("Permanent/OnAccountSuppressionList"),
            ),
            (
                bounce("Transient", "General"),
                "bounced Transient/General".to_owned(),
            ),
            (
                bounce("Transient", "MailboxFull"),
                "bounced Transient/MailboxFull".to_owned(),
            ),
            (
                bounce("Undetermined", "Undetermined"),
                "bounced Undetermined/Undetermined".to_owned(),
            ),
            (
                complaint(&json!("abuse")),
                "complained abuse complaint ada@example.com".to_owned(),
            ),
            (
                complaint(&Value::Null),
                "complained complaint complaint ada@example.com".to_owned(),
            ),
            (complaint(&json!("not-spam")), "nothing".to_owned()),
            (
                json!({"eventType": "Reject", "reject": {"reason": "Bad content"}}),
                "failed Bad content".to_owned(),
            ),
            (
                json!({"eventType": "Rendering Failure", "failure": {}}),
                "failed RenderingFailure".to_owned(),
            ),
            (
                json!({"eventType": "DeliveryDelay", "deliveryDelay": {"delayType": "MailboxFull", "timestamp": "2026-11-24T10:00:05Z"}}),
                "sent MailboxFull".to_owned(),
            ),
            (
                json!({"eventType": "Open", "open": {"timestamp": "2026-11-24T10:00:05Z"}}),
                "opened -".to_owned(),
            ),
            (
                json!({"eventType": "Click", "click": {"timestamp": "2026-11-24T10:00:05Z"}}),
                "clicked -".to_owned(),
            ),
            (
                json!({"eventType": "Subscription", "subscription": {}}),
                "nothing".to_owned(),
            ),
            (json!({"eventType": "Of a later year"}), "nothing".to_owned()),
        ] {
            assert_eq!(told(event.clone()), expected, "{event}");
        }
    }

    #[test]
    fn a_receipt_has_the_notifications_identity_the_events_time_and_the_tags_reference() {
        let receipt = read_event(bounce("Permanent", "General")).unwrap();
        assert_eq!(
            (receipt.id.as_str(), receipt.reference.as_deref()),
            ("sns-1", Some("R-1_"))
        );
        assert_eq!(receipt.at, Some("2026-11-24T10:00:07Z".parse().unwrap()));
        assert_eq!(receipt.message_id.as_deref(), Some("EXAMPLE7c191be45"));
    }

    #[test]
    fn a_message_that_is_no_event_leads_to_nothing_and_an_event_without_its_part_is_named() {
        for message in [
            "Successfully validated SNS topic for Amazon SES event publishing.",
            "{}",
            "[]",
        ] {
            let receipt = read(message, "sns-1").unwrap();
            assert_eq!((receipt.reference, receipt.step), (None, None), "{message}");
        }
        let refused = read_event(json!({"eventType": "Bounce"})).unwrap_err();
        assert_eq!(refused.0, "expected the member bounce in the event");
    }
}
