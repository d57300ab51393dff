//! The interface that both backends offer to the consumers above them: one member of a consumer group.

use async_trait::async_trait;

use crate::{
    error::BusError,
    record::{OutRecord, Partition, Record},
};

/// The result of a poll.
#[derive(Debug)]
pub(crate) enum Polled {
    /// Records, in order within each partition.
    Records(Vec<Record>),
    /// Partitions that belong to the member from now on.
    Assigned(Vec<Partition>),
    /// Partitions that the member has to release: finish, commit, then call [`Member::release`].
    Revoked(Vec<Partition>),
}

/// A member of a consumer group. Dropping it leaves the group.
#[async_trait]
pub(crate) trait Member: Send + Sync {
    /// Waits for records (at most about `max`) or a change of the assignment. Cancel-safe.
    async fn poll(&mut self, max: usize) -> Result<Polled, BusError>;

    /// Releases partitions after [`Polled::Revoked`].
    async fn release(&mut self, partitions: &[Partition]);

    /// Commits the next offset to read of each partition.
    async fn commit(&mut self, offsets: &[(Partition, i64)]) -> Result<(), BusError>;

    /// Writes records and commits offsets as one atomic step.
    async fn commit_with(
        &mut self,
        out: Vec<OutRecord>,
        offsets: &[(Partition, i64)],
    ) -> Result<(), BusError>;

    /// Begins such a step once the one before has succeeded. If that one failed, returns its error and begins
    /// nothing. The error of this step is returned by the next call of [`Member::settle`], [`Member::begin`] or
    /// [`Member::poll`].
    async fn begin(&mut self, out: Vec<OutRecord>, offsets: &[(Partition, i64)]) -> Result<(), BusError> {
        self.commit_with(out, offsets).await
    }

    /// Waits for the end of the step that was begun, if there is one.
    async fn settle(&mut self) -> Result<(), BusError> {
        Ok(())
    }

    /// Stops handing out records of a partition until [`Member::resume`].
    fn pause(&mut self, partition: &Partition) -> Result<(), BusError>;

    /// Resumes a partition.
    fn resume(&mut self, partition: &Partition) -> Result<(), BusError>;

    /// Moves a partition to an offset.
    async fn seek(&mut self, partition: &Partition, offset: i64) -> Result<(), BusError>;

    /// Moves each partition to its committed offset, or to its start if it has none.
    async fn rewind(&mut self, partitions: &[Partition]) -> Result<(), BusError>;
}

/// A member with one partition, for tests of the consumers above. It fails on request.
#[cfg(test)]
pub(crate) mod fake {
    use std::{sync::Arc, time::Duration};

    use parking_lot::Mutex;

    use super::{BusError, Member, OutRecord, Partition, Polled, Record, async_trait};

    #[derive(Debug, Default)]
    pub(crate) struct State {
        /// The offset behind the last record.
        pub(crate) end: i64,
        pub(crate) position: i64,
        pub(crate) committed: i64,
        pub(crate) failing_rewinds: usize,
        pub(crate) failing_seeks: usize,
        pub(crate) failing_steps: usize,
        /// Makes a step hang for ever.
        pub(crate) hanging: bool,
        pub(crate) is_assigned: bool,
        pub(crate) is_paused: bool,
    }

    pub(crate) struct Fake(pub(crate) Arc<Mutex<State>>);

    pub(crate) fn partition() -> Partition {
        Partition {
            topic: "t".into(),
            index: 0,
        }
    }

    fn fail(times: &mut usize) -> Result<(), BusError> {
        match times.checked_sub(1) {
            Some(left) => {
                *times = left;
                Err(BusError::Unavailable("told to".to_owned()))
            }
            None => Ok(()),
        }
    }

    #[async_trait]
    impl Member for Fake {
        async fn poll(&mut self, max: usize) -> Result<Polled, BusError> {
            loop {
                {
                    let mut state = self.0.lock();
                    if !std::mem::replace(&mut state.is_assigned, true) {
                        return Ok(Polled::Assigned(vec![partition()]));
                    }
                    let count = state
                        .end
                        .min(state.position + i64::try_from(max).unwrap_or(i64::MAX));
                    if !state.is_paused && state.position < count {
                        let offsets = state.position..count;
                        state.position = count;
                        let record = |offset: i64| Record {
                            topic: partition().topic,
                            partition: 0,
                            offset,
                            key: Some(offset.to_string().into()),
                            value: bytes::Bytes::new(),
                            headers: crate::Headers::default(),
                            timestamp: carillon_domain::Timestamp::UNIX_EPOCH,
                            unreadable: None,
                        };
                        return Ok(Polled::Records(offsets.map(record).collect()));
                    }
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }

        async fn release(&mut self, _: &[Partition]) {}

        async fn commit(&mut self, offsets: &[(Partition, i64)]) -> Result<(), BusError> {
            self.0.lock().committed = offsets[0].1;
            Ok(())
        }

        async fn commit_with(
            &mut self,
            _: Vec<OutRecord>,
            offsets: &[(Partition, i64)],
        ) -> Result<(), BusError> {
            let is_hanging = self.0.lock().hanging;
            if is_hanging {
                std::future::pending::<()>().await;
            }
            fail(&mut self.0.lock().failing_steps)?;
            self.commit(offsets).await
        }

        fn pause(&mut self, _: &Partition) -> Result<(), BusError> {
            self.0.lock().is_paused = true;
            Ok(())
        }

        fn resume(&mut self, _: &Partition) -> Result<(), BusError> {
            self.0.lock().is_paused = false;
            Ok(())
        }

        async fn seek(&mut self, _: &Partition, offset: i64) -> Result<(), BusError> {
            let mut state = self.0.lock();
            fail(&mut state.failing_seeks)?;
            state.position = offset;
            Ok(())
        }

        async fn rewind(&mut self, _: &[Partition]) -> Result<(), BusError> {
            let mut state = self.0.lock();
            fail(&mut state.failing_rewinds)?;
            state.position = state.committed;
            Ok(())
        }
    }
}
