//! The state of a connection, and the deadline for the client's next step.

use std::{
    future::poll_fn,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    task::Poll,
};

use futures::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::http::HttpConfig;

/// The reason for which the server closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// A request's head did not end in time.
    Head,
    /// No request came on a connection that was kept open.
    Idle,
    /// The client does not read its answer.
    Stalled,
    /// Its place was needed for another connection.
    Evicted,
}

impl Closed {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Head => "head-timeout",
            Self::Idle => "idle",
            Self::Stalled => "answer-stalled",
            Self::Evicted => "evicted",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A request's head is expected, or has begun.
    Head,
    /// A request is being processed or answered.
    Working,
    /// The last request was answered; the next has not begun.
    Idle,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    /// Whether a request was answered, so that the client is more than an open socket.
    has_served: bool,
    /// The time since which the client has read nothing of an answer.
    blocked: Option<Instant>,
}

/// The progress of one connection, shared by its stream, its service and the accepting loop.
#[derive(Debug)]
pub(super) struct Progress {
    state: Mutex<State>,
    evicted: AtomicBool,
    waker: AtomicWaker,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                phase: Phase::Head,
                since: Instant::now(),
                has_served: false,
                blocked: None,
            }),
            evicted: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    /// Notes that bytes were read. Between two requests they begin the next head.
    pub(super) fn read(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Idle {
            state.phase = Phase::Head;
            state.since = Instant::now();
        }
    }

    /// Notes that a request's head is complete. Returns whether it had arrived before the last request was answered.
    pub(super) fn begin(&self) -> bool {
        let mut state = self.state.lock();
        std::mem::replace(&mut state.phase, Phase::Working) == Phase::Idle
    }

    /// Notes that a request's answer was handed over.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.phase = Phase::Idle;
        state.since = Instant::now();
        state.has_served = true;
    }

    /// Notes a write of an answer. `went` is false if the client does not read and the socket's buffer is full.
    pub(super) fn wrote(&self, went: bool) {
        let mut state = self.state.lock();
        if went {
            state.blocked = None;
        } else if state.blocked.is_none() {
            state.blocked = Some(Instant::now());
        }
    }

    /// The order in which connections are closed to make room, least first: those that never had a request, then the
    /// time since which they wait. `None` if a request is in progress or the connection is about to be closed.
    pub(super) fn waits(&self) -> Option<(bool, Instant)> {
        if self.evicted.load(Ordering::Relaxed) {
            return None;
        }
        let state = self.state.lock();
        (state.phase != Phase::Working).then_some((state.has_served, state.since))
    }

    /// Closes the connection to make room for another one.
    pub(super) fn evict(&self) {
        self.evicted.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn deadline(&self, config: &HttpConfig) -> Option<(Instant, Closed)> {
        let state = self.state.lock();
        let stalled = state
            .blocked
            .map(|since| (since + config.stall_timeout, Closed::Stalled));
        let waiting = match state.phase {
            Phase::Head => Some((state.since + config.header_timeout, Closed::Head)),
            Phase::Idle => Some((state.since + config.idle_timeout, Closed::Idle)),
            Phase::Working => None,
        };
        [stalled, waiting].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Waits until the client exceeds its deadline, or the connection is evicted. The future is polled after the
    /// connection itself, in the same task, so that it sees each change.
    pub(super) async fn late(&self, config: &HttpConfig) -> Closed {
        let mut timer = pin!(sleep_until(Instant::now() + config.header_timeout));
        poll_fn(|context| {
            self.waker.register(context.waker());
            if self.evicted.load(Ordering::Acquire) {
                return Poll::Ready(Closed::Evicted);
            }
            loop {
                let Some((deadline, why)) = self.deadline(config) else {
                    return Poll::Pending;
                };
                // Deadlines mostly move to later times. A timer that fires too early costs less than setting the
                // timer at each request.
                if deadline < timer.deadline() || timer.is_elapsed() {
                    timer.as_mut().reset(deadline);
                }
                if timer.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                if Instant::now() >= deadline {
                    return Poll::Ready(why);
                }
            }
        })
        .await
    }
}
