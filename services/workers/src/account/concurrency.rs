//! The number of an account's messages that may be under way at the same time. It adapts: a throttle, or answers that take
//! much longer than usual, lower it by a factor; while it is used up and all is well, it grows by a step (AIMD, as TCP
//! does it).
//!
//! No existing crate fits. Some lower the limit at every failure, instead of once for all messages that were under way
//! together. Others (`tower-resilience-adaptive`) wrap the call, but here a message waits for its place before it is
//! claimed.

use std::time::Duration;

use metrics::Gauge;
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

/// The factor by which a throttle lowers the limit.
const AFTER_THROTTLE: f64 = 0.5;
/// The factor by which slow answers lower the limit.
const AFTER_SLOWNESS: f64 = 0.8;
/// The number of steps from the least limit to the greatest.
const STEPS: usize = 64;
/// The least time over which answers are judged together.
const WINDOW: Duration = Duration::from_millis(100);
/// The least answers that are judged together.
const SAMPLES: u32 = 8;
/// Answers are slow if they take this many times as long as usual, and [`SLOWER_BY`] longer.
const SLOWER: f64 = 2.0;
/// The least time by which slow answers take longer than usual. Beneath it, the worker itself may be the cause.
const SLOWER_BY: Duration = Duration::from_millis(250);
/// The weight with which a window that is slower than usual changes the usual time.
const RISE: f64 = 0.02;
/// The weight of a window that is faster than usual.
const FALL: f64 = 0.5;

/// An adaptive limit.
#[derive(Debug)]
pub(super) struct AdaptiveLimit {
    least: usize,
    most: usize,
    state: Mutex<State>,
    limit: watch::Sender<usize>,
    measure: Gauge,
}

#[derive(Debug)]
struct State {
    /// The time at which the limit was last lowered. Messages that were under way then say nothing new.
    lowered: Instant,
    window: Window,
    /// The usual time of an answer, in seconds; `None` before the first window.
    usual: Option<f64>,
}

/// The answers that are judged together.
#[derive(Debug)]
struct Window {
    begin: Instant,
    answers: u32,
    /// The sum of their times, in seconds.
    took: f64,
    /// Whether the limit was nearly used up.
    is_used_up: bool,
}

impl Window {
    fn new(begin: Instant) -> Self {
        Self {
            begin,
            answers: 0,
            took: 0.0,
            is_used_up: false,
        }
    }
}

impl AdaptiveLimit {
    /// A limit from `least` to `most`, at first `most`.
    pub(super) fn new(least: usize, most: usize, measure: Gauge) -> Self {
        let (least, most) = (least.min(most).max(1), most.max(1));
        let now = Instant::now();
        let limit = Self {
            least,
            most,
            state: Mutex::new(State {
                lowered: now,
                window: Window::new(now),
                usual: None,
            }),
            limit: watch::Sender::new(most),
            measure,
        };
        limit.set(most);
        limit
    }

    /// The present limit and its changes.
    pub(super) fn subscribe(&self) -> watch::Receiver<usize> {
        self.limit.subscribe()
    }

    /// Learns from an answer to a message that was sent at `sent`, while `in_use` messages were under way.
    pub(super) fn learn(&self, sent: Instant, is_throttled: bool, in_use: usize) {
        let (mut state, now) = (self.state.lock(), Instant::now());
        // A message sent before the limit was lowered says nothing about the present limit.
        if sent < state.lowered {
            return;
        }
        if is_throttled {
            return self.lower(&mut state, in_use, AFTER_THROTTLE, now);
        }
        let limit = *self.limit.borrow();
        let window = &mut state.window;
        window.answers += 1;
        window.took += (now - sent).as_secs_f64();
        window.is_used_up |= in_use.saturating_mul(10) >= limit.saturating_mul(9);
        if window.answers < SAMPLES || now - window.begin < WINDOW {
            return;
        }
        let (mean, is_used_up) = (window.took / f64::from(window.answers), window.is_used_up);
        state.window = Window::new(now);
        let usual = *state.usual.get_or_insert(mean);
        state.usual = Some(usual + (mean - usual) * if mean < usual { FALL } else { RISE });
        if mean > usual * SLOWER && mean > usual + SLOWER_BY.as_secs_f64() {
            self.lower(&mut state, in_use, AFTER_SLOWNESS, now);
        } else if is_used_up && limit < self.most {
            let step = ((self.most - self.least) / STEPS).max(1);
            self.set((limit + step).min(self.most));
        }
    }

    /// Lowers the limit to `factor` times the messages that are under way. The limit itself is no measure, because it
    /// may not be used up.
    fn lower(&self, state: &mut State, in_use: usize, factor: f64, now: Instant) {
        (state.lowered, state.window) = (now, Window::new(now));
        let limit = *self.limit.borrow();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a limit is a small whole number"
        )]
        let lowered = (limit.min(in_use) as f64 * factor) as usize;
        self.set(lowered.clamp(self.least, limit));
    }

    fn set(&self, limit: usize) {
        self.limit.send_replace(limit);
        #[expect(clippy::cast_precision_loss, reason = "a limit is a small whole number")]
        self.measure.set(limit as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(least: usize, most: usize) -> AdaptiveLimit {
        AdaptiveLimit::new(least, most, Gauge::noop())
    }

    fn present(limit: &AdaptiveLimit) -> usize {
        *limit.subscribe().borrow()
    }

    /// Sends as many messages as the limit allows, each answered after `took`; repeats this `times` times.
    async fn send(limit: &AdaptiveLimit, times: usize, took: Duration) {
        for _ in 0..times {
            let (sent, in_use) = (Instant::now(), present(limit));
            tokio::time::advance(took).await;
            for _ in 0..in_use.max(SAMPLES as usize) {
                limit.learn(sent, false, in_use);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn throttles_of_messages_that_were_under_way_together_halve_the_limit_once() {
        let limit = limit(4, 128);
        let sent = Instant::now();
        tokio::time::advance(Duration::from_millis(50)).await;
        for _ in 0..100 {
            limit.learn(sent, true, 100);
        }
        assert_eq!(present(&limit), 50, "half of those under way");
        for _ in 0..10 {
            limit.learn(Instant::now(), true, 100);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(present(&limit), 4, "never less than the least");
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_grows_in_steps_up_to_the_greatest_while_it_is_used_up() {
        let limit = limit(4, 132);
        for _ in 0..10 {
            limit.learn(Instant::now(), true, 100);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        send(&limit, 1, Duration::from_millis(100)).await;
        assert_eq!(present(&limit), 6);
        send(&limit, 100, Duration::from_millis(100)).await;
        assert_eq!(present(&limit), 132);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_not_used_up_does_not_grow() {
        let limit = limit(4, 128);
        limit.learn(Instant::now(), true, 100);
        for _ in 0..100 {
            let sent = Instant::now();
            tokio::time::advance(Duration::from_millis(100)).await;
            for _ in 0..10 {
                limit.learn(sent, false, 10);
            }
        }
        assert_eq!(present(&limit), 50);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_take_much_longer_than_usual_lower_the_limit_until_they_are_usual_again() {
        let limit = limit(4, 128);
        send(&limit, 10, Duration::from_millis(100)).await;
        assert_eq!(present(&limit), 128);
        // The first of them are judged together with answers from before.
        send(&limit, 4, Duration::from_secs(2)).await;
        assert_eq!(present(&limit), 64, "by a fifth each time");
        send(&limit, 1, Duration::from_millis(100)).await;
        assert!(present(&limit) > 64, "{}", present(&limit));
        // An account that stays slow is not throttled for ever: slow becomes usual.
        send(&limit, 400, Duration::from_secs(2)).await;
        assert_eq!(present(&limit), 128);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_take_a_little_longer_change_nothing() {
        let limit = limit(4, 128);
        send(&limit, 10, Duration::from_millis(20)).await;
        send(&limit, 10, Duration::from_millis(200)).await;
        assert_eq!(present(&limit), 128);
    }
}
