//! The accounts that a delivery may go to: those of its route that serve its device's platform. Deliveries with different
//! accounts are handled apart, so that a closed account holds only its own.

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
    /// Every account that the deliveries may go to is closed, at least for this long, and other accounts are open. Waiting
    /// for the account would hold up the records of the others.
    Closed(Duration),
    /// No account serves the platform.
    Unserved,
    /// The process ends; records that were not begun are given back.
    Ended,
}

/// The accounts that deliveries may go to, first choice first.
#[derive(Debug, Clone)]
pub(super) struct Candidates {
    /// The platform of the deliveries' devices, which each of the accounts serves.
    platform: Option<Platform>,
    /// Positions among the channel's accounts.
    accounts: Vec<usize>,
}

impl Deliver {
    /// The accounts at some positions that serve a platform, in order.
    pub(super) fn serving<'a>(
        &'a self,
        positions: &'a [usize],
        platform: Option<Platform>,
    ) -> impl Iterator<Item = &'a Arc<Account>> + Clone {
        positions
            .iter()
            .filter_map(|position| self.accounts.get(*position))
            .filter(move |account| account.serves(platform))
    }

    /// Groups deliveries by the accounts that they may go to, in order. Usually there is one group.
    pub(super) fn by_accounts(&self, tasks: Vec<Task>) -> Vec<(Candidates, Vec<Task>)> {
        let mut groups: Vec<(Candidates, Vec<Task>)> = Vec::with_capacity(1);
        for task in tasks {
            let platform = task.delivery.platform;
            let order = self.routes.candidates(&task.delivery);
            let serving = || {
                let positions = order.iter().copied();
                positions.filter(|position| {
                    self.accounts
                        .get(*position)
                        .is_some_and(|account| account.serves(platform))
                })
            };
            let group = groups
                .iter_mut()
                .find(|(candidates, _)| serving().eq(candidates.accounts.iter().copied()));
            if let Some((_, group)) = group {
                group.push(task);
            } else {
                let accounts = serving().collect();
                groups.push((Candidates { platform, accounts }, vec![task]));
            }
        }
        groups
    }

    /// Waits until one of the accounts is open and has room.
    pub(super) async fn turn(&self, candidates: &Candidates, wanted: usize) -> Turn {
        let accounts = || self.serving(&candidates.accounts, candidates.platform);
        loop {
            let Some(account) = accounts().find(|account| account.breaker.is_open()) else {
                let Some(opens_in) = opens_in(accounts()) else {
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
            if room.account().breaker.is_open() && room.account().breaker.may_go_first().await {
                return Turn::Room(room);
            }
        }
    }

    /// Whether an account of the channel is open.
    pub(super) fn is_any_open(&self) -> bool {
        self.accounts.iter().any(|account| account.breaker.is_open())
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
    pub(super) async fn turn_back(&self, candidates: &Candidates, tasks: Vec<Task>, wait: Duration) {
        let waiting = self.end_expired(tasks).await;
        let is_routed = candidates.accounts.len() < self.accounts.len();
        let detail = closed(candidates.platform, is_routed);
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
            ..Conclusion::default()
        };
        self.conclude(claimed, concluded);
    }
}

/// The time after which the first of some accounts may open, at least a second; `None` if there is no account.
pub(super) fn opens_in<'a>(accounts: impl Iterator<Item = &'a Arc<Account>>) -> Option<Duration> {
    accounts
        .map(|account| account.breaker.opens_in().max(MEANWHILE))
        .min()
}

/// The sentence about a delivery whose accounts are closed. `is_routed`: the channel has other accounts, too.
pub(super) fn closed(platform: Option<Platform>, is_routed: bool) -> String {
    match platform {
        Some(platform) => format!("every provider account that serves {platform} devices is paused"),
        None if is_routed => "every provider account of the message's route is paused".to_owned(),
        None => "every provider account is paused".to_owned(),
    }
}
