//! Processing many records at once: order is kept for each key, records complete in any order, only the contiguous
//! frontier is committed, and no record is dropped silently.

mod held;
mod inbound;
mod queue;
mod runner;
mod suspects;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use carillon_domain::clock::SharedClock;
use carillon_runtime::{Shutdown, panics::Panic};

pub use inbound::Inbound;

use crate::{error::BusError, member::Member, meter::Work, topics::Topics};

/// Processes records.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Processes a batch of records of different keys. The implementation ends each [`Inbound`] with
    /// [`Inbound::done`], in any order; one that is dropped is read again. Several calls run at the same time.
    async fn handle(&self, batch: Vec<Inbound>);

    /// Turns a record whose handling has panicked [`PANICS`] times into a dead letter. The implementation ends the
    /// record with [`Inbound::done`].
    async fn bury(&self, inbound: Inbound, panic: &Panic);
}

/// Panics after which a record is buried. After its first panic a record is handled alone, because another record of
/// its batch may have been the cause.
pub const PANICS: u32 = 3;

/// The limits and intervals of a runner.
#[derive(Debug, Clone)]
pub struct ParallelOptions {
    /// The most records that are polled and not done.
    pub max_in_flight: usize,
    /// The most records of one call of the handler.
    pub max_batch: usize,
    /// The interval at which the frontier is committed.
    pub commit_interval: Duration,
    /// The longest wait for records in hand when their partitions are revoked.
    pub drain_timeout: Duration,
}

impl Default for ParallelOptions {
    fn default() -> Self {
        Self {
            max_in_flight: 1_024,
            max_batch: 256,
            commit_interval: Duration::from_millis(200),
            drain_timeout: Duration::from_secs(5),
        }
    }
}

pub(crate) struct Context {
    pub(crate) group: Arc<str>,
    pub(crate) topics: Arc<Topics>,
    pub(crate) clock: SharedClock,
    pub(crate) options: ParallelOptions,
    pub(crate) work: Work,
}

pub(crate) async fn run(
    member: Box<dyn Member>,
    context: Context,
    handler: Arc<dyn Handler>,
    shutdown: Shutdown,
) -> Result<(), BusError> {
    runner::Runner::new(member, context, handler, shutdown.stall_limit)
        .run(shutdown)
        .await
}
