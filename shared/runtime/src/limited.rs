//! A limit for repeated log lines: one a minute for each subject, with the number of suppressed lines.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// The time between two lines about one subject.
const EVERY: Duration = Duration::from_mins(1);
/// The number of remembered subjects at which all are forgotten.
const SUBJECTS: usize = 1_000;

/// Decides which lines are written.
#[derive(Debug, Default)]
pub struct Limited(Mutex<HashMap<String, Said>>);

#[derive(Debug)]
struct Said {
    at: Instant,
    left_out: u64,
}

impl Limited {
    /// The number of lines suppressed since the last one, if a line about the subject may be written now;
    /// otherwise `None`.
    pub fn admit(&self, subject: &str) -> Option<u64> {
        let now = Instant::now();
        let mut said = self.0.lock();
        if let Some(before) = said.get_mut(subject) {
            if now - before.at < EVERY {
                before.left_out += 1;
                return None;
            }
            before.at = now;
            return Some(std::mem::take(&mut before.left_out));
        }
        if said.len() >= SUBJECTS {
            said.clear();
        }
        said.insert(subject.to_owned(), Said { at: now, left_out: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_subject_is_logged_once_a_minute_with_the_number_of_suppressed_lines() {
        let limited = Limited::default();
        assert_eq!(limited.admit("a"), Some(0));
        for _ in 0..90 {
            assert_eq!(limited.admit("a"), None);
        }
        assert_eq!(limited.admit("b"), Some(0), "another subject");
        tokio::time::advance(EVERY).await;
        assert_eq!(limited.admit("a"), Some(90));
        assert_eq!(limited.admit("a"), None);
    }
}
