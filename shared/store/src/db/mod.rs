//! The database handle.

/// A database.
#[derive(Debug, Clone)]
pub(crate) struct Db {}
