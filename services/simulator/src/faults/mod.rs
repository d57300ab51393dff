//! Fault scripts: the share of the sends that fail, and their failures.
//!
//! A script is a list of rules. For every message sent to a provider (token requests and reads are never
//! disturbed) each rule for that provider and that recipient rolls its own dice, in the order of the list.
//! Delays of rules that only delay add up. The first other rule that hits decides; later rules are not
//! evaluated. Scripts do not survive restarts.

mod check;
mod plan;
mod select;

use serde::{Deserialize, Deserializer, Serialize};

pub use self::check::InvalidField;
pub(crate) use self::check::enhanced_code_fits;
pub use self::plan::Faults;
pub(crate) use self::plan::{Answer, Effect, Verdict};
pub(crate) use self::select::Sent;
use crate::Provider;

/// The most rules in a script.
pub const MAX_RULES: usize = 64;

/// One rule of a fault script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The provider whose sends the rule applies to.
    pub provider: Target,
    /// The share of the sends that the rule hits, in percent: more than 0, at most 100.
    #[serde(default = "every_one")]
    pub percent: f64,
    /// The recipients: an address, a number or a token, in which `*` stands for any text, such as
    /// `*@grey.example` (a domain) or `ios-*` (devices whose tokens begin so).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The share of recipients, in percent; always the same ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipients_percent: Option<f64>,
    /// The step of an SMTP session; by default the final dot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<SmtpStep>,
    /// SMTP: refused at RCPT until this many milliseconds after the recipient was first tried. The default
    /// status is 451 4.7.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greylist_ms: Option<u64>,
    /// SMTP: a connection without a command for this many milliseconds is sent the status (by default 421)
    /// and closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
    /// FCM: the name in the error's details. For `INVALID_ARGUMENT` it is a field; without it no field is
    /// named, as for a payload that is too big. For `QUOTA_EXCEEDED` it is a quota's subject such as
    /// `device:x`. SendGrid: the field that the error names, such as `from.email`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The status of the answer: HTTP 400 to 599; for SMTP the reply code, 400 to 599.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The provider's own error code: an FCM `errorCode`, a Twilio number, an SMTP enhanced status code, an
    /// error type of SES. Without it,
    /// the code that usually comes with the status. SendGrid's errors have none.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text_or_number"
    )]
    pub code: Option<String>,
    /// `Retry-After` (HTTP only): seconds, or any text that a header can have. SendGrid answers seconds of a 429 as the
    /// time of `X-RateLimit-Reset`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text_or_number"
    )]
    pub retry_after: Option<String>,
    /// A delay in milliseconds: before the message is processed, or, if it is `recorded`, before the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// The failure; by default `answer` if there is a status, else only the delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Whether the message is received in spite of the fault, so that its outcome is uncertain for the sender.
    #[serde(default)]
    pub recorded: bool,
    /// The reports of the message's fate. A rule with it has no other effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptFault>,
}

/// The deviation of a message's reports from the usual: delivered, once, in order, signed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptFault {
    /// The last report, in the provider's word, such as `undelivered` of Twilio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// The code of the last report.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text_or_number"
    )]
    pub code: Option<String>,
    /// The number of times that each report is sent, up to 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<u8>,
    /// Whether the last report is sent first.
    #[serde(default)]
    pub reversed: bool,
    /// A fault of the signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<SignatureFault>,
}

/// A fault of a report's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignatureFault {
    /// The signature belongs to other content.
    Wrong,
}

fn every_one() -> f64 {
    100.0
}

impl Fault {
    /// A rule that hits all sends to `provider` and has no effect yet.
    pub fn every(provider: Target) -> Self {
        Self {
            provider,
            percent: every_one(),
            to: None,
            recipients_percent: None,
            at: None,
            greylist_ms: None,
            idle_ms: None,
            field: None,
            status: None,
            code: None,
            retry_after: None,
            delay_ms: None,
            action: None,
            recorded: false,
            receipt: None,
        }
    }
}

/// The provider whose sends a rule hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// FCM's sends.
    Fcm,
    /// APNs' sends.
    Apns,
    /// Twilio's sends.
    Twilio,
    /// SMTP sessions.
    Smtp,
    /// SendGrid's sends.
    SendGrid,
    /// SES's sends.
    Ses,
    /// Requests to endpoints of webhooks.
    Webhook,
    /// All providers.
    #[serde(rename = "*")]
    Any,
}

impl Target {
    fn covers(self, provider: Provider) -> bool {
        match self {
            Self::Any => true,
            Self::Fcm => provider == Provider::Fcm,
            Self::Apns => provider == Provider::Apns,
            Self::Twilio => provider == Provider::Twilio,
            Self::Smtp => provider == Provider::Smtp,
            Self::SendGrid => provider == Provider::SendGrid,
            Self::Ses => provider == Provider::Ses,
            Self::Webhook => provider == Provider::Webhook,
        }
    }
}

/// A step of an SMTP session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpStep {
    /// The greeting.
    Connect,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The final dot. It is the only step of HTTP sends.
    End,
}

/// The failure of a message that a rule hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// An answer with the status.
    Answer,
    /// No answer; the connection stays open until the client gives up.
    Hang,
    /// The connection is reset (TCP RST) instead of an answer.
    Reset,
    /// The connection is closed after the answer (HTTP/1.1 `Connection: close`, the nearest equivalent of HTTP/2's
    /// GOAWAY; SMTP 421). Without a status the HTTP answer is the usual one.
    GoAway,
}

/// Twilio's codes are numbers, the others' are text; both forms are read.
fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a text or a number")]
    enum Code {
        Text(String),
        Number(serde_json::Number),
    }
    Ok(Option::<Code>::deserialize(deserializer)?.map(|code| match code {
        Code::Text(text) => text,
        Code::Number(number) => number.to_string(),
    }))
}
