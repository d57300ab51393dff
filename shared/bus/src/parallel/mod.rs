//! Working on many records at once: order is kept for each key, records complete in any order, only the contiguous
//! frontier is committed, and nothing is dropped in silence.

mod inbound;
mod queue;
mod runner;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use carillon_domain::clock::SharedClock;
use carillon_runtime::{Shutdown, panics::Panic};

pub use inbound::Inbound;

use crate::{error::BusError, member::Member, topics::Topics};

/// Works on records.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Works on a batch of records of different keys. Each [`Inbound`] is to be ended with [`Inbound::done`], in any
    /// order; one that is dropped is read again. Several calls run at the same time.
    async fn handle(&self, batch: Vec<Inbound>);

    /// Turns a record whose handling has panicked [`PANICS`] times into a dead letter. As in
    /// [`Handler::handle`], the implementation ends the record with [`Inbound::done`].
    async fn bury(&self, inbound: Inbound, panic: &Panic);
}

/// Panics after which a record is buried. After its first panic it is handled alone, because another record
/// of its batch may be the cause.
pub const PANICS: u32 = 3;

/// How much at once.
#[derive(Debug, Clone)]
pub struct ParallelOptions {
    /// At most this many records are polled and not done.
    pub max_in_flight: usize,
    /// At most this many records are handed over in one call.
    pub max_batch: usize,
    /// How often the frontier is committed.
    pub commit_interval: Duration,
    /// How long revoked partitions are waited for.
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
