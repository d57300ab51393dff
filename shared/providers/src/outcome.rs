//! The meaning of a provider's answer. Outcome and scope follow structured codes, never text. The worker's policy
//! decides the consequences.

use std::time::Duration;

use carillon_domain::{Timestamp, contact::DeathReason, retry::LONGEST_NAMED_WAIT};

/// The outcome of a call of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum SendOutcome {
    /// The provider accepted the message.
    Ok {
        /// The provider's id of the message.
        message_id: Option<String>,
    },
    /// The provider did not accept the message; a later try may succeed.
    Retry(Refusal),
    /// The rate is too high, or the message came too early. No attempt is counted.
    Throttle(Refusal),
    /// The operator must repair something. No attempt is counted.
    Config(Refusal),
    /// The provider will never accept this message.
    Terminal(Refusal),
    /// The address receives no more messages.
    AddressDead(Refusal, DeathReason),
    /// The message may have gone out; its fate is unknown.
    Uncertain(Refusal),
}

/// The subject of an answer, to which a pause, a park or a strike may apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// This message: its content or its size.
    Message,
    /// The recipient's address. A long run of such refusals without a success is the account's fault.
    Address,
    /// The domain of an e-mail address.
    Domain,
    /// The country of a phone number, or the part of it that its first digits name.
    Country,
    /// The endpoint of a webhook. Its answers say nothing about the account or about other endpoints.
    Endpoint,
    /// The platform of a device (`android`, `ios`, `web`).
    Platform,
    /// The recipient's address or the account: the provider does not say which. It counts as the address's until a run of addresses
    /// gets it without a success.
    Unnamed,
    /// The account: its credentials, its sender, its rate.
    Account,
    /// The connection, or the network path to the provider.
    Connection,
}

/// An answer other than `Ok`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The subject of the refusal.
    pub scope: Scope,
    /// The provider's structured code, or Carillon's (`timeout`, `connect`, …).
    pub code: String,
    /// The refusal as a sentence; not the provider's own text.
    pub detail: String,
    /// The wait that the provider named.
    pub retry_after: Option<Duration>,
    /// The time at which the provider found the address dead, if it names one. An address that was registered later is
    /// alive.
    pub dead_since: Option<Timestamp>,
}

impl Refusal {
    /// Builds a refusal from its subject, a code and a sentence.
    pub fn new(scope: Scope, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            scope,
            code: code.into(),
            detail: detail.into(),
            retry_after: None,
            dead_since: None,
        }
    }

    /// Adds the wait that the provider named, at most [`LONGEST_NAMED_WAIT`].
    #[must_use]
    pub fn after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after.map(|wait| wait.min(LONGEST_NAMED_WAIT));
        self
    }

    /// Adds the time at which the provider found the address dead.
    #[must_use]
    pub fn since(mut self, dead_since: Option<Timestamp>) -> Self {
        self.dead_since = dead_since;
        self
    }
}

/// The kind of an outcome, without its details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// [`SendOutcome::Ok`].
    Ok,
    /// [`SendOutcome::Retry`].
    Retry,
    /// [`SendOutcome::Throttle`].
    Throttle,
    /// [`SendOutcome::Config`].
    Config,
    /// [`SendOutcome::Terminal`].
    Terminal,
    /// [`SendOutcome::AddressDead`].
    AddressDead,
    /// [`SendOutcome::Uncertain`].
    Uncertain,
}

impl Class {
    /// Every class, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Ok,
        Self::Retry,
        Self::Throttle,
        Self::Config,
        Self::Terminal,
        Self::AddressDead,
        Self::Uncertain,
    ];

    /// The name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Retry => "retry",
            Self::Throttle => "throttle",
            Self::Config => "config",
            Self::Terminal => "terminal",
            Self::AddressDead => "address_dead",
            Self::Uncertain => "uncertain",
        }
    }
}

impl SendOutcome {
    /// The outcome's name in metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.class().name()
    }

    /// The outcome's class.
    #[must_use]
    pub fn class(&self) -> Class {
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

    /// The refusal; `None` if the provider accepted the message.
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
