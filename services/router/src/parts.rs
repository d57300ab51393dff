//! The output of a batch in parts, so that a very large fan-out is never in memory as a whole.

use async_trait::async_trait;
use carillon_bus::{BatchConsumer, BusError, OutRecord};

/// The approximate size of a transaction, in bytes.
const MAX_PART: usize = 16 << 20;

/// Receives the full parts of a batch's output, of at most about [`MAX_PART`] bytes each.
#[async_trait]
pub trait Outlet: Send {
    /// Takes a full part. The last part of a batch is returned by [`crate::Route::route`] instead.
    async fn put(&mut self, part: Vec<OutRecord>) -> Result<(), BusError>;
}

/// Collects all parts.
#[async_trait]
impl Outlet for Vec<Vec<OutRecord>> {
    async fn put(&mut self, part: Vec<OutRecord>) -> Result<(), BusError> {
        self.push(part);
        Ok(())
    }
}

/// Writes each part as a transaction of its own.
#[async_trait]
impl Outlet for BatchConsumer {
    async fn put(&mut self, part: Vec<OutRecord>) -> Result<(), BusError> {
        self.produce_part(part).await
    }
}

/// The part in progress.
pub(crate) struct OutputParts<'o> {
    outlet: &'o mut dyn Outlet,
    current: Vec<OutRecord>,
    bytes: usize,
}

impl<'o> OutputParts<'o> {
    pub(crate) fn new(outlet: &'o mut dyn Outlet) -> Self {
        Self {
            outlet,
            current: Vec::new(),
            bytes: 0,
        }
    }

    pub(crate) async fn push(&mut self, record: OutRecord) -> Result<(), BusError> {
        let size = record.size();
        if self.bytes + size > MAX_PART && !self.current.is_empty() {
            self.bytes = 0;
            self.outlet.put(std::mem::take(&mut self.current)).await?;
        }
        self.bytes += size;
        self.current.push(record);
        Ok(())
    }

    /// The last part, which is committed together with the offsets.
    pub(crate) fn last(self) -> Vec<OutRecord> {
        self.current
    }
}
