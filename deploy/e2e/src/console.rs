//! The run's output, each line with the time since the run began.

use std::time::Duration;

use carillon_domain::{Clock as _, SystemClock, Timestamp};
use tokio::time::Instant;

/// The run's clock and output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    began: Instant,
    /// The beginning by the wall clock, which the read model's times follow.
    began_at: Timestamp,
}

impl Console {
    pub(crate) fn begin() -> Self {
        Self {
            began: Instant::now(),
            began_at: SystemClock.now(),
        }
    }

    /// The instant this long after the beginning.
    pub(crate) fn at(self, offset: Duration) -> Instant {
        self.began + offset
    }

    /// An instant as a time of the wall clock.
    pub(crate) fn on_the_wall(self, at: Instant) -> Timestamp {
        let since = at.saturating_duration_since(self.began);
        self.began_at + since
    }

    /// Prints a line.
    pub(crate) fn say(self, text: impl std::fmt::Display) {
        self.say_at(Instant::now(), text);
    }

    /// Prints a line about something that happened at this instant.
    pub(crate) fn say_at(self, at: Instant, text: impl std::fmt::Display) {
        println!("[{:>7.2} s] {text}", (at - self.began).as_secs_f64());
    }
}
