//! Exchanges the states of a worker's accounts with the other workers, in the background: no attempt waits for it.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures::future::join_all;
use tokio::time::MissedTickBehavior;

use crate::account::{Account, Sharing};

/// The interval at which the common state is read. A change of this worker's own is told at once.
const LOOK: Duration = Duration::from_millis(250);

/// Exchanges until the future is dropped.
pub(crate) async fn run(accounts: &[Arc<Account>], sharing: &Sharing) -> Infallible {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = sharing.news.notified() => {}
        }
        exchange(accounts, sharing).await;
    }
}

/// Reports the changes of the accounts, and takes the common state over.
pub(crate) async fn exchange(accounts: &[Arc<Account>], sharing: &Sharing) {
    let reports: Vec<_> = accounts.iter().map(|account| account.breaker.report()).collect();
    if let Some(states) = sharing.exchange(&reports).await {
        for (account, state) in accounts.iter().zip(&states) {
            account.breaker.adopt(state);
        }
    } else {
        for (account, report) in accounts.iter().zip(&reports) {
            account.breaker.unsaid(report);
        }
    }
    join_all(accounts.iter().map(|account| account.breaker.keep_probe_right())).await;
}
