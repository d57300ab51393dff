//! What both backends offer to the consumers above them: one member of a consumer group.

use async_trait::async_trait;

use crate::{
    error::BusError,
    record::{OutRecord, Partition, Record},
};

/// What a poll brought.
#[derive(Debug)]
pub(crate) enum Polled {
    /// Records, in order within each partition.
    Records(Vec<Record>),
    /// These partitions belong to the member from now on.
    Assigned(Vec<Partition>),
    /// These partitions are to be given up: finish, commit, then call [`Member::release`].
    Revoked(Vec<Partition>),
}

/// A member of a consumer group. Dropping it leaves the group.
#[async_trait]
pub(crate) trait Member: Send + Sync {
    /// Waits for records (at most about `max`) or a change of the assignment. Cancel-safe.
    async fn poll(&mut self, max: usize) -> Result<Polled, BusError>;

    /// Gives partitions up after [`Polled::Revoked`].
    async fn release(&mut self, partitions: &[Partition]);

    /// Commits the next offset to read of each partition.
    async fn commit(&mut self, offsets: &[(Partition, i64)]) -> Result<(), BusError>;

    /// Writes records and commits offsets as one atomic step.
    async fn commit_with(
        &mut self,
        out: Vec<OutRecord>,
        offsets: &[(Partition, i64)],
    ) -> Result<(), BusError>;

    /// Hands out no more of a partition until [`Member::resume`].
    fn pause(&mut self, partition: &Partition) -> Result<(), BusError>;

    /// Goes on with a partition.
    fn resume(&mut self, partition: &Partition) -> Result<(), BusError>;

    /// Reads a partition from an offset on.
    async fn seek(&mut self, partition: &Partition, offset: i64) -> Result<(), BusError>;

    /// Reads each partition from its committed offset on, or from its start.
    async fn rewind(&mut self, partitions: &[Partition]) -> Result<(), BusError>;
}
