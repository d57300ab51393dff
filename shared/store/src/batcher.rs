//! The items of concurrent callers in one statement. A batch takes items until its turn at the database comes, so an
//! idle batcher adds no wait. Callers with few items do not wait for callers with many.

use std::{
    mem::take,
    sync::{Arc, OnceLock, Weak},
};

use async_trait::async_trait;
use carillon_runtime::inbox::{SMALL, SizeClass};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use crate::{
    config::Dialect,
    db::{Input, Rows, Statements, again},
    error::StoreError,
};

/// Batches in progress at a time: one is synced while the next waits for its turn.
const TASKS: usize = 2;

/// The work on a batch.
#[async_trait]
pub(crate) trait Work: Sized + Send + Sync + 'static {
    /// An item as a caller submits it.
    type Item: Clone + Send + Sync;
    /// The result for an item.
    type Output: Send;

    /// The statements that write this number of items on SQLite.
    fn statements(items: usize) -> Statements {
        Input::statements(items)
    }

    /// Processes the items of a batch in one transaction; returns one output for each item, in order.
    async fn run(&self, batch: &Arc<Gathered<Self>>) -> Result<Vec<Self::Output>, StoreError>;
}

/// Gathers the items of concurrent callers.
pub(crate) struct Batcher<W: Work> {
    work: Arc<W>,
    small: ClassQueue<W>,
    large: ClassQueue<W>,
}

/// The batches of one class.
struct ClassQueue<W: Work> {
    /// The batch that was begun last.
    last: Mutex<Weak<Gathered<W>>>,
    tasks: Arc<Semaphore>,
    max_items: usize,
}

/// Items of several callers.
pub(crate) struct Gathered<W: Work> {
    submissions: Mutex<Vec<Submission<W>>>,
    /// The items so far; `None` once the batch is sealed.
    open: Mutex<Option<Vec<W::Item>>>,
    sealed: OnceLock<Vec<W::Item>>,
}

struct Submission<W: Work> {
    items: usize,
    done: oneshot::Sender<Result<Vec<W::Output>, StoreError>>,
}

impl<W: Work> std::fmt::Debug for Batcher<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batcher").finish_non_exhaustive()
    }
}

impl<W: Work> Batcher<W> {
    /// A batcher for a database of this dialect, with batches of about `max_items` items. On SQLite, a batch of small
    /// callers is a small write.
    pub(crate) fn new(work: W, dialect: Dialect, max_items: usize) -> Self {
        let max_small = match dialect {
            Dialect::Sqlite => max_items.min(SMALL),
            Dialect::Postgres => max_items,
        };
        let queue = |max_items| ClassQueue {
            last: Mutex::default(),
            tasks: Arc::new(Semaphore::new(TASKS)),
            max_items,
        };
        Self {
            work: Arc::new(work),
            small: queue(max_small),
            large: queue(max_items),
        }
    }

    /// Submits items and waits for their results. The items are processed even if the caller goes away.
    pub(crate) async fn submit(&self, items: Vec<W::Item>) -> Result<Vec<W::Output>, StoreError> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let queue = match SizeClass::of(items.len()) {
            SizeClass::Small => &self.small,
            SizeClass::Large => &self.large,
        };
        let (done, answer) = oneshot::channel();
        let submission = Submission {
            items: items.len(),
            done,
        };
        self.add(queue, items, submission);
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Adds the items to the last batch, or begins another one if that is full or sealed.
    fn add(&self, queue: &ClassQueue<W>, items: Vec<W::Item>, submission: Submission<W>) {
        let mut last = queue.last.lock();
        if let Some(batch) = last.upgrade()
            && let Some(open) = &mut *batch.open.lock()
            && open.len() + items.len() <= queue.max_items
        {
            open.extend(items);
            batch.submissions.lock().push(submission);
            return;
        }
        let batch = Arc::new(Gathered {
            submissions: Mutex::new(vec![submission]),
            ..Gathered::of(items)
        });
        *last = Arc::downgrade(&batch);
        tokio::spawn(run(Arc::clone(&self.work), Arc::clone(&queue.tasks), batch));
    }
}

impl<W: Work> Gathered<W> {
    fn of(items: Vec<W::Item>) -> Self {
        Self {
            submissions: Mutex::default(),
            open: Mutex::new(Some(items)),
            sealed: OnceLock::new(),
        }
    }

    /// Seals the batch: no further items are added. Returns its items.
    pub(crate) fn items(&self) -> &[W::Item] {
        self.sealed
            .get_or_init(|| self.open.lock().take().unwrap_or_default())
    }
}

impl<W: Work> Rows for Gathered<W> {
    fn count(&self) -> usize {
        let open = self.open.lock().as_ref().map(Vec::len);
        open.unwrap_or_else(|| self.items().len())
    }

    fn seal(&self) -> Statements {
        W::statements(self.items().len())
    }
}

async fn run<W: Work>(work: Arc<W>, tasks: Arc<Semaphore>, batch: Arc<Gathered<W>>) {
    // The semaphore is never closed.
    let _permit = tasks.acquire().await;
    let result = again(|| work.run(&batch)).await;
    let mut rest = batch.items();
    let submissions = take(&mut *batch.submissions.lock());
    match result {
        Ok(outputs) => {
            let mut outputs = outputs.into_iter();
            for submission in submissions {
                let own = outputs.by_ref().take(submission.items).collect();
                submission.answer(Ok(own));
            }
        }
        // The database may have refused the items of one caller only, so each caller's are tried on their own.
        Err(error) if submissions.len() > 1 && !error.is_retriable() => {
            for submission in submissions {
                let (own, others) = rest.split_at(submission.items);
                let own = Arc::new(Gathered::of(own.to_vec()));
                submission.answer(again(|| work.run(&own)).await);
                rest = others;
            }
        }
        Err(error) => {
            for submission in submissions {
                submission.answer(Err(error.clone()));
            }
        }
    }
}

impl<W: Work> Submission<W> {
    fn answer(self, result: Result<Vec<W::Output>, StoreError>) {
        // A caller that has gone away needs no answer.
        let _ = self.done.send(result);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;

    /// Doubles numbers when its gate is open; refuses batches that contain 1,313.
    struct Doubler {
        gate: Arc<Semaphore>,
        batches: Arc<AtomicUsize>,
    }

    #[async_trait]
    impl Work for Doubler {
        type Item = u32;
        type Output = u32;

        async fn run(&self, batch: &Arc<Gathered<Self>>) -> Result<Vec<u32>, StoreError> {
            self.gate.acquire().await.unwrap().forget();
            self.batches.fetch_add(1, Ordering::SeqCst);
            let items = batch.items();
            if items.contains(&1_313) {
                return Err(StoreError::Corrupt { what: "1313" });
            }
            Ok(items.iter().map(|item| item * 2).collect())
        }
    }

    fn doubler() -> (Arc<Batcher<Doubler>>, Arc<Semaphore>, Arc<AtomicUsize>) {
        let (gate, batches) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = Doubler {
            gate: Arc::clone(&gate),
            batches: Arc::clone(&batches),
        };
        (
            Arc::new(Batcher::new(work, Dialect::Sqlite, 1_000)),
            gate,
            batches,
        )
    }

    /// Submits concurrently: the first item is in progress before the others are submitted.
    async fn submit_all(
        batcher: &Arc<Batcher<Doubler>>,
        items: Vec<Vec<u32>>,
    ) -> Vec<tokio::task::JoinHandle<Result<Vec<u32>, StoreError>>> {
        let mut tasks = Vec::new();
        for items in items {
            let batcher = Arc::clone(batcher);
            tasks.push(tokio::spawn(async move { batcher.submit(items).await }));
            tokio::task::yield_now().await;
        }
        tasks
    }

    #[tokio::test]
    async fn calls_that_come_before_a_batchs_turn_join_it_while_it_is_small() {
        let (batcher, gate, runs) = doubler();
        let tasks = submit_all(&batcher, (0..50).map(|n| vec![n, n + 100]).collect()).await;
        gate.add_permits(50);
        for (n, task) in (0..50).zip(tasks) {
            assert_eq!(task.await.unwrap().unwrap(), [n * 2, (n + 100) * 2]);
        }
        assert_eq!(runs.load(Ordering::SeqCst), 100_usize.div_ceil(SMALL));
    }

    /// Never finishes a batch with many items.
    struct Slow;

    #[async_trait]
    impl Work for Slow {
        type Item = usize;
        type Output = usize;

        async fn run(&self, batch: &Arc<Gathered<Self>>) -> Result<Vec<usize>, StoreError> {
            let items = batch.items();
            if items.len() > SMALL {
                std::future::pending::<()>().await;
            }
            Ok(items.to_vec())
        }
    }

    #[tokio::test]
    async fn a_small_call_does_not_wait_for_large_ones() {
        let batcher = Arc::new(Batcher::new(Slow, Dialect::Sqlite, 1_000));
        for _ in 0..10 {
            let batcher = Arc::clone(&batcher);
            tokio::spawn(async move { batcher.submit((0..=SMALL).collect()).await });
        }
        tokio::task::yield_now().await;
        let few = tokio::time::timeout(Duration::from_secs(10), batcher.submit(vec![1, 2]));
        assert_eq!(few.await.unwrap().unwrap(), [1, 2]);
    }

    #[tokio::test]
    async fn one_callers_bad_item_does_not_fail_the_others() {
        let (batcher, gate, _) = doubler();
        let tasks = submit_all(&batcher, vec![vec![1], vec![1_313], vec![2]]).await;
        gate.add_permits(50);
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.unwrap().ok());
        }
        assert_eq!(results, [Some(vec![2]), None, Some(vec![4])]);
    }
}
