//! Faults while a template runs, before the template's name and line are added.

use crate::budget::Exceeded;

/// The reason for which an element of a template wrote no output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A variable is missing.
    Missing {
        /// Its spelling in the template.
        variable: String,
        /// Where it was looked up, and its spelling further out: `which is not in …`.
        why: String,
        /// Its pointer, if it is missing in the event.
        at: Option<String>,
    },
    /// A variable exists, but the helper does not accept its value.
    BadValue {
        variable: String,
        expected: &'static str,
        /// The value's pointer, if it comes from the event.
        at: Option<String>,
    },
    /// The template cannot work with any data.
    Misused(String),
    /// The element takes more work than a message may cost.
    Exceeded(Exceeded),
    /// The output is longer than the channel allows.
    Overflow,
}

impl From<Exceeded> for Fault {
    fn from(exceeded: Exceeded) -> Self {
        Self::Exceeded(exceeded)
    }
}

/// A fault and its place: the innermost element that failed.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) fault: Fault,
    /// The line, from 1.
    pub(crate) line: Option<usize>,
    /// The partial that the line belongs to; `None` is the template's own part.
    pub(crate) partial: Option<String>,
}

impl From<Fault> for Box<Stop> {
    fn from(fault: Fault) -> Self {
        Self::new(Stop {
            fault,
            line: None,
            partial: None,
        })
    }
}

impl From<Exceeded> for Box<Stop> {
    fn from(exceeded: Exceeded) -> Self {
        Fault::from(exceeded).into()
    }
}
