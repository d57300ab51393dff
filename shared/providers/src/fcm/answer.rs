//! The meaning of FCM's answers. The code is `errorCode` of the detail whose type ends in `fcm.v1.FcmError`; without
//! that detail, the HTTP status decides.

use std::time::Duration;

use carillon_domain::contact::DeathReason;
use serde::Deserialize;

use crate::{
    http::{ProviderResponse, of_the_way, status_code, undocumented},
    outcome::{Refusal, Scope, SendOutcome},
};

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
    /// The violations of a `QuotaFailure`.
    #[serde(default)]
    violations: Vec<QuotaViolation>,
    /// What an `ErrorInfo` says.
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Deserialize)]
struct QuotaViolation {
    /// The subject whose quota is exhausted, such as `project:x` or `device:y`.
    #[serde(default)]
    subject: String,
    /// The quota, such as `fcm.googleapis.com/messages`.
    #[serde(rename = "quotaMetric", default)]
    metric: String,
}

/// The metadata of an `ErrorInfo`, with which Google's front ends refuse calls over a quota of the project
/// (<https://cloud.google.com/apis/design/errors#error_info>).
#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    quota_metric: String,
    #[serde(default)]
    consumer: String,
}

#[derive(Deserialize)]
struct Violation {
    #[serde(default)]
    field: String,
}

/// The wait of a project over its quota if there is no `Retry-After`.
const QUOTA_WAIT: Duration = Duration::from_mins(1);

fn details(answer: &ProviderResponse) -> Vec<Detail> {
    serde_json::from_slice::<Failed>(&answer.body)
        .map(|failed| failed.error.details)
        .unwrap_or_default()
}

/// Whether the body is an error in Google's form, not the page of a proxy.
fn is_googles(answer: &ProviderResponse) -> bool {
    serde_json::from_slice::<Failed>(&answer.body).is_ok()
}

fn error_code(details: &[Detail]) -> Option<&str> {
    details
        .iter()
        .find(|detail| detail.kind.ends_with("fcm.v1.FcmError"))?
        .error_code
        .as_deref()
}

/// Whether our own token was refused, in contrast to a credential that FCM holds for another service.
#[must_use]
pub fn is_unauthenticated(answer: &ProviderResponse) -> bool {
    answer.status == 401 && error_code(&details(answer)).is_none()
}

/// The outcome of a message by the answer to its request.
pub fn classify(answer: &ProviderResponse) -> SendOutcome {
    if (200..300).contains(&answer.status) {
        let sent = serde_json::from_slice::<Sent>(&answer.body).ok();
        let Some(sent) = sent.filter(|sent| !sent.name.is_empty()) else {
            return undocumented(answer);
        };
        return SendOutcome::Ok {
            message_id: Some(sent.name),
        };
    }
    let details = details(answer);
    let code = error_code(&details);
    let refusal = |scope, detail: &str| {
        let code = code.map_or_else(|| status_code(answer), str::to_owned);
        Refusal::new(scope, code, detail).after(answer.retry_after)
    };
    let gone = |detail| SendOutcome::AddressDead(refusal(Scope::Address, detail), DeathReason::Gone);
    let over_quota = |scope, detail| {
        let mut refusal = refusal(scope, detail);
        refusal.retry_after.get_or_insert(QUOTA_WAIT);
        SendOutcome::Throttle(refusal)
    };
    match (code, answer.status) {
        (Some("UNREGISTERED"), _) => gone("the app is no longer installed"),
        (Some("SENDER_ID_MISMATCH"), _) => gone("the token is of another project"),
        (Some("INVALID_ARGUMENT"), _) if blames_the_token(&details) => {
            gone("the token is not a registration token")
        }
        (Some("THIRD_PARTY_AUTH_ERROR"), _) => SendOutcome::Config(refusal(
            Scope::Platform,
            "the project's APNs or web push credential is not accepted",
        )),
        (Some("QUOTA_EXCEEDED"), _) => match subject_of_quota(&details) {
            Scope::Address => over_quota(Scope::Address, "the device or topic is sent too many messages"),
            Scope::Account => over_quota(Scope::Account, "the project sends too fast"),
            unnamed => over_quota(unnamed, "the project sends too fast, or to this device"),
        },
        (None, 429) => over_quota(Scope::Account, "the project sends too fast"),
        (_, 401 | 403) => SendOutcome::Config(refusal(Scope::Account, "the service account is not accepted")),
        (None, 404) => SendOutcome::Config(refusal(Scope::Account, "the project does not exist")),
        (_, 429) => SendOutcome::Throttle(refusal(Scope::Account, "the project sends too fast")),
        // Perhaps not FCM's answer at all: it ends this message only, unless a long run of devices gets it; then the account
        // is at fault.
        (None, 400..500) if !is_googles(answer) => of_the_way(answer)
            .unwrap_or_else(|| SendOutcome::Terminal(refusal(Scope::Address, "the message was refused"))),
        (_, 400..500) => SendOutcome::Terminal(refusal(Scope::Message, "the message was refused")),
        (_, ..400) => undocumented(answer),
        _ => SendOutcome::Retry(refusal(Scope::Account, "FCM is not available")),
    }
}

/// `INVALID_ARGUMENT` concerns the token only if a violation names the token's field. A payload that is too
/// big has the same code, often without a violation.
fn blames_the_token(details: &[Detail]) -> bool {
    let mut violations = details.iter().flat_map(|detail| &detail.field_violations);
    violations.any(|violation| matches!(&*violation.field, "message.token" | "token"))
}

/// The subject of `QUOTA_EXCEEDED`, which is the code of three quotas: of the project's messages, of those to a device, and of those to
/// a topic (<https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode>). A `QuotaFailure` says which; without it the quota may
/// be a single device's.
fn subject_of_quota(details: &[Detail]) -> Scope {
    let failures = details
        .iter()
        .filter(|detail| detail.kind.ends_with("google.rpc.QuotaFailure"));
    let violations: Vec<&QuotaViolation> = failures.flat_map(|detail| &detail.violations).collect();
    let is_targets = |violation: &&QuotaViolation| {
        let kind = violation.subject.split(':').next().unwrap_or_default();
        matches!(kind, "device" | "token" | "topic")
    };
    let names = |violation: &&QuotaViolation| !violation.subject.is_empty() || !violation.metric.is_empty();
    let is_project = |detail: &Detail| {
        !detail.metadata.quota_metric.is_empty() || detail.metadata.consumer.starts_with("projects/")
    };
    if !violations.is_empty() && violations.iter().all(is_targets) {
        Scope::Address
    } else if violations.iter().any(names) || details.iter().any(is_project) {
        Scope::Account
    } else {
        Scope::Unnamed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str, more: &str) -> ProviderResponse {
        let body = format!(
            r#"{{"error":{{"code":{status},"message":"m","status":"S","details":[
                {{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"{code}"}}{more}]}}}}"#
        );
        ProviderResponse {
            status,
            body: body.into_bytes(),
            ..ProviderResponse::default()
        }
    }

    fn bare(status: u16, body: &str) -> ProviderResponse {
        ProviderResponse {
            status,
            body: body.as_bytes().to_vec(),
            ..ProviderResponse::default()
        }
    }

    /// Class and scope of an answer.
    fn told(answer: &ProviderResponse) -> String {
        let outcome = classify(answer);
        let scope = outcome.refusal().unwrap().scope;
        format!("{} {scope:?}", outcome.name()).to_lowercase()
    }

    #[test]
    fn each_documented_code_has_its_meaning() {
        let violation = |field: &str| {
            format!(
                r#",{{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{{"field":"{field}"}}]}}"#
            )
        };
        for (answer, expected) in [
            (answer(404, "UNREGISTERED", ""), "address_dead address"),
            (answer(400, "INVALID_ARGUMENT", ""), "terminal message"),
            (
                answer(400, "INVALID_ARGUMENT", &violation("message.token")),
                "address_dead address",
            ),
            (
                answer(400, "INVALID_ARGUMENT", &violation("message.data[0].value")),
                "terminal message",
            ),
            (answer(403, "SENDER_ID_MISMATCH", ""), "address_dead address"),
            (answer(401, "THIRD_PARTY_AUTH_ERROR", ""), "config platform"),
            (answer(503, "UNAVAILABLE", ""), "retry account"),
            (answer(500, "INTERNAL", ""), "retry account"),
            (bare(502, "<html>bad gateway</html>"), "retry account"),
            (
                bare(401, r#"{"error":{"status":"UNAUTHENTICATED"}}"#),
                "config account",
            ),
            (
                bare(400, r#"{"error":{"status":"INVALID_ARGUMENT"}}"#),
                "terminal message",
            ),
            (bare(404, "{}"), "config account"),
            (bare(400, "<html>nginx</html>"), "terminal address"),
            (bare(408, ""), "uncertain connection"),
            (bare(200, "<html>captive portal</html>"), "uncertain connection"),
            (bare(200, "{}"), "uncertain connection"),
            (bare(200, r#"{"name":""}"#), "uncertain connection"),
            (bare(302, ""), "uncertain connection"),
        ] {
            assert_eq!(
                told(&answer),
                expected,
                "{}",
                String::from_utf8_lossy(&answer.body)
            );
        }
    }

    #[test]
    fn a_quota_concerns_the_target_or_the_project_that_the_details_name_and_without_any_it_is_unnamed() {
        let quota = |subject: &str| {
            format!(
                r#",{{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{{"subject":"{subject}"}}]}}"#
            )
        };
        for (answer, expected) in [
            (
                answer(429, "QUOTA_EXCEEDED", &quota("project:shop")),
                "throttle account",
            ),
            (
                answer(429, "QUOTA_EXCEEDED", &quota("who knows")),
                "throttle account",
            ),
            (
                answer(429, "QUOTA_EXCEEDED", &quota("device:abc")),
                "throttle address",
            ),
            (
                answer(429, "QUOTA_EXCEEDED", &quota("topic:news")),
                "throttle address",
            ),
            (answer(429, "QUOTA_EXCEEDED", ""), "throttle unnamed"),
            (
                answer(
                    429,
                    "QUOTA_EXCEEDED",
                    r#",{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{}]}"#,
                ),
                "throttle unnamed",
            ),
            (
                answer(
                    429,
                    "QUOTA_EXCEEDED",
                    r#",{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[
                        {"quotaMetric":"fcm.googleapis.com/messages"}]}"#,
                ),
                "throttle account",
            ),
            (
                answer(
                    429,
                    "QUOTA_EXCEEDED",
                    r#",{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"RATE_LIMIT_EXCEEDED",
                        "domain":"googleapis.com","metadata":{"consumer":"projects/12","quota_limit":"PerMinute"}}"#,
                ),
                "throttle account",
            ),
            (
                bare(
                    429,
                    r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[
                        {"@type":"type.googleapis.com/google.rpc.ErrorInfo","metadata":{"consumer":"projects/12"}}]}}"#,
                ),
                "throttle account",
            ),
        ] {
            assert_eq!(
                told(&answer),
                expected,
                "{}",
                String::from_utf8_lossy(&answer.body)
            );
        }
    }

    #[test]
    fn a_payload_that_is_too_big_costs_the_message_and_not_the_token() {
        let body = include_str!("../../cases/fcm-400-no-violation.json");
        let SendOutcome::Terminal(refusal) = classify(&bare(400, body)) else {
            panic!()
        };
        assert_eq!(
            (refusal.scope, &*refusal.code),
            (Scope::Message, "INVALID_ARGUMENT")
        );
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
        let SendOutcome::Throttle(refusal) = classify(&answer(429, "QUOTA_EXCEEDED", more)) else {
            panic!()
        };
        assert_eq!(refusal.scope, Scope::Address);
        assert_eq!(refusal.retry_after, Some(QUOTA_WAIT));
    }
}
