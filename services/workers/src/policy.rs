//! The consequences of a provider's answer. This is the only place that turns the answer's class, its scope
//! and the earlier answers into back-off, park, strike or end. It is pure. The account's breaker (`account/breaker/`) keeps the
//! history; the account and the deliver stage carry out the ruling.
//!
//! A refused address is weak evidence, because a wrong service account, or a relay that does not know the
//! sender, refuses every recipient with the same code. Such a refusal is therefore *doubted* until a success
//! shows that the account works; then it is believed. [`MANY_REFUSED`] refused addresses in a row without a
//! success, or [`SOME_REFUSED`] after [`PATIENCE`], are the account's fault: it is parked, its messages wait
//! without an attempt, and no address is struck. Fewer refusals are believed after [`PATIENCE`], so that an
//! installation with one recipient learns that the address is gone.
//!
//! A refusal of the account itself, by contrast, parks it at once. Some servers use such answers for a single message. So a message
//! that parked the account comes back after the others, which go first and may show that the account works. As long as one
//! message alone was refused, its parks stay short. Once a success has refuted a code, later refusals with that code park the
//! account only if [`SUSPECTS_IN_A_ROW`] messages get them without a success between.
//!
//! The history belongs to one process and starts empty. A run of refusals may be spread over restarts, or be
//! slow enough for each refusal to wait out its patience alone. Such a run is noticed at its tenth address;
//! the strikes that this process made in the run are then revoked.

use std::time::Duration;

use carillon_domain::retry::with_jitter;
use carillon_providers::{Class, Scope};

/// Consecutive failures, over all deliveries, after which the account is parked.
pub(crate) const FAILURES_IN_A_ROW: u32 = 25;
/// Addresses refused in a row after which the account is at fault at once.
pub(crate) const MANY_REFUSED: usize = 100;
/// Addresses refused in a row after which the account is at fault if no success comes within [`PATIENCE`].
pub(crate) const SOME_REFUSED: usize = 10;
/// The longest wait of a refused address for a success that confirms the refusal.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// Consecutive addresses refused with a refuted code, after which the account is at fault after all. A success has
/// refuted the code earlier.
pub(crate) const SUSPECTS_IN_A_ROW: usize = 3;
/// The time after the end of a park at which the message that caused the park comes back. Messages that wait for an
/// account look again within a second or two, so one of them is the probe.
const OTHERS_FIRST: Duration = Duration::from_secs(3);
/// Consecutive domains that defer messages, without a success between, after which the account counts as sending too
/// fast.
pub(crate) const DOMAINS_IN_A_ROW: usize = 10;

/// Addresses in a row whose messages are refused for a rate that may be the address's or the account's, without a success in between,
/// after which it counts as the account's.
pub(crate) const ADDRESSES_IN_A_ROW: usize = 10;

/// The first park of an account. Each following park is twice as long.
pub(crate) const FIRST_PARK: Duration = Duration::from_secs(2);
/// The longest park after an operator's fault or a run of failures.
const LAST_PARK: Duration = Duration::from_mins(5);
/// The longest park after a run of refused addresses. It is shorter, because the next message may go to a
/// good address.
const LAST_PARK_OF_REFUSALS: Duration = Duration::from_mins(1);
/// The first pause of an account that is throttled without a `Retry-After`.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest wait of a message at which the account was throttled again and again. If the account's own pauses stay
/// shorter, the account works meanwhile, so the answer may concern this message alone.
const LAST_OWN_WAIT: Duration = Duration::from_mins(1);
/// The first wait of a message or a domain after a temporary refusal. Greylisting servers expect minutes (RFC
/// 6647 §5.1).
pub(crate) const FIRST_WAIT: Duration = Duration::from_mins(1);
/// The longest pause of a domain. It is short, because the domain may accept other messages.
const LAST_PAUSE_OF_DOMAIN: Duration = Duration::from_mins(5);

/// The cause of an account's park.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Cause {
    /// The operator must repair something.
    Operator,
    /// A run of failures.
    Failures,
    /// A run of refused addresses.
    Refusals,
}

impl Cause {
    /// The stable word under which it is stored.
    pub(crate) fn code(self) -> &'static str {
        self.into()
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "the provider refuses the account",
            Self::Failures => "many consecutive failures",
            Self::Refusals => "many addresses refused in a row without a success between",
        }
    }
}

/// The properties of an answer on which the policy depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AnswerKind {
    pub(crate) class: Class,
    pub(crate) scope: Scope,
    /// The provider's `Retry-After`.
    pub(crate) named: Option<Duration>,
}

/// The earlier answers. A count includes the present answer if it is of the counted kind.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct History {
    /// Pauses of the account since it last worked, because it was throttled.
    pub(crate) throttles: u32,
    /// Parks of the account since it last worked.
    pub(crate) parks: u32,
    /// The cause of the last park.
    pub(crate) cause: Option<Cause>,
    /// Consecutive failures of the account.
    pub(crate) failures: u32,
    /// Addresses refused since the last success.
    pub(crate) refused: usize,
    /// Domains that deferred messages since the last success.
    pub(crate) domains: usize,
    /// Addresses whose messages were refused since the last success for a rate that may be the account's.
    pub(crate) throttled: usize,
    /// Addresses whose messages were refused because of the account since the last success.
    pub(crate) suspects: usize,
    /// Whether a success has ended an earlier park for the same code, which one message had caused.
    pub(crate) is_refuted: bool,
    /// Pauses of the message's domain or endpoint, or parks of its platform, since that last accepted a message.
    pub(crate) pauses: u32,
    /// Waits of the message that did not count as attempts.
    pub(crate) waits: u32,
    /// Attempts at the message, this one included.
    pub(crate) attempts: u32,
}

/// The effect of an answer on the account, or on a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// No effect.
    None,
    /// The account works, so all runs are over.
    Works,
    /// The account answers normally but did not accept the message. A run of refused addresses continues.
    Answers,
    /// The account failed once more.
    Fails,
    /// The account refused one more address.
    Refuses,
    /// The account pauses for this long.
    Pause(Duration),
    /// The account pauses for this long; then one message goes first.
    Park(Duration, Cause),
}

/// The effect of an answer on the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    /// The message was sent.
    Sent,
    /// Another attempt, by the retry policy and no sooner than this.
    Retry { no_sooner: Duration },
    /// The message comes back after this wait; no attempt is counted.
    Wait(Duration),
    /// The delivery ends.
    End,
    /// The delivery ends if the account works; otherwise the message waits.
    Doubt,
    /// The message may have gone out.
    Uncertain,
}

/// The consequences of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ruling {
    pub(crate) account: Reaction,
    /// The message's domain, country, endpoint or platform.
    pub(crate) part: Reaction,
    pub(crate) message: Course,
}

/// The policy. `longest` bounds every wait without a provider's `Retry-After`; `jitter` in 0..1 adds to a
/// wait as [`with_jitter`] says.
pub(crate) fn rule(answer: AnswerKind, history: &History, longest: Duration, jitter: f64) -> Ruling {
    let AnswerKind { class, scope, named } = answer;
    let wait = |first, times, most: Duration| {
        let own = doubled(first, times, most.min(longest));
        with_jitter(own, named.unwrap_or_default(), jitter)
    };
    let ruling = |account, part, message| Ruling {
        account,
        part,
        message,
    };
    // A local throttle says nothing about the account, unless it is one of a run.
    let paused = || Reaction::Pause(wait(FIRST_PAUSE, history.throttles, longest));
    let unless_a_run = |is_a_run| if is_a_run { paused() } else { Reaction::Answers };
    let park = |cause| {
        let wait = doubled(FIRST_PARK, history.parks, longest_park(cause, history));
        let own = doubled(FIRST_PARK, history.waits, LAST_PARK.min(longest));
        let message = Course::Wait(wait.max(own) + OTHERS_FIRST);
        ruling(Reaction::Park(wait, cause), Reaction::None, message)
    };
    match (class, scope) {
        (Class::Ok, _) => ruling(Reaction::Works, Reaction::Works, Course::Sent),
        (_, Scope::Endpoint) => of_endpoint(answer, history, longest, jitter),
        (Class::Terminal, Scope::Address) | (Class::AddressDead, _) => {
            let is_probe = history.parks > 0 && history.cause == Some(Cause::Refusals);
            if is_probe || history.refused >= MANY_REFUSED {
                Ruling {
                    message: Course::Doubt,
                    ..park(Cause::Refusals)
                }
            } else {
                ruling(Reaction::Refuses, Reaction::None, Course::Doubt)
            }
        }
        (
            Class::Terminal,
            Scope::Message | Scope::Domain | Scope::Country | Scope::Connection | Scope::Unnamed,
        ) => ruling(Reaction::Answers, Reaction::None, Course::End),
        (Class::Config | Class::Terminal, Scope::Platform)
        | (Class::Config, Scope::Domain | Scope::Country) => {
            let wait = doubled(FIRST_PARK, history.pauses, LAST_PARK);
            ruling(
                Reaction::Answers,
                Reaction::Park(wait, Cause::Operator),
                Course::Wait(wait + OTHERS_FIRST),
            )
        }
        (Class::Config, _) | (Class::Terminal, Scope::Account)
            if history.is_refuted && history.parks == 0 && history.suspects < SUSPECTS_IN_A_ROW =>
        {
            let message = Course::Wait(wait(FIRST_WAIT, history.waits, longest));
            ruling(Reaction::None, Reaction::None, message)
        }
        (Class::Config, _) | (Class::Terminal, Scope::Account) => park(Cause::Operator),
        (Class::Retry | Class::Throttle, Scope::Domain | Scope::Country | Scope::Platform) => {
            let pause = wait(FIRST_WAIT, history.pauses, LAST_PAUSE_OF_DOMAIN);
            let account = unless_a_run(history.domains >= DOMAINS_IN_A_ROW);
            let message = if class == Class::Retry {
                let times = history.attempts.saturating_sub(1);
                Course::Retry {
                    no_sooner: wait(FIRST_WAIT, times, longest),
                }
            } else {
                Course::Wait(wait(FIRST_WAIT, history.waits, longest))
            };
            ruling(account, Reaction::Pause(pause), message)
        }
        (Class::Throttle, Scope::Message | Scope::Address | Scope::Unnamed) => {
            let message = Course::Wait(wait(FIRST_WAIT, history.waits, longest));
            let account = unless_a_run(scope == Scope::Unnamed && history.throttled >= ADDRESSES_IN_A_ROW);
            ruling(account, Reaction::None, message)
        }
        (Class::Throttle, Scope::Account | Scope::Connection) => {
            let pause = wait(FIRST_PAUSE, history.throttles, longest);
            let own = doubled(FIRST_PAUSE, history.waits, LAST_OWN_WAIT.min(longest));
            ruling(
                Reaction::Pause(pause),
                Reaction::None,
                Course::Wait(pause.max(own)),
            )
        }
        (Class::Retry, Scope::Message | Scope::Address | Scope::Unnamed) => {
            ruling(Reaction::Answers, Reaction::None, retry(named))
        }
        (Class::Retry | Class::Uncertain, _) => {
            let account = if history.parks > 0 || history.failures >= FAILURES_IN_A_ROW {
                park(Cause::Failures).account
            } else {
                Reaction::Fails
            };
            let message = if class == Class::Retry {
                retry(named)
            } else {
                Course::Uncertain
            };
            ruling(account, Reaction::None, message)
        }
    }
}

/// The ruling on an endpoint's answer. It affects no other endpoint. Otherwise the owner of a few broken endpoints
/// could stop the endpoints of all tenants.
fn of_endpoint(answer: AnswerKind, history: &History, longest: Duration, jitter: f64) -> Ruling {
    let AnswerKind { class, named, .. } = answer;
    let ruling = |part, message| Ruling {
        account: Reaction::Answers,
        part,
        message,
    };
    match class {
        Class::Ok => ruling(Reaction::Works, Course::Sent),
        Class::Throttle => {
            let own = doubled(FIRST_PAUSE, history.pauses, LAST_PAUSE_OF_DOMAIN.min(longest));
            let pause = with_jitter(own, named.unwrap_or_default(), jitter);
            ruling(Reaction::Pause(pause), Course::Wait(pause))
        }
        Class::Retry => ruling(Reaction::None, retry(named)),
        Class::Uncertain => ruling(Reaction::None, Course::Uncertain),
        Class::Terminal | Class::Config => ruling(Reaction::None, Course::End),
        Class::AddressDead => ruling(Reaction::None, Course::Doubt),
    }
}

/// Whether `refused` refused addresses in a row are the account's fault once [`PATIENCE`] is over.
pub(crate) fn is_the_accounts(refused: usize) -> bool {
    refused >= SOME_REFUSED
}

/// The wait of a message that was refused while the account was at fault. It grows with the message's waits,
/// so that another message, perhaps to a good address, goes first after the park.
pub(crate) fn wait_in_doubt(waits: u32, longest: Duration) -> Duration {
    doubled(FIRST_PARK, waits, longest) + OTHERS_FIRST
}

/// The park of an account whose run of refused addresses outlasted the patience.
pub(crate) fn park_in_doubt(parks: u32) -> Duration {
    doubled(FIRST_PARK, parks, LAST_PARK_OF_REFUSALS)
}

fn retry(named: Option<Duration>) -> Course {
    Course::Retry {
        no_sooner: named.unwrap_or_default(),
    }
}

fn longest_park(cause: Cause, history: &History) -> Duration {
    match cause {
        Cause::Operator if history.suspects == 1 => FIRST_PARK,
        Cause::Operator | Cause::Failures => LAST_PARK,
        Cause::Refusals => LAST_PARK_OF_REFUSALS,
    }
}

/// `first` doubled `times` times, at most `most`, and at least one second regardless of the configuration.
fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    first
        .saturating_mul(1 << times.min(20))
        .min(most.max(FIRST_PAUSE))
}

#[cfg(test)]
mod tests;
