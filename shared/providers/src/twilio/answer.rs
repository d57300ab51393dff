//! The meaning of Twilio's answers: by Twilio's error code ([`meaning`]); without one, by the HTTP status.

use carillon_domain::contact::DeathReason;
use serde::Deserialize;

use super::codes::{Meaning, meaning};
use crate::{
    http::{ProviderResponse, of_the_way, status_code, undocumented},
    outcome::{Refusal, Scope, SendOutcome},
};

/// A message as Twilio created it.
#[derive(Deserialize)]
struct Created {
    sid: String,
    status: Option<String>,
    error_code: Option<u32>,
}

#[derive(Deserialize)]
struct Failed {
    code: Option<u32>,
}

/// The outcome of a message by the answer to its request.
pub(super) fn classify(answer: &ProviderResponse) -> SendOutcome {
    if (200..300).contains(&answer.status) {
        return accepted(answer);
    }
    let code = serde_json::from_slice::<Failed>(&answer.body)
        .ok()
        .and_then(|failed| failed.code);
    // There is no idempotency key, so after a 5xx it is unknown whether the message was accepted.
    if answer.status >= 500 {
        let detail = "the provider failed and may have taken the message";
        return SendOutcome::Uncertain(refusal(answer, code, Scope::Connection, detail));
    }
    let meant = code.and_then(meaning);
    // "Never processed and always safe to retry": a code beside 429 says nothing about the number.
    let is_throttle = |meant| {
        matches!(
            meant,
            Meaning::Throttle | Meaning::Maintenance | Meaning::ThrottleOfAddress
        )
    };
    match meant.filter(|(meant, _)| answer.status != 429 || is_throttle(*meant)) {
        Some((meaning, detail)) => refused(meaning, |scope| refusal(answer, code, scope, detail)),
        None => without_meaning(answer, code),
    }
}

/// The outcome of a 2xx. Its proof is the message's id; a message that Twilio created as failed does not go out.
fn accepted(answer: &ProviderResponse) -> SendOutcome {
    let created = serde_json::from_slice::<Created>(&answer.body).ok();
    let Some(created) = created.filter(|created| !created.sid.is_empty()) else {
        return undocumented(answer);
    };
    let is_over = matches!(
        created.status.as_deref(),
        Some("failed" | "undelivered" | "canceled")
    );
    if !is_over {
        return SendOutcome::Ok {
            message_id: Some(created.sid),
        };
    }
    let (meaning, detail) = created
        .error_code
        .and_then(meaning)
        .unwrap_or((Meaning::Address, "the message was refused"));
    refused(meaning, |scope| {
        refusal(answer, created.error_code, scope, detail)
    })
}

/// The outcome of a refusal without a known code.
fn without_meaning(answer: &ProviderResponse, code: Option<u32>) -> SendOutcome {
    let refusal = |scope, detail: &str| refusal(answer, code, scope, detail);
    match answer.status {
        429 => SendOutcome::Throttle(refusal(Scope::Account, "the account sends too fast")),
        401 | 403 => SendOutcome::Config(refusal(Scope::Account, "the credentials are not accepted")),
        404 | 405 => SendOutcome::Config(refusal(Scope::Account, "the account's URL does not exist")),
        // A complete 4xx with a code that is not in the list: it ends this message only, unless a long
        // run of numbers gets it; then the account is at fault.
        400..500 => of_the_way(answer)
            .unwrap_or_else(|| SendOutcome::Terminal(refusal(Scope::Address, "the message was refused"))),
        _ => undocumented(answer),
    }
}

fn refused(meaning: Meaning, refusal: impl FnOnce(Scope) -> Refusal) -> SendOutcome {
    match meaning {
        Meaning::Account => SendOutcome::Config(refusal(Scope::Account)),
        Meaning::Country => SendOutcome::Config(refusal(Scope::Country)),
        Meaning::Message => SendOutcome::Terminal(refusal(Scope::Message)),
        Meaning::Address => SendOutcome::Terminal(refusal(Scope::Address)),
        Meaning::Gone => SendOutcome::AddressDead(refusal(Scope::Address), DeathReason::Gone),
        Meaning::Stopped => SendOutcome::AddressDead(refusal(Scope::Address), DeathReason::OptedOut),
        Meaning::Throttle | Meaning::Maintenance => SendOutcome::Throttle(refusal(Scope::Account)),
        Meaning::ThrottleOfAddress => SendOutcome::Throttle(refusal(Scope::Address)),
    }
}

fn refusal(answer: &ProviderResponse, code: Option<u32>, scope: Scope, detail: &str) -> Refusal {
    let code = code.map_or_else(|| status_code(answer), |code| code.to_string());
    Refusal::new(scope, code, detail).after(answer.retry_after)
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
            (400, 21_408, "config country"),
            (403, 21_408, "config country"),
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
            (429, 21_211, "throttle account"),
            (429, 21_617, "throttle account"),
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

    #[test]
    fn only_an_answer_with_the_id_of_a_message_that_goes_out_counts_as_sent() {
        for (status, body) in [
            (200, "<html>Blocked by a proxy</html>"),
            (200, ""),
            (204, ""),
            (201, "{}"),
            (201, r#"{"sid":null}"#),
            (201, r#"{"sid":""}"#),
            (302, ""),
        ] {
            assert_eq!(said(&of(status, body)), "uncertain connection", "{status} {body}");
        }
        for (body, expected) in [
            (
                r#"{"sid":"SM1","status":"failed","error_code":30005}"#,
                "address_dead address",
            ),
            (
                r#"{"sid":"SM1","status":"failed","error_code":null}"#,
                "terminal address",
            ),
            (
                r#"{"sid":"SM1","status":"undelivered","error_code":30002}"#,
                "config account",
            ),
        ] {
            assert_eq!(said(&of(201, body)), expected, "{body}");
        }
        let queued = of(201, r#"{"sid":"SM1","status":"queued","error_code":null}"#);
        assert_eq!(queued.name(), "ok");
    }
}
