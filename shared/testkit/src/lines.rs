//! Log lines, for tests of logging.

use std::{
    io::{self, Write},
    sync::Arc,
};

use parking_lot::Mutex;
use tracing::{Dispatch, subscriber::DefaultGuard};
use tracing_subscriber::fmt::MakeWriter;

/// Records the log lines of this thread until it is dropped.
pub struct LogLines {
    written: LogText,
    _recording: DefaultGuard,
    _second: Dispatch,
}

#[derive(Clone, Default)]
struct LogText(Arc<Mutex<Vec<u8>>>);

impl LogLines {
    /// Begins to record. The test's runtime must have one thread only.
    #[must_use]
    pub fn of_this_thread() -> Self {
        let written = LogText::default();
        let log = tracing_subscriber::fmt()
            .with_writer(written.clone())
            .with_ansi(false)
            .without_time();
        // With only one subscriber in the process, `tracing` would remember the answer of another test's thread.
        let second = Dispatch::new(tracing_subscriber::registry());
        Self {
            written,
            _recording: tracing::subscriber::set_default(log.finish()),
            _second: second,
        }
    }

    /// The lines that contain a text.
    #[must_use]
    pub fn with(&self, text: &str) -> Vec<String> {
        let all = String::from_utf8_lossy(&self.written.0.lock()).into_owned();
        let found = all.lines().filter(|line| line.contains(text));
        found.map(str::to_owned).collect()
    }
}

impl Write for LogText {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogText {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
