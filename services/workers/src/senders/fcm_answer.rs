//! What FCM's answers mean. The code is `errorCode` of the detail whose type ends in `fcm.v1.FcmError`; where it is
//! missing, the HTTP status decides.

use std::time::Duration;

use serde::Deserialize;

use super::http::Answer;
use crate::outcome::{Refusal, SendOutcome};

#[derive(Deserialize)]
struct Sent {
    name: String,
}

#[derive(Deserialize)]
struct Failed {
    error: Error,
}

#[derive(Deserialize)]
struct Error {
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(rename = "@type", default)]
    kind: String,
    #[serde(rename = "errorCode")]
    error_code: Option<String>,
    #[serde(rename = "fieldViolations", default)]
    field_violations: Vec<Violation>,
    /// Of a `QuotaFailure`.
    #[serde(default)]
    violations: Vec<QuotaViolation>,
}

#[derive(Deserialize)]
struct QuotaViolation {
    /// What has no quota left, such as `project:x` or `device:y`.
    #[serde(default)]
    subject: String,
}

#[derive(Deserialize)]
struct Violation {
    #[serde(default)]
    field: String,
}

/// Without a `Retry-After`, a project over its quota waits this long.
const QUOTA_WAIT: Duration = Duration::from_mins(1);

fn details(answer: &Answer) -> Vec<Detail> {
    serde_json::from_slice::<Failed>(&answer.body)
        .map(|failed| failed.error.details)
        .unwrap_or_default()
}

fn error_code(details: &[Detail]) -> Option<&str> {
    details
        .iter()
        .find(|detail| detail.kind.ends_with("fcm.v1.FcmError"))?
        .error_code
        .as_deref()
}

/// Whether our own token was refused, in contrast to a credential that FCM holds for another service.
pub(super) fn is_unauthenticated(answer: &Answer) -> bool {
    answer.status == 401 && error_code(&details(answer)).is_none()
}

pub(super) fn classify(answer: &Answer) -> SendOutcome {
    if (200..300).contains(&answer.status) {
        let sent = serde_json::from_slice::<Sent>(&answer.body).ok();
        return SendOutcome::Ok {
            message_id: sent.map(|sent| sent.name),
        };
    }
    let details = details(answer);
    let code = error_code(&details);
    let refusal = |detail: &str| {
        let code = code.map_or_else(|| format!("http-{}", answer.status), str::to_owned);
        Refusal::new(code, detail).after(answer.retry_after)
    };
    match (code, answer.status) {
        (Some("UNREGISTERED"), _) => SendOutcome::AddressDead(refusal("the app is no longer installed")),
        (Some("SENDER_ID_MISMATCH"), _) => {
            SendOutcome::AddressDead(refusal("the token is of another project"))
        }
        (Some("INVALID_ARGUMENT"), _) if blames_the_token(&details) => {
            SendOutcome::AddressDead(refusal("the token is not one"))
        }
        (Some("THIRD_PARTY_AUTH_ERROR"), _) => SendOutcome::Config(refusal(
            "the project's APNs or web push credential is not accepted",
        )),
        (Some("QUOTA_EXCEEDED"), _) if is_one_targets_quota(&details) => {
            let mut refusal = refusal("the device or topic is sent too many messages").of_message();
            refusal.retry_after.get_or_insert(QUOTA_WAIT);
            SendOutcome::Retry(refusal)
        }
        (Some("QUOTA_EXCEEDED"), _) | (None, 429) => {
            let mut refusal = refusal("the project sends too fast");
            refusal.retry_after.get_or_insert(QUOTA_WAIT);
            SendOutcome::Throttle(refusal)
        }
        (_, 401 | 403) => SendOutcome::Config(refusal("the service account is not accepted")),
        (None, 404) => SendOutcome::Config(refusal("there is no such project")),
        (_, 400..500) => SendOutcome::Terminal(refusal("the message was refused")),
        _ => SendOutcome::Retry(refusal("FCM is not available")),
    }
}

/// `INVALID_ARGUMENT` speaks of the token if no other field is named.
fn blames_the_token(details: &[Detail]) -> bool {
    let mut violations = details
        .iter()
        .flat_map(|detail| &detail.field_violations)
        .peekable();
    violations.peek().is_none() || violations.any(|violation| violation.field == "message.token")
}

/// `QUOTA_EXCEEDED` speaks of the project, unless all that is named is a device's or a topic's quota.
fn is_one_targets_quota(details: &[Detail]) -> bool {
    let mut subjects = details
        .iter()
        .filter(|detail| detail.kind.ends_with("google.rpc.QuotaFailure"))
        .flat_map(|detail| &detail.violations)
        .map(|violation| violation.subject.split(':').next().unwrap_or_default())
        .peekable();
    subjects.peek().is_some() && subjects.all(|kind| matches!(kind, "device" | "token" | "topic"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str, more: &str) -> Answer {
        let body = format!(
            r#"{{"error":{{"code":{status},"message":"m","status":"S","details":[
                {{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"{code}"}}{more}]}}}}"#
        );
        Answer {
            status,
            retry_after: None,
            body: body.into_bytes(),
        }
    }

    fn bare(status: u16, body: &str) -> Answer {
        Answer {
            status,
            retry_after: None,
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn each_documented_code_has_its_meaning() {
        let violation = |field: &str| {
            format!(
                r#",{{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{{"field":"{field}"}}]}}"#
            )
        };
        let quota = |subject: &str| {
            format!(
                r#",{{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{{"subject":"{subject}"}}]}}"#
            )
        };
        for (answer, expected) in [
            (answer(429, "QUOTA_EXCEEDED", &quota("project:shop")), "throttle"),
            (answer(429, "QUOTA_EXCEEDED", &quota("who knows")), "throttle"),
            (answer(429, "QUOTA_EXCEEDED", &quota("device:abc")), "retry"),
            (answer(429, "QUOTA_EXCEEDED", &quota("topic:news")), "retry"),
            (answer(404, "UNREGISTERED", ""), "address_dead"),
            (answer(400, "INVALID_ARGUMENT", ""), "address_dead"),
            (
                answer(400, "INVALID_ARGUMENT", &violation("message.token")),
                "address_dead",
            ),
            (
                answer(400, "INVALID_ARGUMENT", &violation("message.data[0].value")),
                "terminal",
            ),
            (answer(403, "SENDER_ID_MISMATCH", ""), "address_dead"),
            (answer(401, "THIRD_PARTY_AUTH_ERROR", ""), "config"),
            (answer(429, "QUOTA_EXCEEDED", ""), "throttle"),
            (answer(503, "UNAVAILABLE", ""), "retry"),
            (answer(500, "INTERNAL", ""), "retry"),
            (bare(502, "<html>bad gateway</html>"), "retry"),
            (bare(401, r#"{"error":{"status":"UNAUTHENTICATED"}}"#), "config"),
            (
                bare(400, r#"{"error":{"status":"INVALID_ARGUMENT"}}"#),
                "terminal",
            ),
            (bare(404, "{}"), "config"),
        ] {
            assert_eq!(
                classify(&answer).name(),
                expected,
                "{}",
                String::from_utf8_lossy(&answer.body)
            );
        }
    }

    #[test]
    fn only_our_own_token_is_renewed() {
        assert!(is_unauthenticated(&bare(
            401,
            r#"{"error":{"status":"UNAUTHENTICATED"}}"#
        )));
        assert!(!is_unauthenticated(&answer(401, "THIRD_PARTY_AUTH_ERROR", "")));
        assert!(!is_unauthenticated(&bare(403, "")));
    }

    #[test]
    fn a_quota_without_a_time_waits_a_minute() {
        let SendOutcome::Throttle(refusal) = classify(&answer(429, "QUOTA_EXCEEDED", "")) else {
            panic!()
        };
        assert_eq!(refusal.retry_after, Some(QUOTA_WAIT));
    }

    #[test]
    fn a_devices_quota_is_waited_for_by_its_message_alone() {
        let more = r#",{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"subject":"device:a"}]}"#;
        let SendOutcome::Retry(refusal) = classify(&answer(429, "QUOTA_EXCEEDED", more)) else {
            panic!()
        };
        assert!(refusal.is_of_message);
        assert_eq!(refusal.retry_after, Some(QUOTA_WAIT));
    }
}
