//! The meaning of Twilio's answers: by Twilio's error code ([`meaning`]); without one, by the HTTP status.

use carillon_domain::contact::DeathReason;
use serde::Deserialize;

use super::codes::{Meaning, meaning};
use crate::{
    http::ProviderResponse,
    outcome::{Refusal, Scope, SendOutcome},
};

#[derive(Deserialize)]
struct Created {
    sid: String,
}

#[derive(Deserialize)]
struct Failed {
    code: Option<u32>,
}

/// The outcome of a message by the answer to its request.
pub(super) fn classify(answer: &ProviderResponse) -> SendOutcome {
    if (200..300).contains(&answer.status) {
        let created = serde_json::from_slice::<Created>(&answer.body).ok();
        return SendOutcome::Ok {
            message_id: created.map(|created| created.sid),
        };
    }
    let code = serde_json::from_slice::<Failed>(&answer.body)
        .ok()
        .and_then(|failed| failed.code);
    let refusal = |scope, detail: &str| {
        let code = code.map_or_else(|| format!("http-{}", answer.status), |code| code.to_string());
        Refusal::new(scope, code, detail).after(answer.retry_after)
    };
    // There is no idempotency key, so after a 5xx it is unknown whether the message was accepted.
    if answer.status >= 500 {
        let detail = "the provider failed and may have taken the message";
        return SendOutcome::Uncertain(refusal(Scope::Connection, detail));
    }
    match code.and_then(meaning) {
        Some((Meaning::Account, detail)) => SendOutcome::Config(refusal(Scope::Account, detail)),
        Some((Meaning::Message, detail)) => SendOutcome::Terminal(refusal(Scope::Message, detail)),
        Some((Meaning::Address, detail)) => SendOutcome::Terminal(refusal(Scope::Address, detail)),
        Some((Meaning::Gone, detail)) => {
            SendOutcome::AddressDead(refusal(Scope::Address, detail), DeathReason::Gone)
        }
        Some((Meaning::Stopped, detail)) => {
            SendOutcome::AddressDead(refusal(Scope::Address, detail), DeathReason::OptedOut)
        }
        Some((Meaning::Throttle | Meaning::Maintenance, detail)) => {
            SendOutcome::Throttle(refusal(Scope::Account, detail))
        }
        Some((Meaning::ThrottleOfAddress, detail)) => SendOutcome::Throttle(refusal(Scope::Address, detail)),
        None => match answer.status {
            429 => SendOutcome::Throttle(refusal(Scope::Account, "the account sends too fast")),
            401 | 403 => SendOutcome::Config(refusal(Scope::Account, "the credentials are not accepted")),
            404 | 405 => SendOutcome::Config(refusal(Scope::Account, "the account's URL does not exist")),
            // A complete 4xx with a code that is not in the list: it ends this message only, unless a long
            // run of numbers gets it; then the account is at fault.
            400..500 => SendOutcome::Terminal(refusal(Scope::Address, "the message was refused")),
            _ => SendOutcome::Uncertain(refusal(
                Scope::Connection,
                "the provider gave an answer that it does not document",
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> SendOutcome {
        classify(&ProviderResponse {
            status,
            body: body.as_bytes().to_vec(),
            ..ProviderResponse::default()
        })
    }

    fn said(outcome: &SendOutcome) -> String {
        let scope = outcome.refusal().unwrap().scope;
        format!("{} {scope:?}", outcome.name()).to_lowercase()
    }

    fn error(status: u16, code: u32) -> SendOutcome {
        of(
            status,
            &format!(r#"{{"code":{code},"message":"m","more_info":"u","status":{status}}}"#),
        )
    }

    #[test]
    fn each_documented_code_is_about_the_message_the_address_or_the_account() {
        for (status, code, expected) in [
            (429, 20_429, "throttle account"),
            (401, 20_003, "config account"),
            (403, 20_005, "config account"),
            (404, 20_404, "config account"),
            (400, 21_211, "address_dead address"),
            (400, 21_614, "address_dead address"),
            (400, 21_635, "address_dead address"),
            (400, 21_610, "address_dead address"),
            (400, 21_265, "address_dead address"),
            (400, 21_408, "terminal address"),
            (403, 21_408, "terminal address"),
            (400, 21_608, "terminal address"),
            (400, 21_612, "terminal address"),
            (400, 21_212, "config account"),
            (400, 21_606, "config account"),
            (400, 21_659, "config account"),
            (400, 21_660, "config account"),
            (400, 21_661, "config account"),
            (400, 21_703, "config account"),
            (400, 21_910, "config account"),
            (400, 30_034, "config account"),
            (400, 63_007, "config account"),
            (429, 63_038, "throttle account"),
            (400, 21_611, "throttle account"),
            (429, 21_611, "throttle account"),
            (400, 21_730, "throttle account"),
            (400, 63_039, "throttle address"),
            (400, 63_003, "address_dead address"),
            (400, 63_016, "terminal address"),
            (400, 21_617, "terminal message"),
            (400, 21_602, "terminal message"),
            (400, 63_021, "terminal message"),
            (400, 29_999, "terminal address"),
            (500, 21_211, "uncertain connection"),
        ] {
            assert_eq!(said(&error(status, code)), expected, "{code}");
        }
    }

    #[test]
    fn stop_has_its_own_reason() {
        let reason = |code| match error(400, code) {
            SendOutcome::AddressDead(_, reason) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(21_610), DeathReason::OptedOut);
        assert_eq!(reason(21_614), DeathReason::Gone);
    }

    #[test]
    fn without_a_code_the_status_decides_and_a_5xx_is_uncertain() {
        assert_eq!(said(&of(429, "")), "throttle account");
        assert_eq!(said(&of(400, "<html>")), "terminal address");
        assert_eq!(said(&of(401, "<html>")), "config account");
        assert_eq!(said(&of(503, "")), "uncertain connection");
        let taken = of(201, r#"{"sid":"SM1"}"#);
        let message_id = Some("SM1".to_owned());
        assert_eq!(taken, SendOutcome::Ok { message_id });
    }
}
