//! What a provider's answer means. Senders choose one of these by structured codes, never by text; the deliver stage
//! obeys.

use std::time::Duration;

use carillon_domain::retry::LONGEST_NAMED_WAIT;

/// What came of asking a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum SendOutcome {
    /// The provider took the message.
    Ok {
        /// Its name for the message.
        message_id: Option<String>,
    },
    /// It did not take it; later it may. Many in a row park the account, unless they speak of their messages.
    Retry(Refusal),
    /// The account sends too fast: the sender pauses, not the record.
    Throttle(Refusal),
    /// The operator has to mend something: the account is parked, and no attempt is burned.
    Config(Refusal),
    /// It will never take this message.
    Terminal(Refusal),
    /// The address is gone.
    AddressDead(Refusal),
    /// The message may have gone out; nobody knows.
    Uncertain(Refusal),
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The provider's structured code, or Carillon's (`timeout`, `connect`, …).
    pub code: String,
    /// A sentence for people; not the provider's own text.
    pub detail: String,
    /// When the provider says to come back.
    pub retry_after: Option<Duration>,
    /// It speaks of this message or its recipient: the account itself works.
    pub is_of_message: bool,
}

impl Refusal {
    /// A code and a sentence.
    pub fn new(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            detail: detail.into(),
            retry_after: None,
            is_of_message: false,
        }
    }

    /// That speaks of this message or its recipient, not of the account.
    #[must_use]
    pub fn of_message(mut self) -> Self {
        self.is_of_message = true;
        self
    }

    /// With the time that the provider named, of which [`LONGEST_NAMED_WAIT`] counts at most.
    #[must_use]
    pub fn after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after.map(|wait| wait.min(LONGEST_NAMED_WAIT));
        self
    }
}

impl SendOutcome {
    /// The outcome's name in metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ok { .. } => "ok",
            Self::Retry(_) => "retry",
            Self::Throttle(_) => "throttle",
            Self::Config(_) => "config",
            Self::Terminal(_) => "terminal",
            Self::AddressDead(_) => "address_dead",
            Self::Uncertain(_) => "uncertain",
        }
    }
}
