//! The metrics of a database, with names and labels of OpenTelemetry's conventions for database clients.

use std::time::Instant;

use metrics::{Gauge, Histogram};

/// Connections of one pool.
#[derive(Debug, Clone)]
pub(super) struct PoolMeasures {
    wait: Histogram,
    idle: Gauge,
    used: Gauge,
}

impl PoolMeasures {
    pub(super) fn new(pool: &'static str) -> Self {
        let count = |state: &'static str| {
            metrics::gauge!("db_client_connection_count", "db_client_connection_pool_name" => pool,
                "db_client_connection_state" => state)
        };
        Self {
            wait: metrics::histogram!("db_client_connection_wait_time_seconds",
                "db_client_connection_pool_name" => pool),
            idle: count("idle"),
            used: count("used"),
        }
    }

    /// Notes the duration of a wait for a connection, even if none was obtained.
    pub(super) fn waited(&self, since: Instant) {
        self.wait.record(since.elapsed().as_secs_f64());
    }

    /// Sets the numbers of idle connections and of those in use.
    pub(super) fn count(&self, size: u32, idle: usize) {
        let idle = u32::try_from(idle).unwrap_or(u32::MAX).min(size);
        self.idle.set(f64::from(idle));
        self.used.set(f64::from(size - idle));
    }
}

/// The duration of commits, most of which is usually a sync of the disk.
#[derive(Debug, Clone)]
pub(super) struct Commits(Histogram);

impl Commits {
    /// Of a database (`postgresql`, `sqlite`), or of one of its files.
    pub(super) fn new(system: &'static str, file: &str) -> Self {
        Self(
            metrics::histogram!("db_client_operation_duration_seconds", "db_system_name" => system,
            "db_operation_name" => "COMMIT", "db_namespace" => file.to_owned()),
        )
    }

    pub(super) fn took(&self, since: Instant) {
        self.0.record(since.elapsed().as_secs_f64());
    }
}
