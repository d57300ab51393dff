//! Leases: the right to work on something alone, for a limited time.

use carillon_domain::Timestamp;
use uuid::Uuid;

/// The right of an owner to work on something alone. Work whose lease has passed without a result may have been done in
/// part, and another owner may take it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The process, request or claim that holds it.
    pub owner: Uuid,
    /// Its end. By then the owner has certainly ended its work, with or without success.
    pub until: Timestamp,
}
