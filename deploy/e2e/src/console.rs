//! What the run says, with the time since it began.

use std::time::Duration;

use carillon_domain::{Clock as _, SystemClock, Timestamp};
use tokio::time::Instant;

/// The run's clock and voice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    began: Instant,
    /// The same by the clock that the read model's times are of.
    began_at: Timestamp,
}

impl Console {
    pub(crate) fn begin() -> Self {
        Self {
            began: Instant::now(),
            began_at: SystemClock.now(),
        }
    }

    /// The moment that lies so far behind the beginning.
    pub(crate) fn at(self, offset: Duration) -> Instant {
        self.began + offset
    }

    /// A moment by the clock on the wall.
    pub(crate) fn on_the_wall(self, at: Instant) -> Timestamp {
        let since = at.saturating_duration_since(self.began);
        self.began_at + since
    }

    /// One line.
    pub(crate) fn say(self, text: impl std::fmt::Display) {
        self.say_at(Instant::now(), text);
    }

    /// One line about something that happened then.
    pub(crate) fn say_at(self, at: Instant, text: impl std::fmt::Display) {
        println!("[{:>7.2} s] {text}", (at - self.began).as_secs_f64());
    }
}
