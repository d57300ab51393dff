//! State that all parts of a running simulator share.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::faults::Faults;
use crate::receipts::Reports;
use crate::replies::Replies;
use crate::store::{Store, Transmission};
use crate::{Message, SimulatorError};

/// The time that requests and sessions in progress have after the shutdown has begun.
pub(crate) const DRAIN: Duration = Duration::from_secs(5);

/// The shared parts; clones share them.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) store: Store,
    pub(crate) faults: Faults,
    pub(crate) reports: Reports,
    pub(crate) replies: Replies,
    pub(crate) shutdown: CancellationToken,
}

impl Context {
    /// Records one transmission; returns once it may be acknowledged. Its providers report the messages later.
    pub(crate) async fn receive(&self, messages: Vec<Message>) -> Result<(), SimulatorError> {
        let reported = self.reports.of(&messages);
        self.store.record(Transmission(messages)).await?;
        self.reports.report(reported);
        Ok(())
    }

    /// Waits for a scripted delay; a shutdown cuts it short.
    pub(crate) async fn pause(&self, duration: Duration) {
        if duration.is_zero() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            () = self.shutdown.cancelled() => {}
        }
    }
}
