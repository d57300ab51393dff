//! The newest records of a partition, kept in memory: a consumer that keeps up executes no SQL.

use std::collections::VecDeque;

use crate::record::Record;

/// The most records, and the most bytes, kept of a partition.
const MAX_RECORDS: usize = 1024;
const MAX_BYTES: usize = 256 * 1024;

/// The newest records of a partition, without gaps.
#[derive(Debug)]
pub(super) struct Tail {
    /// The offset of the first record kept; if none is kept, that of the next record.
    first: i64,
    records: VecDeque<Record>,
    bytes: usize,
}

impl Tail {
    pub(super) fn starting_at(next: i64) -> Self {
        Self {
            first: next,
            records: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(super) fn push(&mut self, record: Record) {
        self.bytes += record.size();
        self.records.push_back(record);
        while self.records.len() > MAX_RECORDS || (self.bytes > MAX_BYTES && self.records.len() > 1) {
            let Some(dropped) = self.records.pop_front() else {
                break;
            };
            self.bytes -= dropped.size();
            self.first = dropped.offset + 1;
        }
    }

    /// Up to `max` records from an offset on; `None` if the offset is older than the first record kept.
    pub(super) fn read(&self, from: i64, max: usize) -> Option<Vec<Record>> {
        let skip = usize::try_from(from - self.first).ok()?;
        Some(self.records.iter().skip(skip).take(max).cloned().collect())
    }
}
