//! Events that this process has published and not marked yet. A router that claims an event marks it too, usually
//! sooner, so a delayed mark mostly has nothing left to write.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use indexmap::IndexSet;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{EventKey, ingest::MarkPublished};
use crate::error::StoreError;

/// The delay of a mark, in which a router usually makes it.
const DELAY: Duration = Duration::from_millis(500);
/// The most marks of one transaction.
const BATCH: usize = 128;
/// The most events without a mark; publishers of more wait for marks.
const MOST: usize = 50_000;

/// The events without a mark, and the task that marks them.
#[derive(Debug, Clone)]
pub(super) struct Unmarked(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    mark: MarkPublished,
    keys: Mutex<Keys>,
    /// Held while marking, so that one caller marks at a time.
    turn: tokio::sync::Mutex<()>,
    marked: Notify,
}

/// The events in the order in which they were published, which is that of their rows.
#[derive(Debug, Default)]
struct Keys {
    noted: IndexSet<EventKey>,
    /// Events that are being marked, or whose mark failed.
    marking: IndexSet<EventKey>,
}

impl Keys {
    fn len(&self) -> usize {
        self.noted.len() + self.marking.len()
    }
}

impl Unmarked {
    /// Starts a task that marks every [`DELAY`] until this is dropped.
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

    /// Marks all noted events.
    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        self.0.flush().await
    }
}

impl Inner {
    async fn flush(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        // Earlier failed marks come first, then those noted since.
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
