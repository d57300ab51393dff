//! What a provider's answer means. Senders choose one of these by structured codes, never by text, and say whom it is
//! about; the policy (`policy.rs`) makes of it what follows.

use std::time::Duration;

use carillon_domain::{contact::DeathReason, retry::LONGEST_NAMED_WAIT};

/// What came of asking a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum SendOutcome {
    /// The provider took the message.
    Ok {
        /// Its name for the message.
        message_id: Option<String>,
    },
    /// It did not take it; later it may.
    Retry(Refusal),
    /// Too much is sent, or too early. No attempt is burned.
    Throttle(Refusal),
    /// The operator has to mend something. No attempt is burned.
    Config(Refusal),
    /// It will never take this message.
    Terminal(Refusal),
    /// The address takes no more messages.
    AddressDead(Refusal, DeathReason),
    /// The message may have gone out; its fate is unknown.
    Uncertain(Refusal),
}

/// Whom an answer is about: whom a pause, a park or a strike may hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// This message: its content or its size.
    Message,
    /// The recipient's address. A long run of such refusals without a success is the account's fault.
    Address,
    /// The domain of an e-mail address.
    Domain,
    /// The platform of a device (`android`, `ios`, `web`).
    Platform,
    /// The account: its credentials, its sender, its rate.
    Account,
    /// The connection, or the way to the provider.
    Connection,
}

/// An answer other than `Ok`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whom it is about.
    pub scope: Scope,
    /// The provider's structured code, or Carillon's (`timeout`, `connect`, …).
    pub code: String,
    /// A sentence for people; not the provider's own text.
    pub detail: String,
    /// When the provider says to come back.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// Whom it is about, a code and a sentence.
    pub fn new(scope: Scope, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            scope,
            code: code.into(),
            detail: detail.into(),
            retry_after: None,
        }
    }

    /// With the time that the provider named, of which [`LONGEST_NAMED_WAIT`] counts at most.
    #[must_use]
    pub fn after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after.map(|wait| wait.min(LONGEST_NAMED_WAIT));
        self
    }
}

/// An outcome without its particulars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    Ok,
    Retry,
    Throttle,
    Config,
    Terminal,
    AddressDead,
    Uncertain,
}

impl SendOutcome {
    /// The outcome's name in metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.class() {
            Class::Ok => "ok",
            Class::Retry => "retry",
            Class::Throttle => "throttle",
            Class::Config => "config",
            Class::Terminal => "terminal",
            Class::AddressDead => "address_dead",
            Class::Uncertain => "uncertain",
        }
    }

    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Ok { .. } => Class::Ok,
            Self::Retry(_) => Class::Retry,
            Self::Throttle(_) => Class::Throttle,
            Self::Config(_) => Class::Config,
            Self::Terminal(_) => Class::Terminal,
            Self::AddressDead(..) => Class::AddressDead,
            Self::Uncertain(_) => Class::Uncertain,
        }
    }

    /// Why not, and about whom; `None` if the provider took the message.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Ok { .. } => None,
            Self::Retry(refusal)
            | Self::Throttle(refusal)
            | Self::Config(refusal)
            | Self::Terminal(refusal)
            | Self::AddressDead(refusal, _)
            | Self::Uncertain(refusal) => Some(refusal),
        }
    }
}
