//! The scheduler: events and deliveries that wait until a time, digests, jobs that work dead letters off, replays that
//! begin once a condition holds, and the publisher of the outbox. Several instances share the work; each step and each
//! record is leased.

mod canary;
mod digests;
mod measures;
mod plan;
mod planner;
mod publisher;
mod runner;
mod waiting;

use std::{convert::Infallible, future::Future, time::Duration};

use carillon_bus::{Bus, BusError};
use carillon_domain::clock::SharedClock;
use carillon_runtime::{Limited, Shutdown, Stall, Stalled, http::ReadySwitch, panics};
use carillon_store::{Store, StoreError};
use tokio::sync::{Mutex, Notify};

pub use digests::Closer;
pub use planner::Planner;
pub use publisher::Publisher;
pub use runner::{Runner, Stepped};
pub use waiting::{Collector, Looked, Releaser, group};

/// The dependencies of the scheduler.
#[derive(Clone)]
pub struct SchedulerDeps {
    /// The bus, to which records go.
    pub bus: Bus,
    /// The store of jobs and outbox.
    pub store: Store,
    /// The clock.
    pub clock: SharedClock,
    /// Whether this is the only process. A lease of another process then belongs to a dead process.
    pub only_process: bool,
    /// Set once the scheduler has begun.
    pub ready: ReadySwitch,
}

/// The reason for which a scheduler ended.
#[derive(Debug, thiserror::Error)]
pub enum SchedulerError {
    /// The bus failed for good.
    #[error("the scheduler cannot use the bus")]
    Bus(#[from] BusError),
    /// The database failed.
    #[error("the scheduler cannot use the database")]
    Store(#[from] StoreError),
    /// The code panicked.
    #[error("{0}")]
    Panicked(panics::Panic),
    /// No step has succeeded for longer than the stall limit.
    #[error("the scheduler makes no progress")]
    Stalled(#[from] Stalled),
}

impl SchedulerError {
    fn is_retriable(&self) -> bool {
        match self {
            Self::Bus(error) => error.is_retriable() || matches!(error, BusError::NoTopic(_)),
            Self::Store(_) | Self::Panicked(_) => true,
            Self::Stalled(_) => false,
        }
    }
}

/// The lease of a step and of records that are being published: longer than either takes.
pub(crate) const LEASE: Duration = Duration::from_mins(1);
/// The pause before work that failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Stores and releases waiting events and deliveries, runs jobs and publishes the outbox until the shutdown.
pub async fn run(deps: SchedulerDeps, shutdown: Shutdown) -> Result<(), SchedulerError> {
    let runner = Runner::new(deps.clone());
    let publisher = Publisher::new(deps.clone());
    let (collector, releaser) = (Collector::new(deps.clone())?, Releaser::new(deps.clone()));
    let collector = Mutex::new(collector);
    let added = Notify::new();
    let collecting = keep("collecting", &shutdown, || async {
        let mut collector = collector.lock().await;
        let new = tokio::select! {
            new = collector.step() => new?,
            // Nothing is committed, so another member reads the records again.
            () = shutdown.soft() => return Ok(()),
        };
        if new > 0 {
            added.notify_one();
        }
        Ok(())
    });
    let releasing = keep("releasing", &shutdown, || async {
        if let Looked::Wait(wait) = releaser.step().await? {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = added.notified() => {}
            }
        }
        Ok(())
    });
    let closer = Closer::new(deps.clone());
    let closing = keep("closing digests", &shutdown, || async {
        if let Looked::Wait(wait) = closer.step().await? {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    });
    let lag = async {
        deps.bus
            .report_lag(group(&deps.bus), deps.ready.clone(), shutdown.clone())
            .await;
        std::future::pending::<Infallible>().await
    };
    let jobs = keep("jobs", &shutdown, || async {
        match runner.step().await? {
            Stepped::Worked => {}
            Stepped::Idle => tokio::time::sleep(runner::POLL).await,
        }
        Ok(())
    });
    let planner = Planner::new(deps.clone());
    let planning = keep("planned replays", &shutdown, || async {
        planner.step().await?;
        tokio::select! {
            () = tokio::time::sleep(planner::POLL) => {}
            () = shutdown.soft() => {}
        }
        Ok(())
    });
    let outbox = keep("publishing", &shutdown, || async {
        if publisher.step().await? == 0 {
            tokio::select! {
                () = deps.store.outbox().woken() => {}
                () = tokio::time::sleep(publisher::POLL) => {}
            }
        }
        Ok(())
    });
    let measures = measures::run(&deps.store, shutdown.clone());
    deps.ready.ready();
    let ended = tokio::select! {
        ended = async { tokio::try_join!(collecting, releasing, closing, planning, jobs, outbox) } => ended.map(drop),
        () = measures => Ok(()),
        never = lag => match never {},
    };
    deps.ready.not_ready("the role has ended");
    ended
}

/// Repeats a step until the shutdown. A step that is under way at the soft signal is awaited; the hard one gives it up,
/// which loses nothing.
async fn keep<F: Future<Output = Result<(), SchedulerError>>>(
    what: &'static str,
    shutdown: &Shutdown,
    step: impl Fn() -> F,
) -> Result<(), SchedulerError> {
    let mut stall = Stall::new(panics::role(), what, shutdown.stall_limit);
    let complaints = Limited::default();
    while !shutdown.soft.is_cancelled() {
        let done = tokio::select! {
            done = panics::catch(panics::role(), step()) => done.map_err(SchedulerError::Panicked).flatten(),
            () = shutdown.hard() => return Ok(()),
        };
        match done {
            Ok(()) => stall.succeeded(),
            Err(error) if error.is_retriable() => {
                if let Some(left_out) = complaints.admit(what) {
                    tracing::warn!(
                        what,
                        error = &error as &dyn std::error::Error,
                        left_out,
                        "a step failed; trying again"
                    );
                }
                stall.failed(&error)?;
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = shutdown.soft() => {}
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
