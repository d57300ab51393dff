//! The send rate of an account.

use std::{num::NonZeroU32, time::Duration};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::time::Instant;

/// The time for which messages that a send rate lets through one by one are collected into a batch.
const GATHER: Duration = Duration::from_millis(50);

/// The most messages of an account a second.
pub(super) struct SendRate {
    limiter: DefaultDirectRateLimiter,
    per_second: NonZeroU32,
}

impl SendRate {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self {
            limiter: RateLimiter::direct(Quota::per_second(per_second)),
            per_second,
        }
    }

    /// The number of messages that may go out at once.
    pub(super) fn burst(&self) -> usize {
        self.per_second.get() as usize
    }

    /// Waits until one message may go out.
    pub(super) async fn until_ready(&self) {
        self.limiter.until_ready().await;
    }

    /// Waits until one message may go out, and for up to `wanted` if they may soon; returns their number.
    pub(super) async fn gather(&self, wanted: usize) -> usize {
        self.until_ready().await;
        let soon = Instant::now() + GATHER;
        let mut ready = 1;
        while ready < wanted && tokio::time::timeout_at(soon, self.until_ready()).await.is_ok() {
            ready += 1;
        }
        ready
    }
}
