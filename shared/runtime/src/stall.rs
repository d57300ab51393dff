//! Work that is retried without success. A metric shows it from the first failure on; after a time limit the role
//! ends, so that a supervisor starts it again or another process takes over.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

/// A role's work has failed for longer than its limit.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what} has failed for {} s: {error}", .lasted.as_secs())]
pub struct Stalled {
    /// The work.
    pub what: &'static str,
    /// The time for which it has failed.
    pub lasted: Duration,
    /// The last error.
    pub error: String,
}

/// Watches one kind of retried work.
#[derive(Debug)]
pub struct Stall {
    role: Arc<str>,
    what: &'static str,
    limit: Duration,
    since: Option<Instant>,
}

impl Stall {
    /// A watch without failures so far. The work may fail for `limit`.
    #[must_use]
    pub fn new(role: impl Into<Arc<str>>, what: &'static str, limit: Duration) -> Self {
        Self {
            role: role.into(),
            what,
            limit,
            since: None,
        }
    }

    /// Notes a success.
    pub fn succeeded(&mut self) {
        if self.since.take().is_some() {
            self.tell(Duration::ZERO);
        }
    }

    /// Notes a failure. Returns an error once the limit has passed; the role must then end.
    pub fn failed(&mut self, error: &dyn std::fmt::Display) -> Result<(), Stalled> {
        let lasted = self.since.get_or_insert_with(Instant::now).elapsed();
        self.tell(lasted);
        if lasted < self.limit {
            return Ok(());
        }
        Err(Stalled {
            what: self.what,
            lasted,
            error: error.to_string(),
        })
    }

    fn tell(&self, lasted: Duration) {
        let labels = [("role", self.role.to_string()), ("work", self.what.to_owned())];
        metrics::gauge!("carillon_stalled_seconds", &labels).set(lasted.as_secs_f64());
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        self.succeeded();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_that_fails_for_too_long_is_stalled_and_one_success_begins_the_time_anew() {
        let mut stall = Stall::new("router", "routing", Duration::from_secs(10));
        for _ in 0..2 {
            stall.failed(&"away").unwrap();
            tokio::time::advance(Duration::from_secs(9)).await;
            stall.failed(&"away").unwrap();
            stall.succeeded();
        }
        stall.failed(&"away").unwrap();
        tokio::time::advance(Duration::from_secs(11)).await;
        let stalled = stall.failed(&"away").unwrap_err();
        assert_eq!(stalled.to_string(), "routing has failed for 11 s: away");
    }
}
