//! Records as they are read from the bus and as they are written to it.

use std::sync::Arc;

use bytes::Bytes;
use carillon_domain::Timestamp;

use crate::headers::Headers;

/// A record that was read.
#[derive(Debug, Clone)]
pub struct Record {
    /// Topic, with its prefix.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Offset. Offsets grow within a partition, with gaps.
    pub offset: i64,
    /// Key. Records of one key lie in one partition, in order.
    pub key: Option<Bytes>,
    /// The payload.
    pub value: Bytes,
    /// Headers, in order.
    pub headers: Headers,
    /// The time at which it was written; the epoch's start if unknown.
    pub timestamp: Timestamp,
    /// Set if the record exists on the bus but its bytes cannot be read; key, value and headers are then
    /// empty.
    pub unreadable: Option<Unreadable>,
}

/// Why a record cannot be read. The records of a batch share one compression and one checksum, so the reason
/// holds for each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unreadable {
    /// Its batch has a compression or a format that the client does not know.
    Codec,
    /// Its batch cannot be decompressed.
    Compression,
    /// Its batch does not match its checksum.
    Checksum,
}

impl Unreadable {
    /// The error code of the dead letter.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Codec => "unknown-compression",
            Self::Compression => "corrupt-compression",
            Self::Checksum => "corrupt-batch",
        }
    }

    /// The reason as a sentence.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Codec => {
                "the record's batch has a compression or format that the Kafka client does not know"
            }
            Self::Compression => "the record's batch cannot be decompressed",
            Self::Checksum => "the record's batch does not match its checksum",
        }
    }
}

/// A record to be written.
#[derive(Debug, Clone)]
pub struct OutRecord {
    /// Topic, with its prefix.
    pub topic: Arc<str>,
    /// Key, which determines the partition; `None`: any partition.
    pub key: Option<Bytes>,
    /// The payload.
    pub value: Bytes,
    /// Headers, in order.
    pub headers: Headers,
}

impl OutRecord {
    /// A record without headers.
    #[must_use]
    pub fn new(topic: Arc<str>, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self {
            topic,
            key: Some(key.into()),
            value: value.into(),
            headers: Headers::default(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Bytes>) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Its approximate size on the bus, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.value.len() + self.key.as_ref().map_or(0, Bytes::len) + self.headers.size() + 32
    }
}

impl Record {
    /// An unreadable record, of which only the position is known.
    #[must_use]
    pub fn unreadable(position: Position, why: Unreadable) -> Self {
        Self {
            topic: position.topic,
            partition: position.partition,
            offset: position.offset,
            key: None,
            value: Bytes::new(),
            headers: Headers::default(),
            timestamp: Timestamp::UNIX_EPOCH,
            unreadable: Some(why),
        }
    }

    /// Its position.
    #[must_use]
    pub fn position(&self) -> Position {
        Position {
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            offset: self.offset,
        }
    }

    /// Its approximate size in memory, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.value.len() + self.key.as_ref().map_or(0, Bytes::len) + self.headers.size() + 64
    }
}

/// The position of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Topic, with its prefix.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

impl Position {
    /// The partition of this position.
    #[must_use]
    pub fn partition(&self) -> Partition {
        Partition {
            topic: Arc::clone(&self.topic),
            index: self.partition,
        }
    }
}

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// Topic, with its prefix.
    pub topic: Arc<str>,
    /// Number, from 0.
    pub index: i32,
}
