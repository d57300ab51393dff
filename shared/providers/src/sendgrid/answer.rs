//! The meaning of SendGrid's answers.
//!
//! SendGrid has no error codes. The status decides; of a 400, the names of the fields in `errors[].field` decide its
//! scope. Its sentences are not read.
//!
//! Sources: statuses from <https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/errors>, the
//! fields of a 400 from <https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors>, 403 and 413 from
//! <https://support.sendgrid.com/hc/en-us/articles/18322114821403>, the headers of a 429 from
//! <https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits>.

use std::time::Duration;

use carillon_domain::{Timestamp, contact::DeathReason};
use serde::Deserialize;

use crate::{
    http::{ProviderResponse, of_the_way, status_code, undocumented},
    outcome::{Refusal, Scope, SendOutcome},
};

/// The id by which SendGrid's events name the mail: `sg_message_id` begins with it.
const MESSAGE_ID: &str = "x-message-id";
/// The time at which the rate's period ends, in seconds since 1970.
const RESET: &str = "x-ratelimit-reset";

#[derive(Deserialize)]
struct Failed {
    #[serde(default)]
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    field: Option<String>,
}

/// The part of a request that a field belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The receiver's address.
    Receiver,
    /// A value that comes from the account's settings.
    Settings,
    /// A value that comes from the message.
    Message,
}

/// The outcome of a mail by the answer to its request.
pub(super) fn classify(answer: &ProviderResponse, now: Timestamp) -> SendOutcome {
    // 202, or 200 in sandbox mode, and no body. Another 2xx is not SendGrid's answer to a mail, such as a proxy's page.
    if answer.status == 202 || (answer.status == 200 && answer.body.is_empty()) {
        let message_id = answer.header(MESSAGE_ID).map(str::to_owned);
        return SendOutcome::Ok { message_id };
    }
    if answer.status == 400 {
        return bad_request(answer);
    }
    let refusal =
        |scope, detail: &str| Refusal::new(scope, status_code(answer), detail).after(answer.retry_after);
    let config = |detail| SendOutcome::Config(refusal(Scope::Account, detail));
    match answer.status {
        401 => config("the API key is not accepted, or the account's credits are used up"),
        // Also a temporary block after many bad requests.
        403 => config("the sender is not verified, the key lacks a permission, or the account is blocked"),
        404 | 405 | 406 | 415 => config("the account's URL is not SendGrid's API"),
        413 => SendOutcome::Terminal(refusal(Scope::Message, "the mail is too big")),
        429 => {
            let named = answer.retry_after.or_else(|| until_reset(answer, now));
            SendOutcome::Throttle(refusal(Scope::Account, "the account sends too fast").after(named))
        }
        451 => config("the account's region does not allow it"),
        // Another 4xx ends this message only, unless a long run of addresses gets it; then the account is at fault.
        400..500 => of_the_way(answer)
            .unwrap_or_else(|| SendOutcome::Terminal(refusal(Scope::Address, "the mail was refused"))),
        // There is no idempotency key, so after a 5xx it is unknown whether the mail was accepted.
        500.. => SendOutcome::Uncertain(refusal(
            Scope::Connection,
            "the provider failed and may have taken the mail",
        )),
        _ => undocumented(answer),
    }
}

/// The outcome of a 400. The code is the first field that it names, without its places in lists.
fn bad_request(answer: &ProviderResponse) -> SendOutcome {
    let faults = serde_json::from_slice::<Failed>(&answer.body).map(|failed| failed.errors);
    let fields = faults
        .unwrap_or_default()
        .into_iter()
        .filter_map(|fault| fault.field);
    let fields: Vec<String> = fields.map(|field| without_places(&field)).collect();
    let refusal = |scope, is_of: Part, detail: &str| {
        let named = fields.iter().find(|field| part(field) == Some(is_of));
        let code = named.map_or_else(|| "http-400".to_owned(), |field| format!("http-400:{field}"));
        Refusal::new(scope, code, detail).after(answer.retry_after)
    };
    let is_about = |wanted| fields.iter().any(|field| part(field) == Some(wanted));
    if is_about(Part::Settings) {
        let detail = "the account's sender or settings are not accepted";
        SendOutcome::Config(refusal(Scope::Account, Part::Settings, detail))
    } else if is_about(Part::Receiver) {
        let detail = "the address is not a valid e-mail address";
        SendOutcome::AddressDead(refusal(Scope::Address, Part::Receiver, detail), DeathReason::Gone)
    } else if is_about(Part::Message) {
        SendOutcome::Terminal(refusal(Scope::Message, Part::Message, "the mail is not accepted"))
    } else {
        SendOutcome::Terminal(refusal(Scope::Address, Part::Message, "the mail was refused"))
    }
}

/// A field without its places in lists: `personalizations.0.to.0.email` is `personalizations.to.email`. At most 60
/// characters, since it becomes a part of a code.
fn without_places(field: &str) -> String {
    let is_name = |part: &&str| !part.is_empty() && !part.bytes().all(|byte| byte.is_ascii_digit());
    let names: Vec<&str> = field.split('.').filter(is_name).collect();
    names.join(".").chars().take(60).collect()
}

/// The part of the request that a field without places belongs to; `None` for a field that no request of ours has.
fn part(field: &str) -> Option<Part> {
    Some(match field {
        "personalizations.to" | "personalizations.to.email" => Part::Receiver,
        "subject" | "content" | "headers" | "personalizations" | "custom_args" => Part::Message,
        "from" | "categories" | "mail_settings" => Part::Settings,
        _ if field.starts_with("from.")
            || field.starts_with("categories.")
            || field.starts_with("mail_settings.") =>
        {
            Part::Settings
        }
        _ if field.starts_with("content.")
            || field.starts_with("headers.")
            || field.starts_with("personalizations.") =>
        {
            Part::Message
        }
        _ => return None,
    })
}

/// The time left until the rate's period ends.
fn until_reset(answer: &ProviderResponse, now: Timestamp) -> Option<Duration> {
    let seconds: i64 = answer.header(RESET)?.trim().parse().ok()?;
    let wait = (Timestamp::from_timestamp(seconds, 0)? - now).to_std().ok()?;
    (!wait.is_zero()).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-24T10:00:00Z";

    fn with_header(status: u16, name: &'static str, value: &'static str) -> ProviderResponse {
        let mut answer = ProviderResponse {
            status,
            ..ProviderResponse::default()
        };
        answer.headers.insert(name, value.parse().unwrap());
        answer
    }

    fn of(answer: &ProviderResponse) -> SendOutcome {
        classify(answer, NOW.parse().unwrap())
    }

    fn told(status: u16, body: &str) -> String {
        let outcome = of(&ProviderResponse {
            status,
            body: body.as_bytes().to_vec(),
            ..ProviderResponse::default()
        });
        let refusal = outcome.refusal().unwrap();
        let scope = format!("{:?}", refusal.scope).to_lowercase();
        format!("{} {scope} {}", outcome.name(), refusal.code)
    }

    #[test]
    fn each_documented_status_has_its_meaning() {
        for (status, expected) in [
            (400, "terminal address http-400"),
            (401, "config account http-401"),
            (403, "config account http-403"),
            (404, "config account http-404"),
            (405, "config account http-405"),
            (406, "config account http-406"),
            (413, "terminal message http-413"),
            (415, "config account http-415"),
            (429, "throttle account http-429"),
            (451, "config account http-451"),
            (418, "terminal address http-418"),
            (500, "uncertain connection http-500"),
            (502, "uncertain connection http-502"),
            (503, "uncertain connection http-503"),
            (302, "uncertain connection http-302"),
        ] {
            for body in ["", "<html>", r#"{"errors":[{"message":"m","field":null}]}"#] {
                assert_eq!(told(status, body), expected, "{body}");
            }
        }
    }

    #[test]
    fn the_fields_of_a_400_tell_the_settings_from_the_address_and_the_message() {
        for (fields, expected) in [
            (
                vec!["personalizations.0.to.0.email"],
                "address_dead address http-400:personalizations.to.email",
            ),
            (
                vec!["personalizations.0.to"],
                "address_dead address http-400:personalizations.to",
            ),
            (vec!["from.email"], "config account http-400:from.email"),
            (vec!["from"], "config account http-400:from"),
            (vec!["categories.3"], "config account http-400:categories"),
            (
                vec!["mail_settings.sandbox_mode.enable"],
                "config account http-400:mail_settings.sandbox_mode.enable",
            ),
            (vec!["subject"], "terminal message http-400:subject"),
            (vec!["content.0.value"], "terminal message http-400:content.value"),
            (vec!["headers"], "terminal message http-400:headers"),
            (
                vec!["personalizations.0.custom_args"],
                "terminal message http-400:personalizations.custom_args",
            ),
            (
                vec!["personalizations"],
                "terminal message http-400:personalizations",
            ),
            (vec!["reply_to.email"], "terminal address http-400"),
            // A setting that is wrong makes every request wrong: the address is not to blame.
            (
                vec!["personalizations.0.to.0.email", "from.email"],
                "config account http-400:from.email",
            ),
        ] {
            let errors: Vec<_> = fields
                .iter()
                .map(|field| serde_json::json!({"message": "m", "field": field, "help": "h"}))
                .collect();
            let body = serde_json::json!({ "errors": errors }).to_string();
            assert_eq!(told(400, &body), expected, "{fields:?}");
        }
    }

    #[test]
    fn an_accepted_mail_has_the_id_of_its_receipts() {
        let message_id = Some("14c5d75ce93".to_owned());
        let taken = of(&with_header(202, "x-message-id", "14c5d75ce93"));
        assert_eq!(taken, SendOutcome::Ok { message_id });
        let sandbox = of(&ProviderResponse {
            status: 200,
            ..ProviderResponse::default()
        });
        assert_eq!(sandbox, SendOutcome::Ok { message_id: None });
        for (status, body) in [(200, "<html>"), (200, "{}"), (204, "")] {
            assert_eq!(told(status, body), format!("uncertain connection http-{status}"));
        }
    }

    #[test]
    fn a_throttle_lasts_until_the_period_ends() {
        let wait = |answer| of(&answer).refusal().unwrap().retry_after;
        // 2026-11-24T10:00:30Z
        let at = |reset| with_header(429, "x-ratelimit-reset", reset);
        assert_eq!(wait(at("1795514430")), Some(Duration::from_secs(30)));
        for none in [
            "",
            "soon",
            "1392815263",
            "1795514400",
            "-1",
            "9999999999999999999",
        ] {
            assert_eq!(wait(at(none)), None, "{none}");
        }
        let named = ProviderResponse {
            retry_after: Some(Duration::from_secs(7)),
            ..at("1795514430")
        };
        assert_eq!(wait(named), Some(Duration::from_secs(7)));
        // A period that ends far in the future counts an hour, as every named wait does.
        assert_eq!(wait(at("1895514430")), Some(Duration::from_hours(1)));
    }
}
