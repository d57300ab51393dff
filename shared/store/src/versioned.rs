//! Versions of documents that people edit: read with an `ETag`, written under the conditions of a request.

use carillon_runtime::http::Conditions;
use rand::RngExt as _;

use crate::{error::StoreError, fault::Fault};

/// The changes of a document that its versions count; above them lies the number that a document draws when it is made.
pub(crate) const CHANGES: i64 = 1 << 20;

/// The version before the first one of a new document. It is drawn by lot from some 8,800,000,000,000 numbers, so that
/// a document made again after a deletion has no version that its predecessor had: an `ETag` of the former one
/// matches nothing.
pub(crate) fn drawn() -> i64 {
    rand::rng().random_range(1..i64::MAX / CHANGES) * CHANGES
}

/// The version before the first one of a document with this version.
#[must_use]
pub fn before_first(version: i64) -> i64 {
    version / CHANGES * CHANGES
}

/// Whether a version is the first one of its document.
pub(crate) fn is_first(version: i64) -> bool {
    version % CHANGES == 1
}

/// A value and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// Grows by 1 with each change. Users and their preferences begin at a number of their own, all others at 1.
    pub version: i64,
}

impl<T> Versioned<T> {
    /// The version as a strong entity tag: `"3"`, quotes included.
    #[must_use]
    pub fn etag(&self) -> String {
        etag(self.version)
    }
}

/// A version as a strong entity tag.
#[must_use]
pub fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

/// Refuses a write whose conditions do not hold for the present document: whether it exists, and the version in its
/// `ETag`.
pub(crate) fn require(conditions: &Conditions, exists: bool, version: Option<i64>) -> Result<(), StoreError> {
    let tag = version.map(etag).unwrap_or_default();
    conditions
        .check(exists, &tag)
        .map_err(StoreError::PreconditionFailed)
}

/// The version that a conditional write has made, if it has made one. Otherwise a concurrent request has written since
/// the conditions were looked at: the unit of work is run again, and looks at them again.
pub(crate) fn written(version: Option<(i64,)>) -> Result<i64, StoreError> {
    let (version,) = version.ok_or(StoreError::Unavailable(Fault::Conflict, None))?;
    Ok(version)
}

/// The result of a `PUT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Whether the row is new.
    pub created: bool,
    /// The version that was written.
    pub version: i64,
}

impl Written {
    /// The version as an entity tag.
    #[must_use]
    pub fn etag(&self) -> String {
        etag(self.version)
    }
}
