//! The connection to Redis. It is opened and reopened on demand, and a call has a time limit. After a failure Redis is
//! not called for a while, so callers do not wait at each call while Redis is away.

mod fault;

use std::time::Duration;

use carillon_runtime::Secret;
use parking_lot::Mutex;
use redis::{
    Client, FromRedisValue, RedisError, ScriptInvocation,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use secrecy::ExposeSecret as _;
use tokio::time::{Instant, timeout};

pub use self::fault::RedisFault;
use crate::error::StoreError;

/// The time after a failure during which Redis is not asked. A router that waited for each batch would be too slow.
const REST: Duration = Duration::from_millis(500);

/// The address of Redis, and how it is used.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// `redis://…` or `rediss://…`.
    pub url: Secret,
    /// The prefix of all keys.
    pub prefix: String,
    /// The longest time of a call.
    pub timeout: Duration,
}

impl RedisConfig {
    /// The defaults for an address: prefix `carillon:`, 250 ms.
    #[must_use]
    pub fn new(url: impl Into<Secret>) -> Self {
        Self {
            url: url.into(),
            prefix: "carillon:".to_owned(),
            timeout: Duration::from_millis(250),
        }
    }
}

/// The reason for which a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("Redis did not answer in time")]
    Late,
    #[error("{}", RedisFault::of(.0))]
    Refused(#[from] RedisError),
    #[error("Redis returned another number of answers than requested")]
    Odd,
}

impl Failure {
    pub(crate) fn fault(&self) -> RedisFault {
        match self {
            Self::Late => RedisFault::Silent,
            Self::Refused(error) => RedisFault::of(error),
            Self::Odd => RedisFault::Other,
        }
    }
}

/// A connection to Redis.
pub(crate) struct RedisLink {
    client: Client,
    /// Replaced after a failure, because the address may then lead to another server.
    connection: Mutex<ConnectionManager>,
    prefix: String,
    timeout: Duration,
    resting_until: Mutex<Option<Instant>>,
}

fn manager(client: &Client, timeout: Duration) -> Result<ConnectionManager, RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(timeout))
        .set_response_timeout(Some(timeout))
        .set_number_of_retries(0)
        .set_max_delay(REST);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

impl RedisLink {
    /// Prepares the connection. Redis may be down meanwhile.
    pub(crate) fn connect(config: RedisConfig) -> Result<Self, StoreError> {
        let bad_url = |_| StoreError::Config("expected a Redis URL that begins with redis:// or rediss://");
        let client = Client::open(config.url.expose_secret()).map_err(bad_url)?;
        let connection = manager(&client, config.timeout).map_err(bad_url)?;
        Ok(Self {
            client,
            connection: Mutex::new(connection),
            prefix: config.prefix,
            timeout: config.timeout,
            resting_until: Mutex::new(None),
        })
    }

    /// The prefix of all keys.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether Redis failed so recently that it is not to be asked.
    pub(crate) fn is_resting(&self) -> bool {
        self.resting_until
            .lock()
            .is_some_and(|until| until > Instant::now())
    }

    /// Calls a script.
    pub(crate) async fn call<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, Failure> {
        let mut connection = self.connection.lock().clone();
        let answer = timeout(self.timeout, call.invoke_async::<T>(&mut connection)).await;
        Ok(answer.map_err(|_| Failure::Late)??)
    }

    /// Notes a call that succeeded.
    pub(crate) fn succeeded(&self) {
        *self.resting_until.lock() = None;
    }

    /// Notes a call that failed: Redis rests, and the next call connects again.
    pub(crate) fn failed(&self) {
        *self.resting_until.lock() = Some(Instant::now() + REST);
        self.reconnect();
    }

    /// Replaces the connection; the next call connects again.
    pub(crate) fn reconnect(&self) {
        // The address was valid at the start, so this succeeds.
        if let Ok(connection) = manager(&self.client, self.timeout) {
            *self.connection.lock() = connection;
        }
    }

    /// Writes a key that expires. A read would not show whether Redis takes writes, since a replica answers reads.
    pub(crate) async fn probe(&self) -> Result<(), Failure> {
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
}

/// A duration in milliseconds, at least one, as Redis expects the time to live of a key.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
