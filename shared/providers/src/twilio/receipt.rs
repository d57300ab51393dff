//! Twilio's status callbacks: forms that name a message and its status, posted to the message's `StatusCallback`
//! (<https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks>). They may come repeatedly and in
//! any order, and further parameters may be added. Messages that recipients send come as calls of the same form (`inbound.rs`).

use std::collections::BTreeMap;

use carillon_domain::{DeliveryStatus, suppression::SuppressionReason};
use http::header::CONTENT_TYPE;
use url::form_urlencoded;

use super::{
    codes::{Meaning, meaning},
    inbound::{Parameters, RECEIVED, Sender},
};
use crate::receipt::{Callback, Receipt, ReceiptStep, SuppressedAddress, UnreadableCall};

/// The parameter of the callback's URL that has the signed reference.
pub(super) const REFERENCE: &str = "reference";

/// Reads a callback to the account of a sender.
pub(super) fn read(call: &Callback<'_>, sender: &Sender) -> Result<Receipt, UnreadableCall> {
    let parameters = parameters(call)?;
    let given = |names: [&str; 2]| {
        names
            .into_iter()
            .find_map(|name| parameters.get(name))
            .map(String::as_str)
    };
    // The second name of each parameter is the one in Twilio's older callbacks.
    let named = |names: [&str; 2]| {
        given(names).ok_or_else(|| UnreadableCall(format!("expected the parameter {}", names[0])))
    };
    let (sid, status) = (
        named(["MessageSid", "SmsSid"])?,
        named(["MessageStatus", "SmsStatus"])?,
    );
    if status == RECEIVED {
        return Ok(Receipt {
            reference: None,
            id: format!("{sid}/{status}"),
            at: None,
            message_id: Some(sid.to_owned()),
            step: None,
            suppressed: None,
            opted_in: sender.opted_in(&parameters),
        });
    }
    // A success has the code 0, or none.
    let code = given(["ErrorCode"; 2])
        .and_then(|code| code.parse::<u32>().ok())
        .filter(|code| *code != 0);
    let step = step(status, code);
    let suppressed = step.as_ref().and_then(|step| {
        let reason = suppression(step.status, code?)?;
        let address = given(["To"; 2]).filter(|to| to.starts_with('+'))?;
        Some(SuppressedAddress {
            address: address.to_owned(),
            reason,
            code: code?.to_string(),
        })
    });
    Ok(Receipt {
        reference: query(call).remove(REFERENCE),
        // A callback has no id of its own. A message has each status once, so message and status identify the receipt.
        id: format!("{sid}/{status}"),
        at: None,
        message_id: Some(sid.to_owned()),
        step,
        suppressed,
        opted_in: None,
    })
}

/// The step that follows from a status. Statuses before `sent` lead to none, because Carillon's own `sent` means that
/// Twilio has accepted the message. The callback `sent` proves this where the worker got no answer.
fn step(status: &str, code: Option<u32>) -> Option<ReceiptStep> {
    let failure = |status, usual: &str| {
        let detail = code.and_then(meaning).map_or(usual, |(_, detail)| detail);
        ReceiptStep {
            status,
            code: code.map(|code| code.to_string()),
            detail: Some(detail.to_owned()),
        }
    };
    Some(match status {
        "sent" => ReceiptStep {
            detail: Some("the provider has passed the message on".to_owned()),
            ..ReceiptStep::plain(DeliveryStatus::Sent)
        },
        // The carrier has accepted the message, and has reported no delivery for some time.
        "delivery_unknown" => ReceiptStep::of(
            DeliveryStatus::Sent,
            status,
            "the carrier reports no delivery of the message",
        ),
        "partially_delivered" | "delivered" => ReceiptStep::plain(DeliveryStatus::Delivered),
        "undelivered" | "failed" if code == Some(VALIDITY_EXPIRED) => {
            failure(DeliveryStatus::Expired, "the message came too late")
        }
        "undelivered" => failure(DeliveryStatus::Bounced, "the carrier did not deliver the message"),
        "failed" => failure(DeliveryStatus::Failed, "the provider could not send the message"),
        "canceled" => failure(
            DeliveryStatus::Cancelled,
            "the message was cancelled at the provider",
        ),
        "read" => ReceiptStep::plain(DeliveryStatus::Opened),
        // Other statuses lead to no step. `receiving` belongs to messages that the account itself receives.
        _ => return None,
    })
}

/// The code of a message whose validity period has ended in a queue.
const VALIDITY_EXPIRED: u32 = 30_036;

/// The consequence of a failure for the number.
fn suppression(status: DeliveryStatus, code: u32) -> Option<SuppressionReason> {
    if !matches!(status, DeliveryStatus::Bounced | DeliveryStatus::Failed) {
        return None;
    }
    match meaning(code)?.0 {
        Meaning::Gone => Some(SuppressionReason::HardBounce),
        Meaning::Stopped => Some(SuppressionReason::OptedOut),
        Meaning::Account
        | Meaning::Country
        | Meaning::Message
        | Meaning::Address
        | Meaning::Throttle
        | Meaning::ThrottleOfAddress
        | Meaning::Maintenance => None,
    }
}

/// The parameters of the body: a form, or a JSON object of texts.
fn parameters(call: &Callback<'_>) -> Result<Parameters, UnreadableCall> {
    if is_json(call) {
        let object: BTreeMap<String, serde_json::Value> = serde_json::from_slice(call.body)
            .map_err(|_| UnreadableCall("expected a JSON object".to_owned()))?;
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => Some(text),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let texts = object
            .into_iter()
            .filter_map(|(name, value)| Some((name, text(value)?)));
        return Ok(texts.collect());
    }
    Ok(form_urlencoded::parse(call.body).into_owned().collect())
}

pub(super) fn is_json(call: &Callback<'_>) -> bool {
    let media = call
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = media.and_then(|media| media.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

pub(super) fn query(call: &Callback<'_>) -> Parameters {
    let query = call.query.unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::{receipt::testing::summary, twilio::testing::config};

    fn read(call: &Callback<'_>) -> Result<Receipt, UnreadableCall> {
        super::read(call, &Sender::of(&config()))
    }

    fn read_form(form: &str) -> Result<Receipt, UnreadableCall> {
        read(&Callback {
            query: Some("delivery_id=d&reference=R-1_"),
            headers: &HeaderMap::new(),
            body: form.as_bytes(),
        })
    }

    fn told(form: &str) -> String {
        summary(&read_form(form).unwrap())
    }

    #[test]
    fn each_documented_status_has_its_meaning() {
        for (status, expected) in [
            ("accepted", "nothing"),
            ("scheduled", "nothing"),
            ("queued", "nothing"),
            ("sending", "nothing"),
            ("sent", "sent -"),
            ("delivery_unknown", "sent delivery_unknown"),
            ("delivered", "delivered -"),
            ("partially_delivered", "delivered -"),
            ("undelivered", "bounced -"),
            ("failed", "failed -"),
            ("canceled", "cancelled -"),
            ("read", "opened -"),
            ("receiving", "nothing"),
            ("received", "nothing"),
            ("of-a-later-year", "nothing"),
        ] {
            let form =
                format!("MessageSid=SM1&MessageStatus={status}&To=%2B491511234567&AccountSid=AC1&Later=x");
            assert_eq!(told(&form), expected, "{status}");
        }
    }

    #[test]
    fn the_code_of_a_failure_decides_about_the_number() {
        for (code, expected) in [
            (30_001, "bounced 30001"),
            (30_002, "bounced 30002"),
            (30_003, "bounced 30003"),
            (30_004, "bounced 30004"),
            (30_005, "bounced 30005 hard_bounce +491511234567"),
            (30_006, "bounced 30006 hard_bounce +491511234567"),
            (30_007, "bounced 30007"),
            (30_008, "bounced 30008"),
            (30_036, "expired 30036"),
            (21_610, "bounced 21610 opted_out +491511234567"),
            (21_614, "bounced 21614 hard_bounce +491511234567"),
            (0, "bounced -"),
        ] {
            let form =
                format!("MessageSid=SM1&MessageStatus=undelivered&To=%2B491511234567&ErrorCode={code}");
            assert_eq!(told(&form), expected, "{code}");
        }
        let form = "MessageSid=SM1&MessageStatus=failed&To=%2B491511234567&ErrorCode=21610";
        assert_eq!(told(form), "failed 21610 opted_out +491511234567");
        // A warning about a delivered message suppresses nothing, nor does a failure at an address of another channel.
        let form = "MessageSid=SM1&MessageStatus=delivered&To=%2B491511234567&ErrorCode=30005";
        assert_eq!(told(form), "delivered -");
        let form = "MessageSid=SM1&MessageStatus=failed&To=whatsapp%3A%2B491511234567&ErrorCode=21610";
        assert_eq!(told(form), "failed 21610");
    }

    #[test]
    fn a_receipt_has_the_reference_of_the_url_and_an_identity_that_repeats_share() {
        let receipt = read_form("MessageSid=SM1&MessageStatus=delivered&To=%2B49151").unwrap();
        assert_eq!(receipt.reference.as_deref(), Some("R-1_"));
        assert_eq!(
            (receipt.id.as_str(), receipt.message_id.as_deref()),
            ("SM1/delivered", Some("SM1"))
        );
        assert_eq!(
            read_form("SmsSid=SM1&SmsStatus=delivered&To=%2B49151").unwrap(),
            receipt
        );
    }

    #[test]
    fn start_to_the_accounts_number_is_an_opt_in_and_has_no_reference() {
        let form = "MessageSid=SM2&SmsStatus=received&From=%2B491511234567&To=%2B15550001111&Body=Start";
        let receipt = read_form(form).unwrap();
        assert_eq!(summary(&receipt), "nothing opted in +491511234567");
        assert_eq!(
            (receipt.reference.as_deref(), receipt.id.as_str()),
            (None, "SM2/received")
        );
        // A status callback whose parameters look like an inbound message is none.
        let form = "MessageSid=SM1&MessageStatus=sent&From=%2B491511234567&To=%2B15550001111&Body=START";
        assert_eq!(told(form), "sent -");
    }

    #[test]
    fn a_callback_as_json_means_the_same_as_a_form() {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/json; charset=utf-8"),
        );
        let body =
            br#"{"MessageSid":"SM1","MessageStatus":"undelivered","To":"+491511234567","ErrorCode":30005}"#;
        let call = Callback {
            query: Some("delivery_id=d&reference=R-1_"),
            headers: &headers,
            body,
        };
        let form = "MessageSid=SM1&MessageStatus=undelivered&To=%2B491511234567&ErrorCode=30005";
        assert_eq!(read(&call).unwrap(), read_form(form).unwrap());
        assert!(read(&Callback { body: b"[]", ..call }).is_err());
    }

    #[test]
    fn a_callback_without_message_or_status_names_the_missing_parameter() {
        let missing = |form: &str| read_form(form).unwrap_err().0;
        assert_eq!(missing("MessageStatus=sent"), "expected the parameter MessageSid");
        assert_eq!(missing("MessageSid=SM1"), "expected the parameter MessageStatus");
    }
}
