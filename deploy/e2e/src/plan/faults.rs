//! Which faults strike when.

use std::{fmt, time::Duration};

use rand::{Rng, RngExt as _, seq::SliceRandom as _};

use crate::args::Backend;

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum FaultKind {
    /// `kill -9` of a process, and its restart as by a supervisor.
    Kill(&'static str),
    /// SIGSTOP of a process, and SIGCONT: a zombie that does not know how long it was away.
    Freeze(&'static str),
    /// `kill -9` of Kafka, PostgreSQL or Redis, and its restart.
    KillService(&'static str),
    /// Redis forgets everything.
    Flush,
}

/// A fault at its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: Duration,
    pub(crate) kind: FaultKind,
    /// Until it is started again, or goes on.
    pub(crate) lasts: Duration,
}

impl FaultKind {
    /// What is struck.
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

/// Undisturbed work before the first fault.
const CALM: Duration = Duration::from_secs(3);
/// How long a zombie is away: longer than a session, a lease and a transaction.
const FROZEN: Duration = Duration::from_secs(20);
/// How long after a fault its target is left alone.
const MERCY: Duration = Duration::from_millis(1_500);

/// One of each line, the line at random, makes a deck; each deck is dealt to its end before the next.
const REAL: &[&[FaultKind]] = &[
    &[FaultKind::Kill("gateway")],
    &[FaultKind::Kill("router-1"), FaultKind::Kill("router-2")],
    &[FaultKind::Kill("email-1"), FaultKind::Kill("email-2")],
    &[FaultKind::Kill("sms")],
    &[FaultKind::Kill("push")],
    &[FaultKind::Kill("tracker-1"), FaultKind::Kill("tracker-2")],
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

/// Faults from the calm to the end. Most strike when the one before has been overcome, some before.
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

/// From the beginning of one fault to the beginning of the next.
fn gap(dice: &mut impl Rng, kind: FaultKind, lasts: Duration) -> Duration {
    if dice.random_bool(0.25) {
        return Duration::from_millis(dice.random_range(300..3_000));
    }
    let rest = Duration::from_millis(dice.random_range(5_000..12_000));
    match kind {
        // Others are struck while it is away.
        FaultKind::Freeze(_) => rest,
        _ => lasts + rest,
    }
}
