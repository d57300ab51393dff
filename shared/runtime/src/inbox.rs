//! The inbox of a task that writes several jobs in one transaction, since each commit syncs the disk.
//!
//! A job is small or large by its rows. Small jobs come before large ones, so that a one-time password waits for at
//! most one part of a campaign; large jobs never starve. The jobs that the current transaction has taken decide its next
//! job ([`Inbox::more`]) and the first job of the next transaction ([`Inbox::first`]):
//!
//! | taken | takes next | the transaction after it begins with |
//! |---|---|---|
//! | small jobs only | small | a large job, if one waits |
//! | large jobs only | small, else large | a small job, if one waits |
//! | large, then small jobs | small | a small job, if one waits |
//!
//! A transaction is full from 512 rows or 1 MiB on. A sender waits while 4,096 jobs of its class wait.

use tokio::sync::mpsc;

/// The most rows of a small job.
pub const SMALL: usize = 32;
/// The number of rows at which a transaction takes no further job.
const MAX_ROWS: usize = 512;
/// The number of bytes at which a transaction takes no further job.
const MAX_BYTES: usize = 1024 * 1024;
/// The most jobs of a class that wait.
const CAPACITY: usize = 4_096;

/// A job of a writer.
pub trait Job {
    /// The number of rows that it writes. It decides the job's class.
    fn rows(&self) -> usize;

    /// The approximate number of bytes that it writes.
    fn bytes(&self) -> usize {
        0
    }
}

/// The size class of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeClass {
    /// At most [`SMALL`] rows.
    Small,
    /// More rows.
    Large,
}

impl SizeClass {
    /// The class of a job that writes `rows` rows.
    #[must_use]
    pub fn of(rows: usize) -> Self {
        if rows <= SMALL { Self::Small } else { Self::Large }
    }
}

/// The inbox takes no more jobs.
#[derive(Debug, thiserror::Error)]
#[error("the writer is closed")]
pub struct InboxClosed;

/// Hands jobs to the writer's task.
pub struct InboxSender<J> {
    small: mpsc::Sender<J>,
    large: mpsc::Sender<J>,
}

impl<J: Job> InboxSender<J> {
    /// Hands over a job; waits while the inbox is full.
    pub async fn send(&self, job: J) -> Result<(), InboxClosed> {
        let jobs = match SizeClass::of(job.rows()) {
            SizeClass::Small => &self.small,
            SizeClass::Large => &self.large,
        };
        jobs.send(job).await.map_err(|_| InboxClosed)
    }
}

impl<J> std::fmt::Debug for InboxSender<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InboxSender").finish_non_exhaustive()
    }
}

/// The jobs that wait, and the jobs that the current transaction has taken.
#[derive(Debug)]
pub struct Inbox<J> {
    small: mpsc::Receiver<J>,
    large: mpsc::Receiver<J>,
    taken: Contents,
    rows: usize,
    bytes: usize,
}

/// The classes of the jobs in the current transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contents {
    Small,
    Large,
    LargeThenSmall,
}

/// An inbox and its sender.
#[must_use]
pub fn inbox<J: Job>() -> (InboxSender<J>, Inbox<J>) {
    let (small, few) = mpsc::channel(CAPACITY);
    let (large, many) = mpsc::channel(CAPACITY);
    let inbox = Inbox {
        small: few,
        large: many,
        taken: Contents::LargeThenSmall,
        rows: 0,
        bytes: 0,
    };
    (InboxSender { small, large }, inbox)
}

impl<J: Job> Inbox<J> {
    /// Waits for the first job of a new transaction. `None` once the inbox is closed, or all senders are gone, and no
    /// job is left. Cancel-safe.
    pub async fn first(&mut self) -> Option<J> {
        let overdue = match self.taken {
            Contents::Small => self.large.try_recv().ok(),
            Contents::Large | Contents::LargeThenSmall => None,
        };
        let (job, taken) = if let Some(job) = overdue {
            (job, Contents::Large)
        } else {
            tokio::select! {
                biased;
                Some(job) = self.small.recv() => (job, Contents::Small),
                Some(job) = self.large.recv() => (job, Contents::Large),
                else => return None,
            }
        };
        (self.rows, self.bytes) = (0, 0);
        Some(self.take(job, taken))
    }

    /// The next job of the current transaction. `None` if it is full, or no job waits that it takes.
    pub fn more(&mut self) -> Option<J> {
        if self.is_full() {
            return None;
        }
        match (self.taken, self.small.try_recv()) {
            (Contents::Small, Ok(job)) => Some(self.take(job, Contents::Small)),
            (Contents::Large | Contents::LargeThenSmall, Ok(job)) => {
                Some(self.take(job, Contents::LargeThenSmall))
            }
            (Contents::Large, Err(_)) => {
                let job = self.large.try_recv().ok()?;
                Some(self.take(job, Contents::Large))
            }
            (Contents::Small | Contents::LargeThenSmall, Err(_)) => None,
        }
    }

    /// Whether [`Self::more`] has a job.
    #[must_use]
    pub fn has_more(&self) -> bool {
        let waits = !self.small.is_empty() || (self.taken == Contents::Large && !self.large.is_empty());
        waits && !self.is_full()
    }

    /// Refuses new jobs. Those that wait are still taken.
    pub fn close(&mut self) {
        self.small.close();
        self.large.close();
    }

    fn is_full(&self) -> bool {
        self.rows >= MAX_ROWS || self.bytes >= MAX_BYTES
    }

    fn take(&mut self, job: J, taken: Contents) -> J {
        self.taken = taken;
        self.rows += job.rows();
        self.bytes += job.bytes();
        job
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Job for usize {
        fn rows(&self) -> usize {
            *self
        }
    }

    async fn sent(jobs: &[usize]) -> (InboxSender<usize>, Inbox<usize>) {
        let (sender, inbox) = inbox();
        for job in jobs {
            sender.send(*job).await.unwrap();
        }
        (sender, inbox)
    }

    /// The jobs of the next transaction.
    async fn next(inbox: &mut Inbox<usize>) -> Vec<usize> {
        let mut jobs: Vec<usize> = inbox.first().await.into_iter().collect();
        while inbox.has_more() {
            jobs.extend(inbox.more());
        }
        assert_eq!(inbox.more(), None);
        jobs
    }

    #[tokio::test]
    async fn small_jobs_come_first_and_then_it_is_the_turn_of_a_large_one() {
        let (sender, mut inbox) = sent(&[100, 101, 1, 2]).await;
        assert_eq!(next(&mut inbox).await, [1, 2]);
        sender.send(3).await.unwrap();
        assert_eq!(
            next(&mut inbox).await,
            [100, 3],
            "a small job joins behind the first large one"
        );
        sender.send(4).await.unwrap();
        assert_eq!(next(&mut inbox).await, [4]);
        sender.send(5).await.unwrap();
        assert_eq!(next(&mut inbox).await, [101, 5]);
    }

    #[tokio::test]
    async fn large_jobs_share_a_transaction_where_no_small_one_waits() {
        let (_sender, mut inbox) = sent(&[100, 200, 300, 400]).await;
        assert_eq!(next(&mut inbox).await, [100, 200, 300], "full from 512 rows on");
        assert_eq!(next(&mut inbox).await, [400]);
    }

    #[tokio::test]
    async fn without_end_of_small_jobs_every_second_transaction_has_a_large_one() {
        let (sender, mut inbox) = sent(&[100; 10]).await;
        let mut large = 0;
        for _ in 0..20 {
            for _ in 0..50 {
                sender.send(32).await.unwrap();
            }
            let jobs = next(&mut inbox).await;
            assert!(jobs.iter().filter(|job| **job == 32).count() >= 13, "{jobs:?}");
            large += jobs.iter().filter(|job| **job == 100).count();
        }
        assert!((9..=10).contains(&large), "{large}");
    }

    #[tokio::test]
    async fn a_closed_inbox_gives_out_the_jobs_that_wait_and_refuses_others() {
        let (sender, mut inbox) = sent(&[100, 1]).await;
        inbox.close();
        assert!(sender.send(2).await.is_err());
        assert_eq!(next(&mut inbox).await, [1]);
        assert_eq!(next(&mut inbox).await, [100]);
        assert!(inbox.first().await.is_none());
    }
}
