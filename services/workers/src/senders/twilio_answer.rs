//! What Twilio's answers mean. Codes are Twilio's error codes (`code` in the body of a 4xx).

use serde::Deserialize;

use super::http::Answer;
use crate::outcome::{Refusal, SendOutcome};

#[derive(Deserialize)]
struct Created {
    sid: String,
}

#[derive(Deserialize)]
struct Failed {
    code: Option<u32>,
}

pub(super) fn classify(answer: &Answer) -> SendOutcome {
    if (200..300).contains(&answer.status) {
        let created = serde_json::from_slice::<Created>(&answer.body).ok();
        return SendOutcome::Ok {
            message_id: created.map(|created| created.sid),
        };
    }
    let code = serde_json::from_slice::<Failed>(&answer.body)
        .ok()
        .and_then(|failed| failed.code);
    let refusal = |detail: &str| {
        let code = code.map_or_else(|| format!("http-{}", answer.status), |code| code.to_string());
        Refusal::new(code, detail).after(answer.retry_after)
    };
    match (answer.status, code) {
        (429, _) | (_, Some(20_429)) => SendOutcome::Throttle(refusal("the account sends too fast")),
        (_, Some(21_611)) => SendOutcome::Throttle(refusal("the sender's queue is full")),
        // These speak of where the message goes; the account works for others. What the operator mends can be replayed.
        (_, Some(21_408)) => SendOutcome::Terminal(refusal("the account may not send to this region")),
        (_, Some(21_608)) => SendOutcome::Terminal(refusal("a trial account sends to verified numbers only")),
        (401 | 403, _) | (_, Some(20_003)) => {
            SendOutcome::Config(refusal("the credentials are not accepted"))
        }
        (_, Some(21_606)) => SendOutcome::Config(refusal("the sender's number cannot send to this one")),
        (_, Some(21_211 | 21_614)) => {
            SendOutcome::AddressDead(refusal("the number cannot take text messages"))
        }
        (_, Some(21_635)) => SendOutcome::AddressDead(refusal("the number is a landline")),
        (_, Some(21_610)) => SendOutcome::AddressDead(refusal("the recipient has opted out by STOP")),
        (404 | 405, _) => SendOutcome::Config(refusal("the account's URL does not exist")),
        (400..500, _) => SendOutcome::Terminal(refusal("the message was refused")),
        // There is no idempotency key: a 5xx does not say whether the message was taken.
        _ => SendOutcome::Uncertain(refusal("the provider failed and may have taken the message")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, body: &str) -> &'static str {
        classify(&Answer {
            status,
            retry_after: None,
            body: body.as_bytes().to_vec(),
        })
        .name()
    }

    fn error(status: u16, code: u32) -> &'static str {
        outcome(
            status,
            &format!(r#"{{"code":{code},"message":"m","more_info":"u","status":{status}}}"#),
        )
    }

    #[test]
    fn each_documented_code_has_its_meaning() {
        for (status, code, expected) in [
            (429, 20_429, "throttle"),
            (401, 20_003, "config"),
            (400, 21_211, "address_dead"),
            (400, 21_614, "address_dead"),
            (400, 21_635, "address_dead"),
            (400, 21_610, "address_dead"),
            (400, 21_408, "terminal"),
            (403, 21_408, "terminal"),
            (400, 21_606, "config"),
            (400, 21_608, "terminal"),
            (400, 21_612, "terminal"),
            (400, 21_611, "throttle"),
        ] {
            assert_eq!(error(status, code), expected, "{code}");
        }
    }

    #[test]
    fn without_a_code_the_status_decides_and_a_5xx_is_uncertain() {
        assert_eq!(outcome(429, ""), "throttle");
        assert_eq!(outcome(400, "<html>"), "terminal");
        assert_eq!(outcome(503, ""), "uncertain");
        let taken = classify(&Answer {
            status: 201,
            retry_after: None,
            body: br#"{"sid":"SM1"}"#.to_vec(),
        });
        assert_eq!(
            taken,
            SendOutcome::Ok {
                message_id: Some("SM1".to_owned())
            }
        );
    }
}
