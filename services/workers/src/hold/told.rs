//! The holds that were last written to the store, and the writes that are due.

use carillon_domain::{Timestamp, clock::later};
use carillon_store::channel_holds::ChannelHolds;
use tokio::time::Instant;

use crate::{
    WorkerDeps,
    account::{Complaint, ParkedPart},
    policy::Cause,
};

/// The reason for which nothing is sent, and the time at which the next message goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PresentHold {
    pub(super) cause: String,
    pub(super) ends_at: Option<Timestamp>,
    /// The cause of a park.
    pub(super) park: Option<Cause>,
}

impl PresentHold {
    pub(super) fn of(complaint: Complaint, deps: &WorkerDeps) -> Self {
        Self {
            cause: complaint.cause,
            ends_at: complaint.left.map(|left| later(deps.clock.now(), left)),
            park: complaint.park,
        }
    }

    /// The hold of a part of an account.
    pub(super) fn of_part(account: &str, part: &ParkedPart, deps: &WorkerDeps) -> Self {
        let (kind, name) = part.code.split_once(':').unwrap_or(("part", &part.code));
        Self {
            cause: format!(
                "the provider account {account} is parked for the {kind} {name}: the provider refuses its messages"
            ),
            ends_at: part.left.map(|left| later(deps.clock.now(), left)),
            park: Some(Cause::Operator),
        }
    }

    /// Whether a hold has the cause of this one and ends within a second of it.
    fn is_like(&self, other: &Self) -> bool {
        let ends_alike = match (self.ends_at, other.ends_at) {
            (Some(told), Some(now)) => (told - now).abs() <= chrono::TimeDelta::seconds(1),
            (told, now) => told == now,
        };
        ends_alike && self.cause == other.cause
    }
}

/// The last hold of a channel, an account or a part of one that was written to the store, and the time of that write;
/// `None` after a removal.
#[derive(Debug, Default)]
pub(super) struct Told(Option<(PresentHold, Instant)>);

/// A write to the store.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HoldWrite {
    Put(PresentHold),
    Remove,
}

impl Told {
    /// Whether a hold was written and not removed.
    pub(super) fn is_held(&self) -> bool {
        self.0.is_some()
    }

    /// The write that is due, if there is one. A failed write is corrected by the next one, or its row expires.
    pub(super) fn due(&mut self, hold: Option<PresentHold>) -> Option<HoldWrite> {
        match (&self.0, hold) {
            (None, None) => None,
            (Some(_), None) => {
                self.0 = None;
                Some(HoldWrite::Remove)
            }
            (Some((told, at)), Some(hold)) if told.is_like(&hold) && at.elapsed() < ChannelHolds::RENEW => {
                None
            }
            (_, Some(hold)) => {
                self.0 = Some((hold.clone(), Instant::now()));
                Some(HoldWrite::Put(hold))
            }
        }
    }
}
