//! The records of a batch in parts: a very large fan-out is not held in memory whole.

use async_trait::async_trait;
use carillon_bus::{BatchConsumer, BusError, OutRecord};

/// A transaction takes no more than about this many bytes.
const MAX_PART: usize = 16 << 20;

/// Takes records in parts of at most about [`MAX_PART`] bytes, each as soon as it is full.
#[async_trait]
pub trait Outlet: Send {
    /// Takes a part that is full. What comes of the batch's last part is for the caller of [`crate::Route::route`].
    async fn put(&mut self, part: Vec<OutRecord>) -> Result<(), BusError>;
}

/// Keeps all parts.
#[async_trait]
impl Outlet for Vec<Vec<OutRecord>> {
    async fn put(&mut self, part: Vec<OutRecord>) -> Result<(), BusError> {
        self.push(part);
        Ok(())
    }
}

/// Each part is a transaction of its own.
#[async_trait]
impl Outlet for BatchConsumer {
    async fn put(&mut self, part: Vec<OutRecord>) -> Result<(), BusError> {
        self.produce_part(part).await
    }
}

/// The part that is being filled.
pub(crate) struct Parts<'o> {
    outlet: &'o mut dyn Outlet,
    current: Vec<OutRecord>,
    bytes: usize,
}

impl<'o> Parts<'o> {
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

    /// The last part, to be committed with the offsets.
    pub(crate) fn last(self) -> Vec<OutRecord> {
        self.current
    }
}
