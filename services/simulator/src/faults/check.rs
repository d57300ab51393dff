//! The rules for a fault script beyond its types.

use axum::http::HeaderValue;
use serde::Serialize;
use serde_json::Value;

use super::{Action, Fault, MAX_RULES, ReceiptFault, SmtpStep, Target};

const MAX_DELAY_MS: u64 = 600_000;
const MAX_CODE_BYTES: usize = 64;
/// The most characters of a value that an error repeats.
const MAX_ECHO: usize = 100;

/// An invalid field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InvalidField {
    /// JSON pointer of the field, such as `/0/percent`.
    pub pointer: String,
    /// A stable name of the error.
    pub code: &'static str,
    /// The error as a sentence.
    pub message: String,
}

impl InvalidField {
    /// The error of a value, which the message repeats as JSON, cut to 100 characters.
    pub(crate) fn new(pointer: String, code: &'static str, expected: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_string(&value).unwrap_or_default();
        let mut shown: String = value.chars().take(MAX_ECHO).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        Self {
            pointer,
            code,
            message: format!("expected {expected}, not {shown}"),
        }
    }
}

/// All invalid fields; empty if the script is valid.
pub(super) fn check(faults: &[Fault]) -> Vec<InvalidField> {
    let mut invalid = Vec::new();
    if faults.len() > MAX_RULES {
        let expected = format!("at most {MAX_RULES} rules");
        invalid.push(InvalidField::new(
            String::new(),
            "too-many",
            &expected,
            faults.len(),
        ));
    }
    for (index, fault) in faults.iter().enumerate() {
        let mut refuse = |field: &str, code: &'static str, expected: &str, value: &dyn Shown| {
            let pointer = format!("/{index}/{field}");
            invalid.push(InvalidField::new(pointer, code, expected, value.shown()));
        };
        check_fields(fault, &mut refuse);
        check_answer(fault, &mut refuse);
    }
    invalid
}

/// Notes an invalid field: its name, a stable name of the error, the expected value and the given one.
type Refuse<'a> = dyn FnMut(&str, &'static str, &str, &dyn Shown) + 'a;

/// Checks the fields that select messages, and those that delay them.
fn check_fields(fault: &Fault, refuse: &mut Refuse<'_>) {
    const PERCENT: &str = "more than 0 and at most 100";
    const MILLIS: &str = "at most 600000 milliseconds, which are ten minutes";
    let is_smtp = fault.provider == Target::Smtp;
    let percents = [
        ("percent", Some(fault.percent)),
        ("recipients_percent", fault.recipients_percent),
    ];
    for (name, percent) in percents {
        if percent.is_some_and(|percent| !(percent > 0.0 && percent <= 100.0)) {
            refuse(name, "out-of-range", PERCENT, &percent);
        }
    }
    let waits = [
        ("delay_ms", fault.delay_ms, true),
        ("greylist_ms", fault.greylist_ms, is_smtp),
        ("idle_ms", fault.idle_ms, is_smtp),
    ];
    for (name, millis, is_asked) in waits {
        if millis.is_some_and(|millis| millis > MAX_DELAY_MS) {
            refuse(name, "out-of-range", MILLIS, &millis);
        }
        if millis.is_some() && !is_asked {
            refuse(name, "not-asked", "no value, because only SMTP has it", &millis);
        }
    }
    if fault.to.is_some() && matches!(fault.at, Some(SmtpStep::Connect | SmtpStep::Mail)) {
        let expected = "a step at which the recipient is known (rcpt, data or end) beside to";
        refuse("at", "conflict", expected, &fault.at);
    }
    if fault.at.is_some() && !is_smtp {
        refuse(
            "at",
            "not-asked",
            "no value, because only SMTP has steps",
            &fault.at,
        );
    }
    if fault.field.is_some() && !matches!(fault.provider, Target::Fcm | Target::SendGrid) {
        let expected = "no value, because only errors of FCM and SendGrid name a field";
        refuse("field", "not-asked", expected, &fault.field);
    }
    let is_header = |text: &String| HeaderValue::from_str(text).is_ok();
    if !fault.retry_after.as_ref().is_none_or(is_header) {
        let expected = "seconds, or another text that a header can have";
        refuse("retry_after", "malformed", expected, &fault.retry_after);
    }
}

/// Checks the action, the status and the code.
fn check_answer(fault: &Fault, refuse: &mut Refuse<'_>) {
    if fault.status.is_some_and(|status| !(400..=599).contains(&status)) {
        refuse(
            "status",
            "out-of-range",
            "a status from 400 to 599",
            &fault.status,
        );
    }
    if let Some(receipt) = &fault.receipt {
        check_receipt(fault, receipt, refuse);
        return;
    }
    match fault.action {
        Some(Action::Answer) if fault.status.is_none() => {
            let expected = "a status from 400 to 599 for the action answer";
            refuse("status", "required", expected, &fault.status);
        }
        Some(Action::Hang | Action::Reset) if fault.status.is_some() => {
            let expected = "no value, because nothing is answered";
            refuse("status", "not-answered", expected, &fault.status);
        }
        None if [fault.delay_ms, fault.greylist_ms, fault.idle_ms] == [None; 3] && fault.status.is_none() => {
            let expected = "answer, hang, reset or goaway, or else a status or a delay_ms in the rule";
            refuse("action", "required", expected, &fault.action);
        }
        _ => {}
    }
    if fault.status.is_none() && fault.greylist_ms.is_none() && fault.code.is_some() {
        refuse("code", "not-answered", "a status beside the code", &fault.code);
    }
    if let Some(expected) = fault.code.as_deref().and_then(|code| code_at_fault(fault, code)) {
        refuse("code", "malformed", expected, &fault.code);
    }
}

/// Checks a rule about receipts, which has neither an answer nor a delay.
fn check_receipt(fault: &Fault, receipt: &ReceiptFault, refuse: &mut Refuse<'_>) {
    if receipt.copies.is_some_and(|copies| !(1..=10).contains(&copies)) {
        refuse(
            "receipt/copies",
            "out-of-range",
            "a number from 1 to 10",
            &receipt.copies,
        );
    }
    let others = [fault.delay_ms, fault.greylist_ms, fault.idle_ms];
    if fault.action.is_some() || fault.status.is_some() || others != [None; 3] {
        let expected = "no value beside an action, a status or a delay";
        refuse("receipt", "not-alone", expected, receipt);
    }
    if !matches!(
        fault.provider,
        Target::Twilio | Target::SendGrid | Target::Ses | Target::Any
    ) {
        let expected = "no value, because only Twilio, SendGrid and SES report the fate of messages";
        refuse("receipt", "not-asked", expected, receipt);
    }
}

/// A value as an error shows it.
trait Shown {
    fn shown(&self) -> Value;
}

impl<T: Serialize> Shown for T {
    fn shown(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// The expected form of the code; `None` if the rule's code has the form of its provider.
fn code_at_fault(fault: &Fault, code: &str) -> Option<&'static str> {
    if code.is_empty() || code.len() > MAX_CODE_BYTES {
        return Some("1 to 64 bytes");
    }
    match fault.provider {
        Target::Twilio if code.parse::<u32>().is_err() => {
            Some("a number, as Twilio's codes are, such as 20429")
        }
        Target::Fcm if !code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') => {
            Some("a code of FCM, such as QUOTA_EXCEEDED")
        }
        Target::Ses if !code.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            Some("an error type of SES, such as TooManyRequestsException")
        }
        Target::Apns if !code.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            Some("a reason of APNs, such as TooManyRequests")
        }
        Target::SendGrid => Some("no value, because SendGrid's errors have no codes"),
        Target::Webhook => Some("no value, because the answers of endpoints have no codes"),
        Target::Smtp if !enhanced_code_fits(code, fault.status) => {
            Some("an enhanced status code of the status' class, such as 4.7.1 for 451")
        }
        _ => None,
    }
}

/// Whether the code follows RFC 3463: `class.subject.detail`, whose class is the first digit of the reply code.
pub(crate) fn enhanced_code_fits(code: &str, status: Option<u16>) -> bool {
    let parts: Vec<Option<u16>> = code.split('.').map(|part| part.parse().ok()).collect();
    match parts[..] {
        [Some(class), Some(subject), Some(detail)] => {
            subject < 1_000 && detail < 1_000 && status.is_none_or(|status| status / 100 == class)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(fault: Fault) -> Vec<String> {
        check(&[fault]).into_iter().map(|field| field.pointer).collect()
    }

    #[test]
    fn a_rule_that_does_nothing_is_refused() {
        assert_eq!(pointers(Fault::every(Target::Any)), ["/0/action"]);
    }

    #[test]
    fn a_rule_for_a_recipient_at_a_step_before_it_is_known_is_refused() {
        let at = |at| Fault {
            to: Some("x@y.example".to_owned()),
            at: Some(at),
            status: Some(550),
            ..Fault::every(Target::Smtp)
        };
        assert_eq!(pointers(at(SmtpStep::Mail)), ["/0/at"]);
        assert_eq!(pointers(at(SmtpStep::Connect)), ["/0/at"]);
        assert_eq!(pointers(at(SmtpStep::Rcpt)), [""; 0]);
    }

    #[test]
    fn an_answer_without_a_status_is_refused() {
        let fault = Fault {
            action: Some(Action::Answer),
            ..Fault::every(Target::Fcm)
        };
        assert_eq!(pointers(fault), ["/0/status"]);
    }

    #[test]
    fn every_number_has_its_bounds_and_all_faults_are_named_at_once() {
        let fault = Fault {
            percent: f64::NAN,
            status: Some(200),
            retry_after: Some("\n".to_owned()),
            delay_ms: Some(u64::MAX),
            ..Fault::every(Target::Any)
        };
        assert_eq!(
            pointers(fault),
            ["/0/percent", "/0/delay_ms", "/0/retry_after", "/0/status"]
        );
        let messages: Vec<String> = check(&[Fault {
            percent: 101.0,
            status: Some(200),
            code: Some("busy".to_owned()),
            ..Fault::every(Target::Twilio)
        }])
        .into_iter()
        .map(|field| field.message)
        .collect();
        assert_eq!(
            messages,
            [
                "expected more than 0 and at most 100, not 101.0",
                "expected a status from 400 to 599, not 200",
                "expected a number, as Twilio's codes are, such as 20429, not \"busy\"",
            ]
        );
    }

    #[test]
    fn codes_are_written_as_their_provider_writes_them() {
        let fault = |provider, code: &str| Fault {
            status: Some(451),
            code: Some(code.to_owned()),
            ..Fault::every(provider)
        };
        assert_eq!(pointers(fault(Target::Twilio, "busy")), ["/0/code"]);
        assert_eq!(pointers(fault(Target::Fcm, "quota exceeded")), ["/0/code"]);
        assert_eq!(pointers(fault(Target::Smtp, "5.7.1")), ["/0/code"]);
        assert!(pointers(fault(Target::Smtp, "4.7.1")).is_empty());
        assert_eq!(pointers(fault(Target::SendGrid, "429")), ["/0/code"]);
        assert_eq!(pointers(fault(Target::Webhook, "429")), ["/0/code"]);
        assert_eq!(pointers(fault(Target::Ses, "Too Many")), ["/0/code"]);
        assert!(pointers(fault(Target::Ses, "LimitExceededException")).is_empty());
        assert!(pointers(fault(Target::Twilio, "20429")).is_empty());
        assert!(pointers(fault(Target::Fcm, "UNAVAILABLE")).is_empty());
    }

    #[test]
    fn a_script_of_too_many_rules_is_refused() {
        let rule = Fault {
            status: Some(500),
            ..Fault::every(Target::Any)
        };
        let invalid = check(&vec![rule; MAX_RULES + 1]);
        assert_eq!(
            invalid.iter().map(|field| field.code).collect::<Vec<_>>(),
            ["too-many"]
        );
    }
}
