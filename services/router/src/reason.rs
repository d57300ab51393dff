//! The reason for which a record is not a valid event, in a sentence that fits into a header.

use std::fmt::Write as _;

use carillon_domain::{FieldError, field_error};

/// The most errors that are named.
const MAX_ERRORS: usize = 20;
/// The most bytes of the named errors. The error of a schema repeats the value that it concerns, and each value may
/// cause one.
const MAX_BYTES: usize = 2_048;

/// The first errors, and the number of the others.
pub(crate) fn of(errors: &[FieldError]) -> String {
    let named = &errors[..errors.len().min(MAX_ERRORS)];
    let mut reason = field_error::join(named);
    if reason.len() > MAX_BYTES {
        reason.truncate(reason.floor_char_boundary(MAX_BYTES));
        reason.push('…');
    }
    let more = errors.len() - named.len();
    if more > 0 {
        // Writing to a string does not fail.
        let _ = write!(reason, "; and {more} more");
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_errors_are_listed_in_full_and_many_or_long_ones_are_cut() {
        let errors = |count: usize, message: &str| -> Vec<_> {
            let error = |n| FieldError::new(format!("/{n}"), "schema", message);
            (0..count).map(error).collect()
        };
        assert_eq!(of(&errors(2, "odd")), "/0: odd; /1: odd");
        assert!(of(&errors(30, "odd")).ends_with("/19: odd; and 10 more"));
        let long = of(&errors(1, &"é".repeat(5_000)));
        assert!(long.len() <= MAX_BYTES + "…".len() && long.ends_with("é…"));
    }
}
