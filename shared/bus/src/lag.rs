//! How far a group is behind.

use std::sync::Arc;

/// A group's lag on a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicLag {
    /// Topic, with its prefix.
    pub topic: Arc<str>,
    /// Records that are written and not committed by the group.
    pub records: i64,
}
