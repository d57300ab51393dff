//! The rules for a fault script beyond its types.

use axum::http::HeaderValue;
use serde::Serialize;

use super::{Action, Fault, MAX_RULES, Target};

const MAX_DELAY_MS: u64 = 600_000;
const MAX_CODE_BYTES: usize = 64;

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

/// All invalid fields; empty if the script is valid.
pub(super) fn check(faults: &[Fault]) -> Vec<InvalidField> {
    let mut invalid = Vec::new();
    if faults.len() > MAX_RULES {
        invalid.push(InvalidField {
            pointer: String::new(),
            code: "too-many",
            message: format!("a script has at most {MAX_RULES} rules"),
        });
    }
    for (index, fault) in faults.iter().enumerate() {
        let mut refuse = |field: &str, code: &'static str, message: &str| {
            invalid.push(InvalidField {
                pointer: format!("/{index}/{field}"),
                code,
                message: message.to_owned(),
            });
        };
        if !(fault.percent > 0.0 && fault.percent <= 100.0) {
            refuse("percent", "out-of-range", "must be more than 0 and at most 100");
        }
        if fault.delay_ms.is_some_and(|delay| delay > MAX_DELAY_MS) {
            refuse("delay_ms", "out-of-range", "must be at most 600000, ten minutes");
        }
        for (name, millis) in [("greylist_ms", fault.greylist_ms), ("idle_ms", fault.idle_ms)] {
            if millis.is_some_and(|millis| millis > MAX_DELAY_MS) {
                refuse(name, "out-of-range", "must be at most 600000, ten minutes");
            }
            if millis.is_some() && fault.provider != Target::Smtp {
                refuse(name, "not-asked", "only SMTP has it");
            }
        }
        if fault.at.is_some() && fault.provider != Target::Smtp {
            refuse("at", "not-asked", "only SMTP has steps");
        }
        if fault.field.is_some() && !matches!(fault.provider, Target::Fcm | Target::SendGrid) {
            refuse(
                "field",
                "not-asked",
                "only errors of FCM and SendGrid name a field",
            );
        }
        let is_header = |text: &String| HeaderValue::from_str(text).is_ok();
        if !fault.retry_after.as_ref().is_none_or(is_header) {
            refuse(
                "retry_after",
                "malformed",
                "must be a text that a header can have",
            );
        }
        if fault
            .recipients_percent
            .is_some_and(|percent| !(percent > 0.0 && percent <= 100.0))
        {
            refuse(
                "recipients_percent",
                "out-of-range",
                "must be more than 0 and at most 100",
            );
        }
        if fault.status.is_some_and(|status| !(400..=599).contains(&status)) {
            refuse("status", "out-of-range", "must be from 400 to 599");
        }
        match fault.action {
            Some(Action::Answer) if fault.status.is_none() => {
                refuse("status", "required", "an answer needs a status");
            }
            Some(Action::Hang | Action::Reset) if fault.status.is_some() => {
                refuse(
                    "status",
                    "not-answered",
                    "nothing is answered, so there is no status",
                );
            }
            None if [fault.delay_ms, fault.greylist_ms, fault.idle_ms] == [None; 3]
                && fault.status.is_none() =>
            {
                refuse(
                    "action",
                    "required",
                    "a rule needs an action, a status or a delay",
                );
            }
            _ => {}
        }
        if fault.status.is_none() && fault.greylist_ms.is_none() && fault.code.is_some() {
            refuse("code", "not-answered", "a code needs a status to come with");
        }
        if let Some(message) = fault.code.as_deref().and_then(|code| code_at_fault(fault, code)) {
            refuse("code", "malformed", message);
        }
    }
    invalid
}

fn code_at_fault(fault: &Fault, code: &str) -> Option<&'static str> {
    if code.is_empty() || code.len() > MAX_CODE_BYTES {
        return Some("must have 1 to 64 bytes");
    }
    match fault.provider {
        Target::Twilio if code.parse::<u32>().is_err() => Some("Twilio's codes are numbers"),
        Target::Fcm if !code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') => {
            Some("FCM's codes are written like QUOTA_EXCEEDED")
        }
        Target::Ses if !code.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            Some("SES's codes are written like TooManyRequestsException")
        }
        Target::Apns if !code.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            Some("APNs' reasons are written like TooManyRequests")
        }
        Target::SendGrid => Some("SendGrid's errors have no codes"),
        Target::Smtp if !enhanced_code_fits(code, fault.status) => {
            Some("must be an enhanced status code of the status' class, such as 4.7.1 for 451")
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
