//! Limits counted in Redis, shared by all processes.

use std::time::Duration;

use async_trait::async_trait;
use carillon_domain::{
    Timestamp,
    clock::later,
    decide::{LimitCheck, LimitVerdict},
};
use carillon_runtime::Secret;
use redis::Script;

use super::{Quotas, RedisFault};
use crate::{
    error::StoreError,
    events::DEDUPE_WINDOW,
    redis_link::{Failure, RedisConfig, RedisLink, millis},
};

/// The most checks of one script call. Redis does nothing else while a script runs.
const CALL: usize = 1_000;

/// The address of Redis, and the settings of limits.
#[derive(Debug, Clone)]
pub struct RedisQuotasConfig {
    /// `redis://…` or `rediss://…`.
    pub url: Secret,
    /// The prefix of all keys.
    pub prefix: String,
    /// The time after which the verdicts of a batch are `Unavailable`.
    pub timeout: Duration,
    /// The time for which verdicts are remembered: the deduplication window.
    pub memory: Duration,
}

impl RedisQuotasConfig {
    /// The defaults for an address: prefix `carillon:`, 250 ms, 7 days.
    #[must_use]
    pub fn new(url: impl Into<Secret>) -> Self {
        let RedisConfig { url, prefix, timeout } = RedisConfig::new(url);
        Self {
            url,
            prefix,
            timeout,
            memory: DEDUPE_WINDOW,
        }
    }
}

/// The effect of a call on limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Take,
    Look,
}

/// Limits counted in Redis, by one script call for up to [`CALL`] checks.
pub struct RedisQuotas {
    link: RedisLink,
    take: Script,
    look: Script,
    memory: Duration,
}

impl std::fmt::Debug for RedisQuotas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisQuotas")
            .field("prefix", &self.link.prefix())
            .finish_non_exhaustive()
    }
}

impl RedisQuotas {
    /// Prepares the connection. It is opened and reopened on demand, so Redis may be down meanwhile.
    pub fn connect(config: RedisQuotasConfig) -> Result<Self, StoreError> {
        let link = RedisLink::connect(RedisConfig {
            url: config.url,
            prefix: config.prefix,
            timeout: config.timeout,
        })?;
        Ok(Self {
            link,
            take: Script::new(include_str!("take.lua")),
            look: Script::new(include_str!("look.lua")),
            memory: config.memory,
        })
    }

    async fn call(
        &self,
        kind: Call,
        checks: &[LimitCheck],
        now: Timestamp,
    ) -> Result<Vec<LimitVerdict>, Failure> {
        let script = match kind {
            Call::Take => &self.take,
            Call::Look => &self.look,
        };
        let mut call = script.prepare_invoke();
        call.arg(now.timestamp_micros());
        if kind == Call::Take {
            call.arg(millis(self.memory));
        }
        let (prefix, mut message) = (self.link.prefix(), 0_u32);
        for (index, check) in checks.iter().enumerate() {
            if index > 0 && checks[index - 1].message != check.message {
                message += 1;
            }
            let mut verdict = Vec::with_capacity(prefix.len() + 18);
            verdict.extend_from_slice(prefix.as_bytes());
            verdict.extend_from_slice(b"v:");
            verdict.extend_from_slice(check.id.as_bytes());
            call.key(format!("{prefix}l:{}", check.key)).key(verdict);
            call.arg(check.limit.max)
                .arg(millis(check.limit.per))
                .arg(message);
        }
        let answers: Vec<i64> = self.link.call(&call).await?;
        if answers.len() != checks.len() {
            return Err(Failure::Odd);
        }
        let judged = answers.into_iter().zip(checks);
        Ok(judged
            .map(|(answer, check)| verdict(answer, check, now))
            .collect())
    }
}

impl RedisQuotas {
    /// Calls a script for any number of checks. A check that Redis does not answer is `Unavailable`.
    async fn ask(&self, kind: Call, checks: &[LimitCheck], now: Timestamp) -> Vec<LimitVerdict> {
        let mut verdicts = Vec::with_capacity(checks.len());
        for checks in calls(checks) {
            if self.link.is_resting() {
                verdicts.extend(checks.iter().map(|_| LimitVerdict::Unavailable));
                continue;
            }
            match self.call(kind, checks, now).await {
                Ok(answers) => {
                    self.link.succeeded();
                    verdicts.extend(answers);
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "limits could not be counted"
                    );
                    metrics::counter!("carillon_quota_failures_total").increment(1);
                    self.link.failed();
                    verdicts.extend(checks.iter().map(|_| LimitVerdict::Unavailable));
                }
            }
        }
        verdicts
    }
}

/// Divides checks among calls. The checks of one message stay together.
fn calls(checks: &[LimitCheck]) -> impl Iterator<Item = &[LimitCheck]> {
    let mut rest = checks;
    std::iter::from_fn(move || {
        let (call, others) = rest.split_at(whole_messages(rest));
        rest = others;
        (!call.is_empty()).then_some(call)
    })
}

/// The number of checks of the next call.
fn whole_messages(checks: &[LimitCheck]) -> usize {
    let Some(next) = checks.get(CALL) else {
        return checks.len();
    };
    let other = checks[..CALL]
        .iter()
        .rposition(|check| check.message != next.message);
    other.map_or(CALL, |last| last + 1)
}

/// The verdict that a script's answer means. A router of the former release has remembered 0 for a limit without room.
fn verdict(answer: i64, check: &LimitCheck, now: Timestamp) -> LimitVerdict {
    match answer {
        1 => LimitVerdict::Allowed,
        0 => LimitVerdict::Exceeded(later(now, check.limit.per)),
        micros => {
            let room_at = Timestamp::from_timestamp_micros(micros);
            LimitVerdict::Exceeded(room_at.unwrap_or_else(|| later(now, check.limit.per)))
        }
    }
}

#[async_trait]
impl Quotas for RedisQuotas {
    async fn take(&self, checks: &[LimitCheck], now: Timestamp) -> Vec<LimitVerdict> {
        self.ask(Call::Take, checks, now).await
    }

    async fn look(&self, checks: &[LimitCheck], at: Timestamp) -> Vec<LimitVerdict> {
        self.ask(Call::Look, checks, at).await
    }

    async fn check(&self) -> Result<(), RedisFault> {
        self.link.probe().await.map_err(|error| {
            self.link.reconnect();
            error.fault()
        })
    }

    fn name(&self) -> &'static str {
        "redis"
    }
}
