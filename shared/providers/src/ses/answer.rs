//! The meaning of SES's answers: by the error's type ([`meaning`]); without one, by the HTTP status.

use serde::Deserialize;

use super::codes::{Meaning, meaning};
use crate::{
    http::{ProviderResponse, of_the_way, status_code, undocumented},
    outcome::{Refusal, Scope, SendOutcome},
};

/// The header with the error's type (<https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html>, "Operation error
/// serialization").
const ERROR_TYPE: &str = "x-amzn-errortype";
/// The longest type, in characters; it becomes a code.
const LONGEST_TYPE: usize = 64;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sent {
    message_id: String,
}

#[derive(Deserialize)]
struct Failed {
    #[serde(rename = "__type")]
    kind: Option<String>,
    code: Option<String>,
}

/// The outcome of a mail by the answer to its request.
pub(super) fn classify(answer: &ProviderResponse) -> SendOutcome {
    if (200..300).contains(&answer.status) {
        let sent = serde_json::from_slice::<Sent>(&answer.body).ok();
        let Some(sent) = sent.filter(|sent| !sent.message_id.is_empty()) else {
            return undocumented(answer);
        };
        return SendOutcome::Ok {
            message_id: Some(sent.message_id),
        };
    }
    let kind = error_type(answer);
    let refusal = |scope, detail: &str| {
        let code = kind.clone().unwrap_or_else(|| status_code(answer));
        Refusal::new(scope, code, detail).after(answer.retry_after)
    };
    // There is no idempotency token, so after a 5xx it is unknown whether the mail was accepted.
    if answer.status >= 500 {
        let detail = "the service failed and may have taken the mail";
        return SendOutcome::Uncertain(refusal(Scope::Connection, detail));
    }
    match kind.as_deref().and_then(meaning) {
        Some((Meaning::Account | Meaning::Clock, detail)) => {
            SendOutcome::Config(refusal(Scope::Account, detail))
        }
        Some((Meaning::Message, detail)) => SendOutcome::Terminal(refusal(Scope::Message, detail)),
        Some((Meaning::Address, detail)) => SendOutcome::Terminal(refusal(Scope::Address, detail)),
        Some((Meaning::Throttle, detail)) => SendOutcome::Throttle(refusal(Scope::Account, detail)),
        Some((Meaning::Failed | Meaning::Doubtful, detail)) => {
            SendOutcome::Uncertain(refusal(Scope::Connection, detail))
        }
        None => match answer.status {
            429 => SendOutcome::Throttle(refusal(Scope::Account, "the account sends too fast")),
            401 | 403 => SendOutcome::Config(refusal(Scope::Account, "the credentials are not accepted")),
            404 | 405 => SendOutcome::Config(refusal(Scope::Account, "the account's URL is not SES's API")),
            413 => SendOutcome::Terminal(refusal(Scope::Message, "the mail is too big")),
            // A complete 4xx with a type that is not in the list: it ends this message only, unless a long run of addresses
            // gets it; then the account is at fault.
            400..500 => of_the_way(answer)
                .unwrap_or_else(|| SendOutcome::Terminal(refusal(Scope::Address, "the mail was refused"))),
            _ => undocumented(answer),
        },
    }
}

/// The error's type: of the header, or of the body's `__type` or `code`. A namespace before `#` and a URL after `:` are no
/// part of it.
fn error_type(answer: &ProviderResponse) -> Option<String> {
    let bare = |text: &str| {
        let name = text.split(':').next()?.rsplit('#').next()?.trim();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let is_type = (1..=LONGEST_TYPE).contains(&name.len()) && name.chars().all(fits);
        is_type.then(|| name.to_owned())
    };
    let of_header = answer.header(ERROR_TYPE).and_then(bare);
    of_header.or_else(|| {
        let failed = serde_json::from_slice::<Failed>(&answer.body).ok()?;
        failed.kind.or(failed.code).as_deref().and_then(bare)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, header: Option<&str>, body: &str) -> ProviderResponse {
        let mut answer = ProviderResponse {
            status,
            body: body.as_bytes().to_vec(),
            ..ProviderResponse::default()
        };
        if let Some(kind) = header {
            answer.headers.insert(ERROR_TYPE, kind.parse().unwrap());
        }
        answer
    }

    fn told(answer: &ProviderResponse) -> String {
        let outcome = classify(answer);
        let refusal = outcome.refusal().unwrap();
        let scope = format!("{:?}", refusal.scope).to_lowercase();
        format!("{} {scope} {}", outcome.name(), refusal.code)
    }

    #[test]
    fn each_documented_type_is_about_the_account_the_address_or_the_message() {
        for (status, kind, expected) in [
            // SendEmail
            (400, "AccountSuspendedException", "config account"),
            (400, "SendingPausedException", "config account"),
            (400, "MailFromDomainNotVerifiedException", "config account"),
            (404, "NotFoundException", "config account"),
            (400, "MessageRejected", "terminal address"),
            (400, "BadRequestException", "terminal address"),
            (429, "TooManyRequestsException", "throttle account"),
            (400, "LimitExceededException", "throttle account"),
            (500, "InternalServiceErrorException", "uncertain connection"),
            // all services
            (403, "AccessDeniedException", "config account"),
            (400, "AccessDeniedException", "config account"),
            (403, "ExpiredTokenException", "config account"),
            (403, "IncompleteSignature", "config account"),
            (500, "InternalFailure", "uncertain connection"),
            (400, "InvalidAction", "config account"),
            (403, "InvalidClientTokenId", "config account"),
            (403, "InvalidSignatureException", "config account"),
            (400, "InvalidParameterCombination", "terminal address"),
            (400, "InvalidParameterValue", "terminal address"),
            (400, "MalformedHttpRequestException", "terminal message"),
            (404, "MalformedQueryString", "config account"),
            (403, "MissingAuthenticationToken", "config account"),
            (403, "MissingAuthenticationTokenException", "config account"),
            (400, "MissingParameter", "terminal address"),
            (401, "NotAuthorized", "config account"),
            (403, "OptInRequired", "config account"),
            (400, "RequestAbortedException", "uncertain connection"),
            (413, "RequestEntityTooLargeException", "terminal message"),
            (400, "RequestExpired", "config account"),
            (403, "RequestExpired", "config account"),
            (403, "RequestTimeTooSkewed", "config account"),
            (408, "RequestTimeoutException", "uncertain connection"),
            (503, "ServiceUnavailable", "uncertain connection"),
            (403, "SignatureDoesNotMatch", "config account"),
            (400, "ThrottlingException", "throttle account"),
            (400, "Throttling", "throttle account"),
            (404, "UnknownOperationException", "config account"),
            (403, "UnrecognizedClientException", "config account"),
            (400, "ValidationError", "terminal address"),
            (400, "ValidationException", "terminal address"),
            (400, "SomethingNew", "terminal address"),
        ] {
            let expected = format!("{expected} {kind}");
            let body = |name: &str| format!(r#"{{"{name}":"{kind}","message":"m"}}"#);
            assert_eq!(told(&answer(status, Some(kind), "{}")), expected);
            assert_eq!(told(&answer(status, None, &body("__type"))), expected);
            assert_eq!(told(&answer(status, None, &body("code"))), expected);
        }
    }

    #[test]
    fn a_type_is_read_without_its_namespace_and_its_url() {
        for (header, body) in [
            (
                Some("TooManyRequestsException:http://internal.amazon.com/coral/"),
                "",
            ),
            (
                None,
                r#"{"__type":"com.amazonaws.sesv2#TooManyRequestsException"}"#,
            ),
        ] {
            assert_eq!(
                told(&answer(429, header, body)),
                "throttle account TooManyRequestsException"
            );
        }
    }

    #[test]
    fn without_a_type_the_status_decides_and_a_5xx_is_uncertain() {
        for (status, expected) in [
            (400, "terminal address http-400"),
            (401, "config account http-401"),
            (403, "config account http-403"),
            (404, "config account http-404"),
            (408, "uncertain connection http-408"),
            (413, "terminal message http-413"),
            (429, "throttle account http-429"),
            (302, "uncertain connection http-302"),
            (500, "uncertain connection http-500"),
            (503, "uncertain connection http-503"),
        ] {
            for body in ["", "<html>", "{}", r#"{"__type":"<script>"}"#, r#"{"__type":7}"#] {
                assert_eq!(told(&answer(status, None, body)), expected, "{body}");
            }
        }
        let sent = classify(&answer(200, None, r#"{"MessageId":"0107-1"}"#));
        let message_id = Some("0107-1".to_owned());
        assert_eq!(sent, SendOutcome::Ok { message_id });
        for body in ["", "<html>", "{}", r#"{"MessageId":""}"#] {
            assert_eq!(
                told(&answer(200, None, body)),
                "uncertain connection http-200",
                "{body}"
            );
        }
    }
}
