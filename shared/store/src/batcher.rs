//! Group commit: the items of concurrent callers that wait while the database is busy go into its next statement
//! together. An idle batcher adds no wait. Callers with few items do not wait for callers with many.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::{config::Dialect, db::again, error::StoreError};

/// Batches in progress at a time: one is synced while the next is processed.
const LANES: usize = 2;
/// The most items of a caller that count as few.
const FEW: usize = 16;

/// The most items of a batch of callers with few items. On SQLite it is the size of a small turn of the writer.
fn together(dialect: Dialect, max_items: usize) -> usize {
    match dialect {
        Dialect::Sqlite => max_items.min(FEW),
        Dialect::Postgres => max_items,
    }
}

/// The work on a batch.
#[async_trait]
pub(crate) trait Work: Send + Sync + 'static {
    /// An item as a caller submits it.
    type Item: Send + Sync;
    /// The result for an item.
    type Output: Send;

    /// Processes items in one transaction; returns one output for each item, in order.
    async fn run(&self, items: &[Self::Item]) -> Result<Vec<Self::Output>, StoreError>;
}

struct Job<W: Work> {
    items: Vec<W::Item>,
    done: oneshot::Sender<Result<Vec<W::Output>, StoreError>>,
}

/// Gathers the items of concurrent callers. Its tasks end when it is dropped.
pub(crate) struct Batcher<W: Work> {
    few: mpsc::Sender<Job<W>>,
    many: mpsc::Sender<Job<W>>,
}

impl<W: Work> std::fmt::Debug for Batcher<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batcher").finish_non_exhaustive()
    }
}

impl<W: Work> Batcher<W> {
    /// A batcher for a database of this dialect, with batches of about `max_items` items.
    pub(crate) fn new(work: W, dialect: Dialect, max_items: usize) -> Self {
        Self::spawn(work, LANES, together(dialect, max_items), max_items)
    }

    /// Starts `lanes` tasks for callers with few items and as many for callers with many. A task processes one batch
    /// at a time, of about `max_few` or `max_many` items.
    fn spawn(work: W, lanes: usize, max_few: usize, max_many: usize) -> Self {
        let work = Arc::new(work);
        let spawn = |max_items: usize| {
            let (jobs, inbox) = mpsc::channel(4_096);
            let inbox = Arc::new(Mutex::new(inbox));
            for _ in 0..lanes {
                tokio::spawn(run(Arc::clone(&work), Arc::clone(&inbox), max_items));
            }
            jobs
        };
        Self {
            few: spawn(max_few),
            many: spawn(max_many),
        }
    }

    /// Submits items and waits for their results. The items are processed even if the caller goes away.
    pub(crate) async fn submit(&self, items: Vec<W::Item>) -> Result<Vec<W::Output>, StoreError> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let (done, answer) = oneshot::channel();
        let jobs = if items.len() <= FEW { &self.few } else { &self.many };
        jobs.send(Job { items, done })
            .await
            .map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

async fn run<W: Work>(work: Arc<W>, inbox: Arc<Mutex<mpsc::Receiver<Job<W>>>>, max_items: usize) {
    loop {
        let jobs = {
            let mut inbox = inbox.lock().await;
            let Some(first) = inbox.recv().await else { return };
            gather(first, &mut inbox, max_items)
        };
        work_on(&*work, jobs).await;
    }
}

fn gather<W: Work>(first: Job<W>, inbox: &mut mpsc::Receiver<Job<W>>, max_items: usize) -> Vec<Job<W>> {
    let mut items = first.items.len();
    let mut jobs = vec![first];
    while items < max_items {
        let Ok(job) = inbox.try_recv() else { break };
        items += job.items.len();
        jobs.push(job);
    }
    jobs
}

async fn work_on<W: Work>(work: &W, mut jobs: Vec<Job<W>>) {
    let sizes: Vec<usize> = jobs.iter().map(|job| job.items.len()).collect();
    let items: Vec<W::Item> = jobs
        .iter_mut()
        .flat_map(|job| std::mem::take(&mut job.items))
        .collect();
    match again(|| work.run(&items)).await {
        Ok(outputs) => {
            let mut outputs = outputs.into_iter();
            for (job, size) in jobs.into_iter().zip(sizes) {
                answer(job, Ok(outputs.by_ref().take(size).collect()));
            }
        }
        // The database may have refused the items of one caller only, so each job is tried on its own.
        Err(error) if jobs.len() > 1 && !error.is_retriable() => {
            let mut rest = items.as_slice();
            for (job, size) in jobs.into_iter().zip(sizes) {
                let (own, others) = rest.split_at(size);
                answer(job, again(|| work.run(own)).await);
                rest = others;
            }
        }
        Err(error) => {
            for job in jobs {
                answer(job, Err(error.clone()));
            }
        }
    }
}

fn answer<W: Work>(job: Job<W>, result: Result<Vec<W::Output>, StoreError>) {
    // A caller that has gone away needs no answer.
    let _ = job.done.send(result);
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use tokio::sync::Semaphore;

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

        async fn run(&self, items: &[u32]) -> Result<Vec<u32>, StoreError> {
            self.gate.acquire().await.unwrap().forget();
            self.batches.fetch_add(1, Ordering::SeqCst);
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
        (Arc::new(Batcher::spawn(work, 1, 1_000, 1_000)), gate, batches)
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
    async fn what_comes_while_a_batch_is_being_written_goes_into_the_next_one_together() {
        let (batcher, gate, runs) = doubler();
        let tasks = submit_all(&batcher, (0..50).map(|n| vec![n, n + 100]).collect()).await;
        gate.add_permits(50);
        for (n, task) in (0..50).zip(tasks) {
            assert_eq!(task.await.unwrap().unwrap(), [n * 2, (n + 100) * 2]);
        }
        assert!(runs.load(Ordering::SeqCst) <= 3, "{runs:?}");
    }

    /// Never finishes a batch with many items.
    struct Slow;

    #[async_trait]
    impl Work for Slow {
        type Item = usize;
        type Output = usize;

        async fn run(&self, items: &[usize]) -> Result<Vec<usize>, StoreError> {
            if items.len() > FEW {
                std::future::pending::<()>().await;
            }
            Ok(items.to_vec())
        }
    }

    #[tokio::test]
    async fn who_brings_little_does_not_wait_for_who_brings_much() {
        let batcher = Arc::new(Batcher::spawn(Slow, LANES, FEW, 1_000));
        for _ in 0..10 {
            let batcher = Arc::clone(&batcher);
            tokio::spawn(async move { batcher.submit((0..=FEW).collect()).await });
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
