//! Reports closed accounts: in the readiness notes of this process, and in the store, for processes that do not know the
//! addresses of workers. Parks of parts of accounts are reported too. While all accounts of a channel are closed, the channel is reported too.

mod told;

use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};

use carillon_domain::Channel;
use carillon_runtime::{Limited, Shutdown};
use carillon_store::{
    StoreError, account_holds::AccountHold, account_part_holds::AccountPartHold, channel_holds::ChannelHold,
};
use uuid::Uuid;

use self::told::{HoldWrite, PresentHold, Told};
use crate::{Account, WorkerDeps, account::Complaint, policy::Cause};

/// The interval at which accounts are checked.
const LOOK: Duration = Duration::from_secs(1);

/// Continues with the holds of earlier processes, so that a restart sends nothing during a pause that the provider asked
/// for, and only one message after a park. While the store does not answer, it waits, because no message could be claimed.
pub(crate) async fn resume(deps: &WorkerDeps, channel: Channel, shutdown: &Shutdown) {
    let failures = Limited::default();
    while let Err(error) = resumed(deps, channel).await {
        if let Some(left_out) = failures.admit("resume") {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                left_out,
                "the holds of accounts cannot be read; the worker waits for the store"
            );
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = shutdown.soft() => return,
        }
    }
}

async fn resumed(deps: &WorkerDeps, channel: Channel) -> Result<(), StoreError> {
    let now = deps.clock.now();
    for hold in deps.store.account_holds().to_resume().await? {
        let account = deps
            .accounts
            .iter()
            .find(|account| **account.name() == *hold.account);
        let Some(account) = account.filter(|_| hold.channel == channel) else {
            continue;
        };
        let left = hold.ends_at.and_then(|ends_at| (ends_at - now).to_std().ok());
        // A newer release may know more causes.
        let park = hold.park.map(|code| code.parse().unwrap_or(Cause::Operator));
        account.breaker.resume(park, left.unwrap_or_default());
        tracing::warn!(provider = %account.name(), %channel, cause = hold.cause,
            "the provider account is still held after a restart");
    }
    for hold in deps.store.account_part_holds().to_resume().await? {
        let account = deps
            .accounts
            .iter()
            .find(|account| **account.name() == *hold.account);
        let Some(account) = account.filter(|_| hold.channel == channel) else {
            continue;
        };
        if account.breaker.resume_part(&hold.part) {
            tracing::warn!(provider = %account.name(), %channel, part = hold.part,
                "a part of the provider account is still parked after a restart");
        }
    }
    Ok(())
}

/// Reports closed accounts.
pub(crate) struct Reporter<'a> {
    deps: &'a WorkerDeps,
    channel: Channel,
    process: Uuid,
    of_channel: Told,
    of_accounts: Vec<Told>,
    /// By account and part.
    of_parts: HashMap<(Arc<str>, String), Told>,
    failures: Limited,
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(deps: &'a WorkerDeps, channel: Channel) -> Self {
        Self {
            deps,
            channel,
            process: Uuid::now_v7(),
            of_channel: Told::default(),
            of_accounts: deps.accounts.iter().map(|_| Told::default()).collect(),
            of_parts: HashMap::new(),
            failures: Limited::default(),
        }
    }

    /// Reports until the future is dropped.
    pub(crate) async fn run(&mut self) -> Infallible {
        let mut timer = tokio::time::interval(LOOK);
        loop {
            timer.tick().await;
            self.report().await;
        }
    }

    /// Reports the present state.
    pub(crate) async fn report(&mut self) {
        let (deps, channel, process) = (self.deps, self.channel, self.process);
        let (channels, accounts) = (deps.store.channel_holds(), deps.store.account_holds());
        for (account, told) in deps.accounts.iter().zip(&mut self.of_accounts) {
            let complaint = account.breaker.complaint();
            deps.ready
                .note(account.name(), complaint.as_ref().map(ToString::to_string));
            let done = match told.due(complaint.map(|complaint| PresentHold::of(complaint, deps))) {
                None => continue,
                Some(HoldWrite::Remove) => accounts.remove(process, account.name()).await,
                Some(HoldWrite::Put(PresentHold { cause, ends_at, park })) => {
                    let hold = AccountHold {
                        account: account.name().to_string(),
                        channel,
                        cause,
                        ends_at,
                        park: park.map(|cause| cause.code().to_owned()),
                    };
                    accounts.put(process, &hold).await
                }
            };
            log(&self.failures, done);
        }
        self.report_parts().await;
        let hold = present(&deps.accounts).map(|complaint| PresentHold::of(complaint, deps));
        let done = match self.of_channel.due(hold) {
            None => return,
            Some(HoldWrite::Remove) => channels.remove(process, channel).await,
            Some(HoldWrite::Put(PresentHold { cause, ends_at, .. })) => {
                let hold = ChannelHold {
                    channel,
                    cause,
                    ends_at,
                };
                channels.put(process, &hold).await
            }
        };
        log(&self.failures, done);
    }

    async fn report_parts(&mut self) {
        let (deps, channel, process) = (self.deps, self.channel, self.process);
        let holds = deps.store.account_part_holds();
        let mut present = HashMap::new();
        for account in &deps.accounts {
            for part in account.breaker.parked_parts() {
                let hold = PresentHold::of_part(account.name(), &part, deps);
                present.insert((Arc::clone(account.name()), part.code), hold);
            }
        }
        for key in present.keys() {
            self.of_parts.entry(key.clone()).or_default();
        }
        for (key, told) in &mut self.of_parts {
            let (account, part) = key;
            let done = match told.due(present.remove(key)) {
                None => continue,
                Some(HoldWrite::Remove) => holds.remove(process, account, part).await,
                Some(HoldWrite::Put(PresentHold { cause, ends_at, .. })) => {
                    let hold = AccountPartHold {
                        account: account.to_string(),
                        part: part.clone(),
                        channel,
                        cause,
                        ends_at,
                    };
                    holds.put(process, &hold).await
                }
            };
            log(&self.failures, done);
        }
        self.of_parts.retain(|_, told| told.is_held());
    }
}

fn log(failures: &Limited, done: Result<(), StoreError>) {
    let Err(error) = done else { return };
    if let Some(left_out) = failures.admit("hold") {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            left_out,
            "the hold of a channel or an account was not stored or removed"
        );
    }
}

/// The complaint of the account that opens first, if all accounts of the channel are closed.
fn present(accounts: &[Arc<Account>]) -> Option<Complaint> {
    let complaints: Option<Vec<Complaint>> = accounts
        .iter()
        .map(|account| account.breaker.complaint())
        .collect();
    complaints?
        .into_iter()
        .min_by_key(|complaint| complaint.left.unwrap_or_default())
}
