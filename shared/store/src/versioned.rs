//! Versions of documents that people edit: read with an `ETag`, written under the conditions of a request.

use carillon_runtime::http::Conditions;

use crate::{error::StoreError, fault::Fault};

/// A value and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// Grows by 1 with each change, from 1.
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
