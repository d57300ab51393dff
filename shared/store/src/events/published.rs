//! Events that this process has published and not marked yet. A router marks them too when it claims them, mostly sooner:
//! a mark that waits a little finds nothing left to write.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use indexmap::IndexSet;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{EventKey, ingest::MarkPublished};
use crate::{batcher::Work as _, error::StoreError};

/// For so long a mark waits for the router's.
const DELAY: Duration = Duration::from_millis(500);
/// So many are marked in one transaction.
const BATCH: usize = 128;
/// Whoever publishes more than so many meanwhile waits for the marks.
const MOST: usize = 50_000;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Published(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    mark: MarkPublished,
    /// In the order in which their rows lie.
    keys: Mutex<IndexSet<EventKey>>,
    /// One marks at a time.
    turn: tokio::sync::Mutex<()>,
    marked: Notify,
}

impl Published {
    /// Marks every [`DELAY`], until it is dropped.
    pub(super) fn new(mark: MarkPublished) -> Self {
        let inner = Arc::new(Inner {
            mark,
            keys: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            marked: Notify::new(),
        });
        tokio::spawn(mark_again_and_again(Arc::downgrade(&inner)));
        Self(inner)
    }

    pub(super) async fn add(&self, keys: Vec<EventKey>) {
        loop {
            let marked = self.0.marked.notified();
            if self.0.keys.lock().len() < MOST {
                break;
            }
            marked.await;
        }
        self.0.keys.lock().extend(keys);
    }

    pub(super) fn contains(&self, key: &EventKey) -> bool {
        self.0.keys.lock().contains(key)
    }

    /// Marks what there is.
    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        self.0.flush().await
    }
}

impl Inner {
    async fn flush(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let mut left = self.keys.lock().len();
        while left > 0 {
            let some: Vec<EventKey> = self.keys.lock().iter().take(BATCH.min(left)).cloned().collect();
            self.mark.run(&some).await?;
            // What was added meanwhile stands behind them.
            self.keys.lock().drain(..some.len());
            left -= some.len();
            self.marked.notify_waiters();
        }
        Ok(())
    }
}

async fn mark_again_and_again(published: Weak<Inner>) {
    loop {
        tokio::time::sleep(DELAY).await;
        let Some(published) = published.upgrade() else {
            return;
        };
        if let Err(error) = published.flush().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "published events are marked later"
            );
        }
    }
}
