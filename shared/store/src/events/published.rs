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
    keys: Mutex<Keys>,
    /// One marks at a time.
    turn: tokio::sync::Mutex<()>,
    marked: Notify,
}

/// In the order in which their rows lie.
#[derive(Debug, Default)]
struct Keys {
    noted: IndexSet<EventKey>,
    /// What is being marked, or could not be.
    marking: IndexSet<EventKey>,
}

impl Keys {
    fn len(&self) -> usize {
        self.noted.len() + self.marking.len()
    }
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
        self.0.keys.lock().noted.extend(keys);
    }

    pub(super) fn contains(&self, key: &EventKey) -> bool {
        let keys = self.0.keys.lock();
        keys.noted.contains(key) || keys.marking.contains(key)
    }

    /// Marks what there is.
    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        self.0.flush().await
    }
}

impl Inner {
    async fn flush(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        // What could not be marked before, then what was noted since.
        self.mark_all().await?;
        {
            let keys = &mut *self.keys.lock();
            std::mem::swap(&mut keys.noted, &mut keys.marking);
        }
        self.mark_all().await
    }

    async fn mark_all(&self) -> Result<(), StoreError> {
        let mut marked = 0;
        loop {
            let some = self
                .keys
                .lock()
                .marking
                .iter()
                .skip(marked)
                .take(BATCH)
                .cloned()
                .collect::<Vec<_>>();
            if some.is_empty() {
                break;
            }
            self.mark.run(&some).await?;
            marked += some.len();
        }
        self.keys.lock().marking.clear();
        self.marked.notify_waiters();
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
