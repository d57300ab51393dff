//! The common state of breakers in Redis.

use std::time::Duration;

use async_trait::async_trait;
use redis::{FromRedisValue, Script, ScriptInvocation};
use uuid::Uuid;

use super::{
    BreakerChange, BreakerReport, BreakerState, Breakers, Closure,
    kept::{state, whole_millis},
};
use crate::{
    error::StoreError,
    redis_link::{Failure, RedisConfig, RedisFault, RedisLink, millis},
};

/// The state, shared by all processes of an installation.
pub struct RedisBreakers {
    link: RedisLink,
    exchange: Script,
    take_probe: Script,
    give_probe_back: Script,
}

impl std::fmt::Debug for RedisBreakers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisBreakers")
            .field("prefix", &self.link.prefix())
            .finish_non_exhaustive()
    }
}

/// An account's state as the script returns it: version, time left, parks, throttles, cause, age of the run.
type Answer = (u64, u64, u32, u32, String, u64);

impl RedisBreakers {
    /// Prepares the connection. It is opened and reopened on demand, so Redis may be down meanwhile.
    pub fn connect(config: RedisConfig) -> Result<Self, StoreError> {
        Ok(Self {
            link: RedisLink::connect(config)?,
            exchange: Script::new(include_str!("exchange.lua")),
            take_probe: Script::new(include_str!("take_probe.lua")),
            give_probe_back: Script::new(include_str!("give_probe_back.lua")),
        })
    }

    async fn call<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, RedisFault> {
        if self.link.is_resting() {
            return Err(RedisFault::Silent);
        }
        match self.link.call(call).await {
            Ok(answer) => {
                self.link.succeeded();
                Ok(answer)
            }
            Err(failure) => {
                self.link.failed();
                Err(failure.fault())
            }
        }
    }

    fn probe_key(&self, account: &str) -> String {
        format!("{}p:{account}", self.link.prefix())
    }
}

#[async_trait]
impl Breakers for RedisBreakers {
    async fn exchange(&self, reports: &[BreakerReport]) -> Result<Vec<BreakerState>, RedisFault> {
        let mut call = self.exchange.prepare_invoke();
        for report in reports {
            call.key(format!("{}b:{}", self.link.prefix(), report.account));
            let open = Closure::default();
            let (change, closure) = match &report.change {
                None => ("", &open),
                Some(BreakerChange::Works) => ("works", &open),
                Some(BreakerChange::Closed(closure)) => ("closed", closure),
            };
            call.arg(report.seen)
                .arg(change)
                .arg(whole_millis(closure.left))
                .arg(closure.parks)
                .arg(closure.throttles)
                .arg(closure.cause.as_deref().unwrap_or_default())
                .arg(whole_millis(closure.run));
        }
        let answers: Vec<Answer> = self.call(&call).await?;
        if answers.len() != reports.len() {
            return Err(Failure::Odd.fault());
        }
        let states = answers.into_iter().map(|answer| {
            let (version, left, parks, throttles, cause, run) = answer;
            let cause = Some(cause).filter(|cause| !cause.is_empty());
            state(version, left, parks, throttles, cause, run)
        });
        Ok(states.collect())
    }

    async fn take_probe(&self, account: &str, process: Uuid, lease: Duration) -> Result<bool, RedisFault> {
        let mut call = self.take_probe.key(self.probe_key(account));
        call.arg(process.to_string()).arg(millis(lease));
        let taken: i64 = self.call(&call).await?;
        Ok(taken == 1)
    }

    async fn give_probe_back(&self, account: &str, process: Uuid) -> Result<(), RedisFault> {
        let mut call = self.give_probe_back.key(self.probe_key(account));
        call.arg(process.to_string());
        self.call::<i64>(&call).await?;
        Ok(())
    }

    fn name(&self) -> &'static str {
        "redis"
    }
}
