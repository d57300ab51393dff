//! The coordinates of a record on the bus.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The coordinates of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// Topic, with its prefix.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}
