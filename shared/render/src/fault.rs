//! Faults while a template runs, before the template's name and line are added.

use crate::budget::Exceeded;

/// Why an element of a template wrote nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A variable is missing.
    Missing {
        /// Its spelling in the template.
        variable: String,
        /// Where it was looked for, and its spelling further out: `which is not in …`.
        why: String,
        /// Its pointer, if it is the event that lacks it.
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
    /// It takes more work than a message may cost.
    Exceeded(Exceeded),
    /// It writes more than the channel carries.
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
    /// From 1.
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
