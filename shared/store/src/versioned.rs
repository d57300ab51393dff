//! Versions of documents that people edit: read with an `ETag`, written under the conditions of a request.

use carillon_runtime::http::Conditions;
use rand::RngExt as _;

use crate::{error::StoreError, fault::Fault};

/// The number of changes of a document that its versions can count. A version is `n * CHANGES + change`; `n` is a random
/// number that the document gets when it is created ([`drawn`]), or 0.
pub(crate) const CHANGES: i64 = 1 << 20;

/// The version before the first one of a new document. It is one of some 8,800,000,000,000 numbers, chosen at random. A
/// document that is created again after a deletion therefore has none of the versions of its predecessor, whose `ETag`s
/// match nothing.
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

/// The version that a conditional write has made. It has made none if a concurrent request has written since the
/// conditions were checked. The error then makes the unit of work run again, which checks them again.
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
