//! Start and end of a process. A soft shutdown asks each role to accept no new work and finish its current work;
//! after a grace time, a hard one tells it to give up. A role that ends by itself ends the process too.

use std::{future::Future, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::panics;

/// The default time for which a role's work may fail before the role ends.
const STALL_LIMIT: Duration = Duration::from_mins(15);

/// The two shutdown signals, shared by the whole process, and the time for which work may fail before its role ends.
/// It is passed as a parameter and is never global.
#[derive(Debug, Clone)]
pub struct Shutdown {
    /// The signal to accept no new work and to finish the work in flight.
    pub soft: CancellationToken,
    /// The signal to give up the work in flight. It always comes after `soft`.
    pub hard: CancellationToken,
    /// The time for which retried work may fail before its role ends with an error ([`crate::Stall`]).
    pub stall_limit: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            soft: CancellationToken::new(),
            hard: CancellationToken::new(),
            stall_limit: STALL_LIMIT,
        }
    }
}

impl Shutdown {
    /// A new pair of signals, neither of them given.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A pair that ends with this one, or earlier by itself.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            soft: self.soft.child_token(),
            hard: self.hard.child_token(),
            stall_limit: self.stall_limit,
        }
    }

    /// Waits for the soft signal.
    pub async fn soft(&self) {
        self.soft.cancelled().await;
    }

    /// Waits for the hard signal.
    pub async fn hard(&self) {
        self.hard.cancelled().await;
    }

    /// Gives the soft signal.
    pub fn begin(&self) {
        self.soft.cancel();
    }

    /// Gives both signals.
    pub fn abort(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }
}

/// The reason for which a process ended without a request to end.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// A role returned an error.
    #[error("the role {role} failed")]
    Failed {
        /// The role.
        role: &'static str,
        /// Its error.
        #[source]
        error: anyhow::Error,
    },
    /// A role returned before the soft signal.
    #[error("the role {role} ended by itself")]
    Ended {
        /// The role.
        role: &'static str,
    },
    /// A role panicked.
    #[error("a role panicked: {0}")]
    Panicked(String),
    /// Roles did not end within the time after the hard signal.
    #[error("{0} roles did not end after the hard shutdown")]
    Stuck(usize),
}

/// The roles of one process.
#[derive(Debug)]
pub struct Lifecycle {
    shutdown: Shutdown,
    grace: Duration,
    roles: JoinSet<(&'static str, anyhow::Result<()>)>,
    signals: Signals,
}

/// The time for which a role may still run after the hard signal.
const AFTER_HARD: Duration = Duration::from_secs(5);

impl Lifecycle {
    /// A lifecycle with `grace` between the soft and the hard signal. From now on SIGINT and SIGTERM are handled by
    /// [`Lifecycle::run`] and do not end the process by themselves.
    #[must_use]
    pub fn new(shutdown: Shutdown, grace: Duration) -> Self {
        Self {
            shutdown,
            grace,
            roles: JoinSet::new(),
            signals: Signals::listen(),
        }
    }

    /// Starts a role, which is expected to run until the soft signal.
    pub fn spawn(
        &mut self,
        name: &'static str,
        role: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.roles
            .spawn(panics::in_role(name, async move { (name, role.await) }));
    }

    /// Runs until SIGINT or SIGTERM, a soft signal from elsewhere, or the end of a role; then ends all roles. A
    /// second signal ends them at once. Returns an error if a role failed, so that the process exits non-zero.
    pub async fn run(mut self) -> Result<(), LifecycleError> {
        let mut cause = "asked to";
        let mut first_error = tokio::select! {
            signal = self.signals.next() => {
                tracing::info!(signal, "shutting down");
                cause = signal;
                None
            }
            () = self.shutdown.soft() => None,
            Some(ended) = self.roles.join_next() => self.describe(ended),
        };
        self.shutdown.begin();
        let grace = tokio::time::sleep(self.grace);
        tokio::pin!(grace);
        let mut hard_deadline = None;
        while !self.roles.is_empty() {
            tokio::select! {
                Some(ended) = self.roles.join_next() => first_error = first_error.or(self.describe(ended)),
                () = &mut grace, if hard_deadline.is_none() => {
                    tracing::warn!(roles = self.roles.len(), "the grace time is over: giving up the work in flight");
                    hard_deadline = Some(self.give_up());
                }
                signal = self.signals.next(), if hard_deadline.is_none() => {
                    tracing::warn!(signal, "second signal: giving up the work in flight");
                    hard_deadline = Some(self.give_up());
                }
                () = until(hard_deadline) => {
                    let stuck = self.roles.len();
                    self.roles.abort_all();
                    return Err(first_error.unwrap_or(LifecycleError::Stuck(stuck)));
                }
            }
        }
        let Some(error) = first_error else {
            tracing::info!(cause, "every role has ended");
            return Ok(());
        };
        tracing::error!(cause = %error, "every role has ended");
        Err(error)
    }

    fn give_up(&self) -> tokio::time::Instant {
        self.shutdown.abort();
        tokio::time::Instant::now() + AFTER_HARD
    }

    fn describe(
        &self,
        ended: Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>,
    ) -> Option<LifecycleError> {
        let asked = self.shutdown.soft.is_cancelled();
        let error = match ended {
            Ok((_, Ok(()))) if asked => return None,
            Ok((role, Ok(()))) => LifecycleError::Ended { role },
            Ok((role, Err(error))) => LifecycleError::Failed { role, error },
            Err(error) => LifecycleError::Panicked(error.to_string()),
        };
        tracing::error!(error = &error as &dyn std::error::Error, "a role ended");
        Some(error)
    }
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// SIGINT and SIGTERM, received since this was created.
#[derive(Debug)]
struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
}

impl Signals {
    fn listen() -> Self {
        let on = |kind| {
            signal(kind)
                .inspect_err(|error| tracing::warn!(%error, "signals cannot be received"))
                .ok()
        };
        Self {
            interrupt: on(SignalKind::interrupt()),
            terminate: on(SignalKind::terminate()),
        }
    }

    /// Waits for the next signal and returns its name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            () = received(self.interrupt.as_mut()) => "SIGINT",
            () = received(self.terminate.as_mut()) => "SIGTERM",
        }
    }
}

async fn received(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_role_that_fails_ends_the_process_with_its_error() {
        let shutdown = Shutdown::new();
        let mut lifecycle = Lifecycle::new(shutdown.clone(), Duration::from_secs(5));
        let other = shutdown.clone();
        lifecycle.spawn("steady", async move {
            other.soft().await;
            Ok(())
        });
        lifecycle.spawn("weak", async { anyhow::bail!("no more") });
        let error = lifecycle.run().await.unwrap_err();
        assert!(
            matches!(error, LifecycleError::Failed { role: "weak", .. }),
            "{error:?}"
        );
        assert!(shutdown.soft.is_cancelled());
    }

    #[tokio::test]
    async fn a_role_that_ends_unasked_or_panics_is_an_error_too() {
        let mut lifecycle = Lifecycle::new(Shutdown::new(), Duration::from_secs(5));
        lifecycle.spawn("short", async { Ok(()) });
        assert!(matches!(
            lifecycle.run().await,
            Err(LifecycleError::Ended { role: "short" })
        ));

        let mut lifecycle = Lifecycle::new(Shutdown::new(), Duration::from_secs(5));
        lifecycle.spawn("wild", async { panic!("oh") });
        assert!(matches!(lifecycle.run().await, Err(LifecycleError::Panicked(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_role_that_does_not_finish_in_the_grace_time_gets_the_hard_signal() {
        let shutdown = Shutdown::new();
        let mut lifecycle = Lifecycle::new(shutdown.clone(), Duration::from_secs(30));
        let role = shutdown.clone();
        lifecycle.spawn("slow", async move {
            role.hard().await;
            Ok(())
        });
        shutdown.begin();
        lifecycle.run().await.unwrap();
        assert!(shutdown.hard.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_role_that_ignores_both_signals_is_reported_as_stuck() {
        let shutdown = Shutdown::new();
        let mut lifecycle = Lifecycle::new(shutdown.clone(), Duration::from_secs(1));
        lifecycle.spawn("deaf", std::future::pending());
        shutdown.begin();
        assert!(matches!(lifecycle.run().await, Err(LifecycleError::Stuck(1))));
    }
}
