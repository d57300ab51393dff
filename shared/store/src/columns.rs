//! Conversion of values from and to SQL columns.

use std::str::FromStr;

use crate::error::StoreError;

/// Parses a name that this code has written.
pub(crate) fn parse<T: FromStr>(text: &str, what: &'static str) -> Result<T, StoreError> {
    text.parse().map_err(|_| {
        tracing::error!(what, "the database holds a name that this release does not know");
        StoreError::Corrupt { what }
    })
}

/// A number for a signed SQL column. Generations, attempts and parts are small; a greater number is stored as the
/// greatest.
pub(crate) fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A count or version from a column that is never negative.
pub(crate) fn unsigned(number: i64) -> u64 {
    number.max(0).cast_unsigned()
}

/// A version number.
pub(crate) fn version(number: i64) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|_| StoreError::Corrupt { what: "a version" })
}
