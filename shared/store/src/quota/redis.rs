//! Limits counted in Redis, shared by all processes.

use std::time::Duration;

use async_trait::async_trait;
use carillon_domain::{
    Timestamp,
    clock::later,
    decide::{LimitCheck, LimitVerdict},
};
use carillon_runtime::Secret;
use parking_lot::Mutex;
use redis::{
    Client, RedisError, Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use secrecy::ExposeSecret as _;
use tokio::time::{Instant, timeout};

use super::{QuotaFault, Quotas};
use crate::{error::StoreError, events::DEDUPE_WINDOW};

/// The most checks of one script call. Redis does nothing else while a script runs.
const CALL: usize = 1_000;
/// The time after a failure during which Redis is not asked. A router that waited for each batch would be too slow.
const REST: Duration = Duration::from_millis(500);

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
        Self {
            url: url.into(),
            prefix: "carillon:".to_owned(),
            timeout: Duration::from_millis(250),
            memory: DEDUPE_WINDOW,
        }
    }
}

/// What a call does with limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Take,
    Look,
}

/// Limits counted in Redis, by one script call for up to [`CALL`] checks.
pub struct RedisQuotas {
    client: Client,
    /// Replaced after a failure, because the address may then lead to another server.
    connection: Mutex<ConnectionManager>,
    take: Script,
    look: Script,
    prefix: String,
    timeout: Duration,
    memory: Duration,
    resting_until: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for RedisQuotas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisQuotas")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// The reason for which Redis gave no verdicts.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("Redis did not answer in time")]
    Late,
    #[error("{}", QuotaFault::of(.0))]
    Refused(#[from] RedisError),
    #[error("Redis returned another number of verdicts than requested")]
    Odd,
}

impl Failure {
    fn fault(&self) -> QuotaFault {
        match self {
            Self::Late => QuotaFault::Silent,
            Self::Refused(error) => QuotaFault::of(error),
            Self::Odd => QuotaFault::Other,
        }
    }
}

fn manager(client: &Client, timeout: Duration) -> Result<ConnectionManager, RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(timeout))
        .set_response_timeout(Some(timeout))
        .set_number_of_retries(0)
        .set_max_delay(REST);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

impl RedisQuotas {
    /// Prepares the connection. It is opened and reopened on demand, so Redis may be down meanwhile.
    pub fn connect(config: RedisQuotasConfig) -> Result<Self, StoreError> {
        let bad_url = |_| StoreError::Config("expected a Redis URL that begins with redis:// or rediss://");
        let client = Client::open(config.url.expose_secret()).map_err(bad_url)?;
        let connection = manager(&client, config.timeout).map_err(bad_url)?;
        Ok(Self {
            client,
            connection: Mutex::new(connection),
            take: Script::new(include_str!("take.lua")),
            look: Script::new(include_str!("look.lua")),
            prefix: config.prefix,
            timeout: config.timeout,
            memory: config.memory,
            resting_until: Mutex::new(None),
        })
    }

    /// Writes a key that expires. A read would not show whether Redis takes writes, since a replica answers reads.
    async fn probe(&self) -> Result<(), Failure> {
        let mut connection = self.connection.lock().clone();
        let mut probe = redis::cmd("SET");
        probe
            .arg(format!("{}probe", self.prefix))
            .arg(1)
            .arg("PX")
            .arg(10_000);
        timeout(self.timeout, probe.query_async::<()>(&mut connection))
            .await
            .map_err(|_| Failure::Late)??;
        Ok(())
    }

    /// Replaces the connection; the next call connects again.
    fn reconnect(&self) {
        // The address was valid at the start, so this succeeds.
        if let Ok(connection) = manager(&self.client, self.timeout) {
            *self.connection.lock() = connection;
        }
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
        let mut message = 0_u32;
        for (index, check) in checks.iter().enumerate() {
            if index > 0 && checks[index - 1].message != check.message {
                message += 1;
            }
            let mut verdict = Vec::with_capacity(self.prefix.len() + 18);
            verdict.extend_from_slice(self.prefix.as_bytes());
            verdict.extend_from_slice(b"v:");
            verdict.extend_from_slice(check.id.as_bytes());
            call.key(format!("{}l:{}", self.prefix, check.key)).key(verdict);
            call.arg(check.limit.max)
                .arg(millis(check.limit.per))
                .arg(message);
        }
        let mut connection = self.connection.lock().clone();
        let answers: Vec<i64> = timeout(self.timeout, call.invoke_async(&mut connection))
            .await
            .map_err(|_| Failure::Late)??;
        if answers.len() != checks.len() {
            return Err(Failure::Odd);
        }
        let judged = answers.into_iter().zip(checks);
        Ok(judged
            .map(|(answer, check)| verdict(answer, check, now))
            .collect())
    }

    fn is_resting(&self) -> bool {
        self.resting_until
            .lock()
            .is_some_and(|until| until > Instant::now())
    }
}

impl RedisQuotas {
    /// Calls a script for any number of checks. A check that Redis does not answer is `Unavailable`.
    async fn ask(&self, kind: Call, checks: &[LimitCheck], now: Timestamp) -> Vec<LimitVerdict> {
        let mut verdicts = Vec::with_capacity(checks.len());
        for checks in calls(checks) {
            if self.is_resting() {
                verdicts.extend(checks.iter().map(|_| LimitVerdict::Unavailable));
                continue;
            }
            match self.call(kind, checks, now).await {
                Ok(answers) => {
                    *self.resting_until.lock() = None;
                    verdicts.extend(answers);
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "limits could not be counted"
                    );
                    metrics::counter!("carillon_quota_failures_total").increment(1);
                    *self.resting_until.lock() = Some(Instant::now() + REST);
                    self.reconnect();
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

    async fn check(&self) -> Result<(), QuotaFault> {
        self.probe().await.map_err(|error| {
            self.reconnect();
            error.fault()
        })
    }

    fn name(&self) -> &'static str {
        "redis"
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
