//! The accounts that a delivery may go to: those that serve its device's platform. Deliveries of platforms with
//! different accounts are handled apart, so that a closed account holds only its own.

use std::{sync::Arc, time::Duration};

use carillon_domain::{DeliveryStatus, Platform, dead_letter::FailureClass, status::TimelineStep};

use super::{
    Deliver,
    claim::ClaimedTask,
    task::{Conclusion, Consequence, Task},
};
use crate::account::{Account, Room};

/// The wait before a delivery returns to an account that closed in the meantime.
pub(super) const MEANWHILE: Duration = Duration::from_secs(1);

/// The next step of deliveries that wait for an account.
pub(super) enum Turn {
    /// An account is open and has room.
    Room(Room),
    /// Every account of the platform is closed, at least for this long, and accounts of other platforms are open.
    /// Waiting for the account would hold up the records of the other platforms.
    Closed(Duration),
    /// No account serves the platform.
    Unserved,
    /// The process ends; records that were not begun are given back.
    Ended,
}

impl Deliver {
    /// The accounts that serve a platform, first choice first.
    pub(super) fn serving(&self, platform: Option<Platform>) -> impl Iterator<Item = &Arc<Account>> + Clone {
        self.accounts
            .iter()
            .filter(move |account| account.serves(platform))
    }

    /// Groups deliveries by the accounts that serve them, in order. Usually there is one group.
    pub(super) fn by_accounts(&self, tasks: Vec<Task>) -> Vec<(Option<Platform>, Vec<Task>)> {
        let serve_alike = |one: Option<Platform>, other: Option<Platform>| {
            one == other
                || self
                    .accounts
                    .iter()
                    .all(|account| account.serves(one) == account.serves(other))
        };
        let mut groups: Vec<(Option<Platform>, Vec<Task>)> = Vec::with_capacity(1);
        for task in tasks {
            let platform = task.delivery.platform;
            match groups.iter_mut().find(|(other, _)| serve_alike(*other, platform)) {
                Some((_, group)) => group.push(task),
                None => groups.push((platform, vec![task])),
            }
        }
        groups
    }

    /// Waits until an account that serves the platform is open and has room.
    pub(super) async fn turn(&self, platform: Option<Platform>, wanted: usize) -> Turn {
        loop {
            let Some(account) = self.serving(platform).find(|account| account.breaker.is_open()) else {
                let Some(opens_in) = self.opens_in(platform) else {
                    return Turn::Unserved;
                };
                if self.is_any_open() {
                    return Turn::Closed(opens_in);
                }
                if !self.an_account_changes().await {
                    return Turn::Ended;
                }
                continue;
            };
            let room = tokio::select! {
                room = account.room(wanted) => room,
                () = self.shutdown.soft() => return Turn::Ended,
            };
            if room.account().breaker.is_open() {
                return Turn::Room(room);
            }
        }
    }

    /// Whether an account of the channel is open.
    pub(super) fn is_any_open(&self) -> bool {
        self.accounts.iter().any(|account| account.breaker.is_open())
    }

    /// The time after which the first account of a platform may open, at least a second; `None` if no account serves it.
    pub(super) fn opens_in(&self, platform: Option<Platform>) -> Option<Duration> {
        self.serving(platform)
            .map(|account| account.breaker.opens_in().max(MEANWHILE))
            .min()
    }

    /// Waits until an account of the channel may have opened or closed; `false` at the end of the process.
    async fn an_account_changes(&self) -> bool {
        let changes = self
            .accounts
            .iter()
            .map(|account| Box::pin(account.breaker.wait()));
        tokio::select! {
            _ = futures::future::select_all(changes) => true,
            () = self.shutdown.soft() => false,
        }
    }

    /// Lets deliveries come back after a wait, without an attempt that counts.
    pub(super) async fn turn_back(&self, platform: Option<Platform>, tasks: Vec<Task>, wait: Duration) {
        let waiting = self.end_expired(tasks).await;
        let detail = closed(platform);
        self.claimed_each(waiting, |claimed| {
            self.postpone_for(claimed, wait, "account-closed", &detail);
        })
        .await;
    }

    /// Ends deliveries to devices that no account serves.
    pub(super) async fn turn_away(&self, tasks: Vec<Task>) {
        let waiting = self.end_expired(tasks).await;
        self.claimed_each(waiting, |claimed| {
            let platform = claimed.task.delivery.platform;
            self.unserved(claimed, platform);
        })
        .await;
    }

    /// Claims attempts that are not sent, and ends those that are ours.
    async fn claimed_each(&self, tasks: Vec<Task>, mut end: impl FnMut(ClaimedTask)) {
        let (ours, taken) = self.claim(tasks, None).await;
        ours.into_iter().for_each(&mut end);
        let settled = taken
            .into_iter()
            .map(|(claimed, taken)| self.settle(claimed, Some(taken)));
        futures::future::join_all(settled).await;
    }

    /// Ends a delivery to a device that no account serves.
    pub(super) fn unserved(&self, claimed: ClaimedTask, platform: Option<Platform>) {
        let code = "no-account-for-platform";
        let platform = platform.map_or("these", <&str>::from);
        let reason = format!("no provider account of the channel serves {platform} devices");
        let step = TimelineStep {
            at: self.clock.now(),
            status: DeliveryStatus::DeadLettered,
            code: Some(code.to_owned()),
            detail: Some(reason.clone()),
        };
        let verdict = Consequence::Dead {
            class: FailureClass::Invalid,
            code: code.to_owned(),
            reason,
        };
        let concluded = Conclusion {
            verdict,
            steps: vec![step],
            provider: None,
            to_masked: None,
            template: None,
        };
        self.conclude(claimed, concluded);
    }
}

/// The sentence about a delivery whose accounts are closed.
pub(super) fn closed(platform: Option<Platform>) -> String {
    match platform {
        Some(platform) => format!("every provider account that serves {platform} devices is paused"),
        None => "every provider account is paused".to_owned(),
    }
}
