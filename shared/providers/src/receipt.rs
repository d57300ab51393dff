//! Receipts: a provider's calls that report the fate of messages. Each provider that reports has a file `receipt.rs`, which
//! verifies a call's signature and reads the receipts in it.

use std::time::Duration;

use carillon_domain::{DeliveryStatus, Timestamp, suppression::SuppressionReason};
use http::HeaderMap;

use crate::ses::SnsReceipts;

/// A provider's call.
#[derive(Debug, Clone, Copy)]
pub struct Callback<'a> {
    /// The query of the URL as it was sent, without the question mark.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body as it was sent.
    pub body: &'a [u8],
}

impl Callback<'_> {
    /// The text of a header; `None` if there is none, several, or one that is not ASCII.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).into_iter();
        let first = values.next().filter(|_| values.next().is_none())?;
        first.to_str().ok()
    }
}

/// The greatest accepted age of a signed call. SendGrid and SNS repeat a call for at most 24 hours, and the signed time
/// may be that of the first try. A call that is replayed within this time has no effect, because its receipts are
/// already recorded.
const OLDEST_CALL: Duration = Duration::from_hours(25);
/// The greatest accepted lead of the provider's clock.
const AHEAD: Duration = Duration::from_mins(10);

/// Checks the time at which a call was signed.
pub(crate) fn check_time(signed_at: Timestamp, now: Timestamp) -> Result<(), NotGenuine> {
    let is_old = (now - signed_at).to_std().is_ok_and(|age| age > OLDEST_CALL);
    let is_ahead = (signed_at - now).to_std().is_ok_and(|ahead| ahead > AHEAD);
    if is_old || is_ahead {
        return Err(NotGenuine::OutOfTime);
    }
    Ok(())
}

/// The reason for which a call is not accepted as the provider's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotGenuine {
    /// It has no signature, or a malformed one.
    #[error("expected the provider's signature")]
    Unsigned,
    /// The signature belongs to other content or another key.
    #[error("the signature does not match the content and the account's secrets")]
    WrongSignature,
    /// The signed time is too old, or in the future.
    #[error("the signature is not of this time")]
    OutOfTime,
    /// SNS: it is about another topic than the account's.
    #[error("the message is of another topic than the account's")]
    WrongTopic,
    /// SNS: the URL of the certificate or of the confirmation is not on SNS's own host.
    #[error("the URL of the certificate or of the confirmation is not on SNS's own host")]
    ForeignUrl,
    /// SNS: the certificate cannot be read, or is not valid now.
    #[error("the certificate cannot be read, or is not valid now")]
    BadCertificate,
    /// SNS: the message came without its envelope.
    #[error("a raw message has no signature; turn raw message delivery off at the subscription")]
    RawDelivery,
}

impl NotGenuine {
    /// The reason's name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::WrongSignature => "wrong-signature",
            Self::OutOfTime => "out-of-time",
            Self::WrongTopic => "wrong-topic",
            Self::ForeignUrl => "foreign-url",
            Self::BadCertificate => "bad-certificate",
            Self::RawDelivery => "raw-delivery",
        }
    }
}

/// A genuine call whose body does not have the provider's form. It holds the expected form as a sentence without a full stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnreadableCall(pub String);

/// The report about one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The signed reference; `None` if the message was not sent with one.
    pub reference: Option<String>,
    /// The identity of the receipt within its attempt, which is the same in all repeats.
    pub id: String,
    /// The time of the reported event, as the provider states it.
    pub at: Option<Timestamp>,
    /// The provider's id of the message.
    pub message_id: Option<String>,
    /// The step of the timeline; `None` if the report leads to none.
    pub step: Option<ReceiptStep>,
    /// The address to be suppressed, if the report requires it.
    pub suppressed: Option<SuppressedAddress>,
    /// The address whose recipient has told the provider that the account may send again (START to a text message). Such a report is
    /// about no message, so it has no reference.
    pub opted_in: Option<String>,
}

/// The step that a receipt adds to a delivery's timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptStep {
    /// The status.
    pub status: DeliveryStatus,
    /// The provider's structured code.
    pub code: Option<String>,
    /// The report as a sentence without a full stop; not the provider's own text.
    pub detail: Option<String>,
}

impl ReceiptStep {
    /// A step with a code and a sentence.
    pub(crate) fn of(status: DeliveryStatus, code: impl Into<String>, detail: &str) -> Self {
        Self {
            status,
            code: Some(code.into()),
            detail: Some(detail.to_owned()),
        }
    }

    /// A step without code and sentence.
    pub(crate) fn plain(status: DeliveryStatus) -> Self {
        Self {
            status,
            code: None,
            detail: None,
        }
    }
}

/// An address that is suppressed because of a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressedAddress {
    /// The address as the provider names it.
    pub address: String,
    /// Why it takes no messages.
    pub reason: SuppressionReason,
    /// The provider's structured code.
    pub code: String,
}

/// A provider whose calls can be verified by the account's secrets alone.
pub trait SignedReceipts: Send + Sync {
    /// Checks the head of a call before its body is read: whether it has a signature, and of the provider's form. The body
    /// of `head` is empty.
    fn check_head(&self, head: &Callback<'_>, now: Timestamp) -> Result<(), NotGenuine>;

    /// Checks that the provider made a call.
    fn verify(&self, call: &Callback<'_>, now: Timestamp) -> Result<(), NotGenuine>;

    /// Reads the receipts of a genuine call.
    fn read(&self, call: &Callback<'_>) -> Result<Vec<Receipt>, UnreadableCall>;
}

/// The way in which a provider's receipts reach an account.
pub enum Receipts {
    /// The provider makes no calls, or the account lacks the settings for them. It holds the missing setting, if there is one.
    None(Option<&'static str>),
    /// Each call is verified by the account's secrets.
    Signed(Box<dyn SignedReceipts>),
    /// Calls come from Amazon SNS, which signs with a certificate that has to be fetched.
    Sns(Box<SnsReceipts>),
}

impl std::fmt::Debug for Receipts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None(_) => "Receipts::None",
            Self::Signed(_) => "Receipts::Signed",
            Self::Sns(_) => "Receipts::Sns",
        })
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// The step and the suppressed address of a receipt, such as `failed 21610 opted_out +491511234567`.
    pub(crate) fn summary(receipt: &Receipt) -> String {
        let step = receipt.step.as_ref().map(|step| {
            let code = step.code.as_deref().unwrap_or("-");
            format!("{} {code}", step.status)
        });
        let suppressed = receipt.suppressed.as_ref();
        let suppressed = suppressed.map(|found| format!(" {} {}", found.reason, found.address));
        let opted_in = receipt
            .opted_in
            .as_ref()
            .map(|address| format!(" opted in {address}"));
        format!(
            "{}{}{}",
            step.unwrap_or_else(|| "nothing".to_owned()),
            suppressed.unwrap_or_default(),
            opted_in.unwrap_or_default()
        )
    }
}
