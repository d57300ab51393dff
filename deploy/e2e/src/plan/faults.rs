//! The faults of a run and their times.

use std::{fmt, time::Duration};

use rand::{Rng, RngExt as _, seq::SliceRandom as _};

use crate::args::Backend;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum FaultKind {
    /// `kill -9` of a process, and its restart as by a supervisor.
    Kill(&'static str),
    /// SIGSTOP and later SIGCONT of a process. The process cannot tell how long it was stopped.
    Freeze(&'static str),
    /// `kill -9` of Kafka, PostgreSQL or Redis, and its restart.
    KillService(&'static str),
    /// Redis loses all its data.
    Flush,
}

/// A fault at its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: Duration,
    pub(crate) kind: FaultKind,
    /// The time until the target is started again or continues.
    pub(crate) lasts: Duration,
}

impl FaultKind {
    /// The process or service that the fault affects.
    pub(crate) fn target(self) -> &'static str {
        match self {
            Self::Kill(name) | Self::Freeze(name) | Self::KillService(name) => name,
            Self::Flush => "redis",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(name) | Self::KillService(name) => write!(f, "kill -9 {name}"),
            Self::Freeze(name) => write!(f, "SIGSTOP {name}"),
            Self::Flush => write!(f, "FLUSHALL"),
        }
    }
}

/// The time without faults at the beginning.
const CALM: Duration = Duration::from_secs(3);
/// The time for which a process is frozen: longer than a session, a lease and a transaction.
const FROZEN: Duration = Duration::from_secs(20);
/// The time after a fault during which its target is spared.
const MERCY: Duration = Duration::from_millis(1_500);

/// A deck contains one fault of each line, chosen at random. Each deck is used up before the next is made.
const REAL: &[&[FaultKind]] = &[
    &[FaultKind::Kill("gateway")],
    &[FaultKind::Kill("router-1"), FaultKind::Kill("router-2")],
    &[FaultKind::Kill("email-1"), FaultKind::Kill("email-2")],
    &[FaultKind::Kill("sms")],
    &[FaultKind::Kill("push")],
    &[FaultKind::Kill("tracker-1"), FaultKind::Kill("tracker-2")],
    &[FaultKind::Kill("scheduler-1"), FaultKind::Kill("scheduler-2")],
    &[FaultKind::Kill("templates"), FaultKind::Kill("simulator")],
    &[FaultKind::KillService("kafka")],
    &[FaultKind::KillService("postgres")],
    &[FaultKind::KillService("redis")],
    &[FaultKind::Flush],
    &[
        FaultKind::Freeze("router-1"),
        FaultKind::Freeze("router-2"),
        FaultKind::Freeze("gateway"),
    ],
    &[
        FaultKind::Freeze("email-1"),
        FaultKind::Freeze("email-2"),
        FaultKind::Freeze("sms"),
        FaultKind::Freeze("tracker-1"),
    ],
];

const EMBEDDED: &[&[FaultKind]] = &[
    &[FaultKind::Kill("dev")],
    &[FaultKind::Kill("dev")],
    &[FaultKind::Kill("dev")],
    &[FaultKind::Freeze("dev")],
];

/// Draws the faults from the end of the calm to the end of the run. Most begin after the recovery from the one
/// before, some earlier.
pub(super) fn draw(dice: &mut impl Rng, backend: Backend, length: Duration) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    let mut deck = Vec::new();
    let mut at = CALM;
    while at < length {
        if deck.is_empty() {
            deck = shuffled(dice, backend);
        }
        let possible = deck.iter().position(|kind| {
            let lasts = longest(*kind);
            at + lasts <= length && faults.iter().all(|before| is_apart(before, *kind, at))
        });
        let Some(index) = possible else {
            at += Duration::from_secs(1);
            continue;
        };
        let kind = deck.remove(index);
        let lasts = lasts(dice, kind);
        faults.push(Fault { at, kind, lasts });
        at += gap(dice, kind, lasts);
    }
    faults
}

fn shuffled(dice: &mut impl Rng, backend: Backend) -> Vec<FaultKind> {
    let lines = if backend.is_real() { REAL } else { EMBEDDED };
    let mut deck: Vec<FaultKind> = lines
        .iter()
        .map(|line| line[dice.random_range(0..line.len())])
        .collect();
    deck.shuffle(dice);
    deck
}

fn is_apart(before: &Fault, kind: FaultKind, at: Duration) -> bool {
    before.kind.target() != kind.target() || before.at + before.lasts + MERCY <= at
}

fn longest(kind: FaultKind) -> Duration {
    match kind {
        FaultKind::Kill(_) => Duration::from_millis(2_500),
        FaultKind::KillService(_) => Duration::from_secs(4),
        FaultKind::Freeze(_) => FROZEN,
        FaultKind::Flush => Duration::ZERO,
    }
}

fn lasts(dice: &mut impl Rng, kind: FaultKind) -> Duration {
    match kind {
        FaultKind::Kill(_) | FaultKind::KillService(_) => {
            let longest = u64::try_from(longest(kind).as_millis()).unwrap_or(u64::MAX);
            Duration::from_millis(dice.random_range(100..longest))
        }
        FaultKind::Freeze(_) => FROZEN,
        FaultKind::Flush => Duration::ZERO,
    }
}

/// The time from the beginning of one fault to that of the next.
fn gap(dice: &mut impl Rng, kind: FaultKind, lasts: Duration) -> Duration {
    if dice.random_bool(0.25) {
        return Duration::from_millis(dice.random_range(300..3_000));
    }
    let rest = Duration::from_millis(dice.random_range(5_000..12_000));
    match kind {
        // Other faults begin while the process is frozen.
        FaultKind::Freeze(_) => rest,
        _ => lasts + rest,
    }
}
