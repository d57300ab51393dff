//! The meaning of Twilio's answers. Codes are Twilio's error codes (`code` in the body of a 4xx).
//! [`MEANINGS`] lists the meaning of each, from Twilio's Error and Warning Dictionary
//! (<https://www.twilio.com/docs/api/errors>).

use carillon_domain::contact::DeathReason;
use serde::Deserialize;

use super::http::ProviderResponse;
use crate::outcome::{Refusal, Scope, SendOutcome};

#[derive(Deserialize)]
struct Created {
    sid: String,
}

#[derive(Deserialize)]
struct Failed {
    code: Option<u32>,
}

/// The meaning of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The operator must repair it: credentials, sender, messaging service, registration.
    Account,
    /// The message cannot be sent in this form.
    Message,
    /// The message cannot be sent to this number; other messages may be.
    Address,
    /// The number takes no text messages.
    Gone,
    /// The recipient has answered STOP.
    Stopped,
    /// The account's rate is too high.
    Throttle,
    /// The rate to this number is too high.
    ThrottleOfAddress,
    /// Twilio is under maintenance and has not accepted the message.
    Maintenance,
}

/// Synchronous errors of `POST …/Messages.json`, and codes of the dictionary that an edge location or a
/// channel may answer instead. Ranges are inclusive.
const MEANINGS: &[(u32, u32, Meaning, &str)] = &[
    (20_001, 20_002, Meaning::Message, "a parameter is not accepted"),
    (
        20_003,
        20_003,
        Meaning::Account,
        "the credentials are not accepted",
    ),
    (20_004, 20_004, Meaning::Account, "the method is not allowed"),
    (20_005, 20_006, Meaning::Account, "the account is not active"),
    (
        20_008,
        20_008,
        Meaning::Account,
        "test credentials cannot do this",
    ),
    (20_010, 20_012, Meaning::Account, "the account may not do this"),
    (
        20_101,
        20_107,
        Meaning::Account,
        "the access token is not accepted",
    ),
    (
        20_151,
        20_160,
        Meaning::Account,
        "the access token is not accepted",
    ),
    (20_403, 20_403, Meaning::Account, "the account may not do this"),
    (
        20_404,
        20_404,
        Meaning::Account,
        "the account's URL does not exist",
    ),
    (20_429, 20_429, Meaning::Throttle, "the account sends too fast"),
    (14_107, 14_107, Meaning::Throttle, "the account sends too fast"),
    (21_202, 21_202, Meaning::Address, "the number is a premium number"),
    (
        21_203,
        21_203,
        Meaning::Address,
        "the account may not send abroad",
    ),
    (
        21_210,
        21_210,
        Meaning::Account,
        "the sender's number is not verified",
    ),
    (21_211, 21_211, Meaning::Gone, "the number is not one"),
    (
        21_212,
        21_213,
        Meaning::Account,
        "the sender's number is not accepted",
    ),
    (21_214, 21_214, Meaning::Address, "the number cannot be reached"),
    (
        21_215,
        21_215,
        Meaning::Address,
        "the account may not send to this region",
    ),
    (21_216, 21_216, Meaning::Address, "the number is blocked"),
    (21_217, 21_217, Meaning::Gone, "the number is not one"),
    (
        21_219,
        21_219,
        Meaning::Address,
        "a trial account sends to verified numbers only",
    ),
    (
        21_264,
        21_264,
        Meaning::Account,
        "the sender's number is not accepted",
    ),
    (21_265, 21_265, Meaning::Gone, "the number is a short code"),
    (21_266, 21_266, Meaning::Address, "the number is the sender's own"),
    (
        21_267,
        21_267,
        Meaning::Account,
        "a trial account has no alphanumeric sender",
    ),
    (21_268, 21_268, Meaning::Gone, "the number is a premium number"),
    (21_401, 21_401, Meaning::Account, "the sender is not accepted"),
    (
        21_407,
        21_407,
        Meaning::Account,
        "the sender's number sends no text messages",
    ),
    (
        21_408,
        21_408,
        Meaning::Address,
        "the account may not send to this region",
    ),
    (
        21_420,
        21_422,
        Meaning::Account,
        "the sender's number or application is not accepted",
    ),
    (21_470, 21_479, Meaning::Account, "the account is not active"),
    (
        21_601,
        21_601,
        Meaning::Account,
        "the sender's number is not the account's",
    ),
    (21_602, 21_602, Meaning::Message, "the message has no text"),
    (21_603, 21_603, Meaning::Account, "there is no sender"),
    (21_604, 21_604, Meaning::Address, "there is no number"),
    (21_605, 21_605, Meaning::Message, "the message is too long"),
    (
        21_606,
        21_607,
        Meaning::Account,
        "the sender's number cannot send",
    ),
    (
        21_608,
        21_608,
        Meaning::Address,
        "a trial account sends to verified numbers only",
    ),
    (
        21_609,
        21_609,
        Meaning::Account,
        "the callback URL is not accepted",
    ),
    (
        21_610,
        21_610,
        Meaning::Stopped,
        "the recipient has opted out by STOP",
    ),
    (21_611, 21_611, Meaning::Throttle, "the sender's queue is full"),
    (
        21_612,
        21_612,
        Meaning::Address,
        "the sender cannot reach this number",
    ),
    (
        21_613,
        21_613,
        Meaning::Account,
        "the sender's number has to be certified",
    ),
    (21_614, 21_614, Meaning::Gone, "the number takes no text messages"),
    (
        21_615,
        21_616,
        Meaning::Account,
        "the sender's number is not accepted",
    ),
    (21_617, 21_618, Meaning::Message, "the text cannot be sent"),
    (21_619, 21_620, Meaning::Message, "the message cannot be built"),
    (21_621, 21_622, Meaning::Account, "the account sends no media"),
    (21_623, 21_624, Meaning::Message, "a parameter is not accepted"),
    (21_626, 21_626, Meaning::Account, "the callback is not accepted"),
    (21_627, 21_627, Meaning::Message, "a parameter is not accepted"),
    (
        21_631,
        21_631,
        Meaning::Account,
        "the sender's number has to be registered",
    ),
    (21_635, 21_635, Meaning::Gone, "the number is a landline"),
    (
        21_649,
        21_651,
        Meaning::Account,
        "the sender's number has to be registered",
    ),
    (21_652, 21_656, Meaning::Message, "a parameter is not accepted"),
    (21_657, 21_657, Meaning::Account, "the sender is not accepted"),
    (21_658, 21_658, Meaning::Message, "a parameter is too long"),
    (
        21_659,
        21_661,
        Meaning::Account,
        "the sender's number is not the account's, or cannot send",
    ),
    (
        21_662,
        21_662,
        Meaning::Address,
        "the sender cannot reach this number in its region",
    ),
    (
        21_663,
        21_668,
        Meaning::Account,
        "the sender's number is configured wrongly",
    ),
    (
        21_701,
        21_729,
        Meaning::Account,
        "the messaging service is not accepted",
    ),
    (
        21_730,
        21_730,
        Meaning::Maintenance,
        "the provider is under maintenance",
    ),
    (
        21_731,
        21_741,
        Meaning::Account,
        "the sender's brand is not accepted",
    ),
    (
        21_900,
        21_902,
        Meaning::Account,
        "the registration is not accepted",
    ),
    (
        21_910,
        21_910,
        Meaning::Account,
        "the sender is of another channel",
    ),
    (
        23_001,
        23_006,
        Meaning::Account,
        "the account's redaction is configured wrongly",
    ),
    (30_001, 30_001, Meaning::Throttle, "the sender's queue is full"),
    (30_002, 30_002, Meaning::Account, "the account is suspended"),
    (30_003, 30_003, Meaning::Address, "the handset cannot be reached"),
    (30_004, 30_004, Meaning::Address, "the number is blocked"),
    (30_005, 30_006, Meaning::Gone, "the number takes no text messages"),
    (30_007, 30_007, Meaning::Message, "the message was filtered"),
    (
        30_010,
        30_010,
        Meaning::Message,
        "the message costs more than is allowed",
    ),
    (
        30_012,
        30_013,
        Meaning::Message,
        "the validity period is not accepted",
    ),
    (
        30_014,
        30_016,
        Meaning::Account,
        "the sender is of another channel",
    ),
    (
        30_017,
        30_017,
        Meaning::ThrottleOfAddress,
        "the carrier's network is busy",
    ),
    (
        30_018,
        30_018,
        Meaning::Account,
        "the sender has to be registered",
    ),
    (
        30_019,
        30_019,
        Meaning::Message,
        "the message is too big for the carrier",
    ),
    (30_022, 30_023, Meaning::Throttle, "the campaign sends too fast"),
    (
        30_024,
        30_024,
        Meaning::Account,
        "the sender has to be registered",
    ),
    (
        30_027,
        30_027,
        Meaning::Throttle,
        "the campaign's daily limit is reached",
    ),
    (
        30_028,
        30_035,
        Meaning::Account,
        "the sender has to be registered",
    ),
    (
        30_125,
        30_127,
        Meaning::Account,
        "the messaging service is not accepted",
    ),
    (35_111, 35_126, Meaning::Message, "a parameter is not accepted"),
    (
        63_001,
        63_002,
        Meaning::Account,
        "the channel's credentials are not accepted",
    ),
    (
        63_003,
        63_003,
        Meaning::Gone,
        "the channel does not know the number",
    ),
    (
        63_005,
        63_006,
        Meaning::Message,
        "the channel refuses the content",
    ),
    (
        63_007,
        63_008,
        Meaning::Account,
        "the channel is configured wrongly",
    ),
    (
        63_013,
        63_013,
        Meaning::Message,
        "the channel's policy refuses the message",
    ),
    (
        63_014,
        63_014,
        Meaning::Address,
        "the recipient has blocked the sender",
    ),
    (
        63_015,
        63_016,
        Meaning::Address,
        "the recipient has not agreed to it",
    ),
    (
        63_017,
        63_018,
        Meaning::Throttle,
        "the channel's rate is exceeded",
    ),
    (63_019, 63_019, Meaning::Message, "the media cannot be loaded"),
    (
        63_020,
        63_020,
        Meaning::Account,
        "the channel's business account is not accepted",
    ),
    (
        63_021,
        63_021,
        Meaning::Message,
        "the channel refuses the content",
    ),
    (
        63_022,
        63_022,
        Meaning::Account,
        "the channel's certificate is not accepted",
    ),
    (
        63_024,
        63_024,
        Meaning::Gone,
        "the channel does not know the number",
    ),
    (63_026, 63_026, Meaning::Message, "the message was filtered"),
    (
        63_027,
        63_028,
        Meaning::Message,
        "the channel's template does not fit",
    ),
    (63_030, 63_030, Meaning::Message, "a parameter is not accepted"),
    (
        63_031,
        63_033,
        Meaning::Address,
        "the channel does not send to this number",
    ),
    (63_034, 63_034, Meaning::Message, "the media is too big"),
    (
        63_035,
        63_036,
        Meaning::Address,
        "the channel does not reach this number",
    ),
    (63_037, 63_037, Meaning::Message, "the media cannot be loaded"),
    (
        63_038,
        63_038,
        Meaning::Throttle,
        "the account's daily limit is reached",
    ),
    (
        63_039,
        63_039,
        Meaning::ThrottleOfAddress,
        "too much is sent to this recipient",
    ),
    (
        63_040,
        63_042,
        Meaning::Message,
        "the channel's template is not active",
    ),
    (
        63_051,
        63_051,
        Meaning::Account,
        "the channel's business account is locked",
    ),
    (
        90_007,
        90_014,
        Meaning::Message,
        "the validity period is not accepted",
    ),
];

fn meaning(code: u32) -> Option<(Meaning, &'static str)> {
    let (.., meaning, detail) = MEANINGS
        .iter()
        .find(|(first, last, ..)| (*first..=*last).contains(&code))?;
    Some((*meaning, detail))
}

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
                "the provider's answer is none that it documents",
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
            retry_after: None,
            body: body.as_bytes().to_vec(),
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
    fn stop_has_a_reason_of_its_own() {
        let reason = |code| match error(400, code) {
            SendOutcome::AddressDead(_, reason) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(21_610), DeathReason::OptedOut);
        assert_eq!(reason(21_614), DeathReason::Gone);
    }

    #[test]
    fn each_code_has_one_meaning() {
        for (index, (first, last, ..)) in MEANINGS.iter().enumerate() {
            assert!(first <= last, "{first}");
            let overlaps = |(a, b, ..): &&(u32, u32, Meaning, &str)| a <= last && first <= b;
            assert_eq!(MEANINGS[index + 1..].iter().find(overlaps), None, "{first}");
        }
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
