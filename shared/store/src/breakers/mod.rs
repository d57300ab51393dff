//! The state of the breakers of provider accounts that all workers share: the closed accounts, and the process that may
//! send the probe, the one message that goes first. A breaker decides by its own process's answers and by this state,
//! which a worker exchanges in the background; no attempt waits for it. The state may be lost: a worker then publishes
//! its own again.

mod in_process;
mod kept;
mod redis;

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

pub use self::{in_process::InProcessBreakers, redis::RedisBreakers};
use crate::redis_link::RedisFault;

/// Why and until when an account takes no messages, or only one at a time. Times are durations before or after now,
/// because the clocks of processes differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closure {
    /// The time that is left; zero if one message may go first.
    pub left: Duration,
    /// Parks since the account last worked; 0 if it is not parked.
    pub parks: u32,
    /// Pauses since the account last worked, because it was throttled.
    pub throttles: u32,
    /// The cause of the park, a stable word.
    pub cause: Option<String>,
    /// The age of the run of failures or refusals that caused the park. A process whose messages were accepted in that
    /// time knows that the fault is not the account's.
    pub run: Duration,
}

/// A change of an account in one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BreakerChange {
    /// The account works.
    Works,
    /// The account is closed.
    Closed(Closure),
}

/// A process's report about an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerReport {
    /// The account's name.
    pub account: String,
    /// The version of the state that the process has seen last; 0 if none.
    pub seen: u64,
    /// The change since then, if there is one.
    pub change: Option<BreakerChange>,
}

/// The common state of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BreakerState {
    /// Another number after each change, greater than the one before unless the state was lost; 0 if nothing is known.
    pub version: u64,
    /// The closure; `None`: the account works.
    pub closure: Option<Closure>,
}

/// The common state of breakers.
#[async_trait]
pub trait Breakers: Send + Sync + std::fmt::Debug {
    /// Applies changes and returns the state of each account, in order. A process may not have seen the latest state.
    /// Its change to "works" is then ignored, because the account may have been closed since. Its closure is joined
    /// with the latest one, so that neither is shortened.
    async fn exchange(&self, reports: &[BreakerReport]) -> Result<Vec<BreakerState>, RedisFault>;

    /// Takes or renews the right to send an account's probe, for `lease`; `false` while another process has it.
    async fn take_probe(&self, account: &str, process: Uuid, lease: Duration) -> Result<bool, RedisFault>;

    /// Gives the right to send an account's probe back, if this process has it.
    async fn give_probe_back(&self, account: &str, process: Uuid) -> Result<(), RedisFault>;

    /// `redis` or `in-process`.
    fn name(&self) -> &'static str;
}
