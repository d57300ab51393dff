//! Where a template writes: a string that stops growing at the channel's limit, so that no loop in a template can fill
//! the memory.

use std::io;

use handlebars::Output;

pub(super) struct Capped {
    pub(super) text: String,
    cap: usize,
    pub(super) overflown: bool,
}

impl Capped {
    /// Takes at most `cap` bytes; `hint` is how many the template wrote last time.
    pub(super) fn new(cap: usize, hint: usize) -> Self {
        Self {
            text: String::with_capacity(hint.min(cap)),
            cap,
            overflown: false,
        }
    }
}

impl Output for Capped {
    fn write(&mut self, segment: &str) -> Result<(), io::Error> {
        if self.text.len() + segment.len() > self.cap {
            self.overflown = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.text.push_str(segment);
        Ok(())
    }
}
