//! The meaning of an endpoint's answers.
//!
//! Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>, "HTTP status codes": 2xx
//! is a success; 410 disables the endpoint; 429 asks for fewer requests; all others, redirects included, are failures that are tried again.
//!
//! An endpoint belongs to its owner, so no answer says anything about the account or about other endpoints.

use carillon_domain::contact::DeathReason;

use crate::{
    http::{NoAnswer, ProviderResponse},
    outcome::{Refusal, Scope, SendOutcome},
};

/// The outcome of a request by its status. The body is not read.
pub(super) fn classify(answer: &ProviderResponse) -> SendOutcome {
    let refusal = |detail: &str| {
        let code = format!("http-{}", answer.status);
        Refusal::new(Scope::Endpoint, code, detail).after(answer.retry_after)
    };
    match answer.status {
        200..300 => SendOutcome::Ok { message_id: None },
        410 => SendOutcome::AddressDead(refusal("the endpoint is gone"), DeathReason::Gone),
        429 => SendOutcome::Throttle(refusal("the endpoint gets too many requests")),
        300..400 => SendOutcome::Retry(refusal(
            "the endpoint answers with a redirect, which is not followed",
        )),
        400 | 401 | 403 | 404 | 405 | 413 | 415 | 422 => {
            SendOutcome::Retry(refusal("the endpoint refuses the request"))
        }
        400..500 => SendOutcome::Retry(refusal("the endpoint does not take the request now")),
        _ => SendOutcome::Retry(refusal("the endpoint failed")),
    }
}

/// The outcome of a request without an answer. Once bytes were sent, it is unknown whether the endpoint has processed them.
pub(super) fn without_answer(why: NoAnswer) -> SendOutcome {
    let refusal = |code: &str, detail: &str| Refusal::new(Scope::Endpoint, code, detail);
    match why {
        NoAnswer::NotSent => {
            SendOutcome::Retry(refusal("connect", "there was no connection to the endpoint"))
        }
        NoAnswer::TimedOut => {
            SendOutcome::Uncertain(refusal("timeout", "the endpoint did not answer in time"))
        }
        NoAnswer::Lost => SendOutcome::Uncertain(refusal(
            "connection-lost",
            "the connection broke before the endpoint's answer",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_status_has_its_class_its_scope_and_its_evidence() {
        for (status, expected) in [
            (100, "retry endpoint http-100"),
            (200, "ok"),
            (201, "ok"),
            (202, "ok"),
            (204, "ok"),
            (299, "ok"),
            (300, "retry endpoint http-300"),
            (301, "retry endpoint http-301"),
            (302, "retry endpoint http-302"),
            (304, "retry endpoint http-304"),
            (307, "retry endpoint http-307"),
            (400, "retry endpoint http-400"),
            (401, "retry endpoint http-401"),
            (403, "retry endpoint http-403"),
            (404, "retry endpoint http-404"),
            (408, "retry endpoint http-408"),
            (409, "retry endpoint http-409"),
            (410, "address_dead endpoint http-410"),
            (413, "retry endpoint http-413"),
            (422, "retry endpoint http-422"),
            (425, "retry endpoint http-425"),
            (429, "throttle endpoint http-429"),
            (451, "retry endpoint http-451"),
            (500, "retry endpoint http-500"),
            (502, "retry endpoint http-502"),
            (503, "retry endpoint http-503"),
            (504, "retry endpoint http-504"),
            (599, "retry endpoint http-599"),
            (999, "retry endpoint http-999"),
        ] {
            let outcome = classify(&ProviderResponse {
                status,
                body: b"{\"error\":\"410\"}".to_vec(),
                ..ProviderResponse::default()
            });
            assert_eq!(told(&outcome), expected);
        }
    }

    #[test]
    fn no_answer_is_a_retry_if_nothing_was_sent_and_uncertain_otherwise() {
        for (why, expected) in [
            (NoAnswer::NotSent, "retry endpoint connect"),
            (NoAnswer::TimedOut, "uncertain endpoint timeout"),
            (NoAnswer::Lost, "uncertain endpoint connection-lost"),
        ] {
            assert_eq!(told(&without_answer(why)), expected);
        }
    }

    #[test]
    fn the_wait_that_an_endpoint_names_is_kept() {
        for status in [429, 503, 301] {
            let outcome = classify(&ProviderResponse {
                status,
                retry_after: Some(Duration::from_secs(7)),
                ..ProviderResponse::default()
            });
            let refusal = outcome.refusal().unwrap();
            assert_eq!(refusal.retry_after, Some(Duration::from_secs(7)), "{status}");
        }
    }

    fn told(outcome: &SendOutcome) -> String {
        match outcome.refusal() {
            None => outcome.name().to_owned(),
            Some(refusal) => {
                let scope = format!("{:?}", refusal.scope).to_lowercase();
                format!("{} {scope} {}", outcome.name(), refusal.code)
            }
        }
    }
}
