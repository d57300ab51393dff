//! Passes over records whose batch cannot be read: an unknown compression, corrupt compressed bytes, a wrong checksum.
//!
//! librdkafka reports such a batch and fetches it again every `fetch.error.backoff.ms`, for ever; it moves on
//! only when its position is moved. (After a wrong checksum it does move on if it has already fetched a good
//! batch behind the bad one, and so loses records silently.) The report has an error code but no partition
//! and no offset. A second client finds them by reading one partition from one offset. It tries offsets in
//! order until one can be read, because the number of records in an unreadable batch is unknown. Each offset
//! before that one is handed out as an [`Unreadable`] [`Record`] and becomes a dead letter, as other poison
//! records do.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    CALL_TIMEOUT,
    callbacks::{Callbacks, SEEK_TIMEOUT},
    classify, client,
    exchange::{PollerConfig, native},
    logs::Plain,
};
use crate::{
    error::BusError,
    record::{Partition, Position, Record, Unreadable},
};

/// The longest wait for one offset. If the broker does not answer in this time, the state of the offset is unknown,
/// not unreadable.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest time of one search, because the member's thread waits for it. The next search finds the remaining
/// records.
const BUDGET: Duration = Duration::from_secs(4);

/// Why a batch is unreadable; `None` if the client's error does not concern a batch. Such errors belong to the broker
/// or the connection; they pass, or need an operator.
pub(super) fn of(error: &KafkaError) -> Option<Unreadable> {
    match error.rdkafka_error_code()? {
        RDKafkaErrorCode::NotImplemented | RDKafkaErrorCode::UnsupportedCompressionType => {
            Some(Unreadable::Codec)
        }
        RDKafkaErrorCode::BadCompression => Some(Unreadable::Compression),
        RDKafkaErrorCode::BadMessage => Some(Unreadable::Checksum),
        _ => None,
    }
}

/// The result of reading from one offset.
enum Look {
    /// A record, or the end of the partition.
    Readable,
    Unreadable(Unreadable),
    /// The broker did not answer.
    Unknown,
}

/// Offsets of one partition that cannot be read.
struct Gap {
    from: i64,
    /// The offset behind the gap, which can be read or was not tried.
    end: i64,
    why: Unreadable,
}

/// A client that reads single offsets. It joins no group.
struct Examiner {
    consumer: BaseConsumer<Plain>,
    deadline: Instant,
}

impl Examiner {
    /// Makes a client for one search, beside the member's own.
    fn new(base: &ClientConfig, group: &str) -> Result<Self, BusError> {
        let consumer = client::examiner(base, group)
            .create_with_context(Plain)
            .map_err(classify)?;
        let deadline = Instant::now() + BUDGET;
        Ok(Self { consumer, deadline })
    }

    /// The offset at which the group begins to read a partition: the committed offset, or the partition's start.
    fn start(&self, partition: &Partition) -> Option<i64> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&partition.topic, partition.index);
        let committed = self.consumer.committed_offsets(list, CALL_TIMEOUT).ok()?;
        if let Offset::Offset(offset) = committed
            .find_partition(&partition.topic, partition.index)?
            .offset()
        {
            Some(offset)
        } else {
            let marks = self
                .consumer
                .fetch_watermarks(&partition.topic, partition.index, CALL_TIMEOUT);
            marks.ok().map(|(low, _)| low)
        }
    }

    /// The unreadable offsets from `from` on; `None` if `from` can be read or its state is unknown.
    fn gap(&self, partition: &Partition, from: i64) -> Option<Gap> {
        let mut gap: Option<Gap> = None;
        for offset in from.. {
            match self.look(partition, offset) {
                Look::Unreadable(why) => {
                    let gap = gap.get_or_insert(Gap {
                        from,
                        end: offset,
                        why,
                    });
                    gap.end = offset + 1;
                }
                Look::Readable | Look::Unknown => break,
            }
            if Instant::now() >= self.deadline {
                break;
            }
        }
        gap
    }

    fn look(&self, partition: &Partition, offset: i64) -> Look {
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(&partition.topic, partition.index, Offset::Offset(offset));
        if added.is_err() || self.consumer.assign(&list).is_err() {
            return Look::Unknown;
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => return Look::Readable,
                Some(Err(error)) => {
                    if let Some(why) = of(&error) {
                        return Look::Unreadable(why);
                    }
                }
                None => {}
            }
        }
        Look::Unknown
    }
}

impl Callbacks {
    /// Finds the records that the client cannot read, hands out their places and moves the client's position
    /// behind them. Returns whether it found any.
    pub(super) fn pass_over(&self, consumer: &BaseConsumer<Self>, config: &PollerConfig) -> bool {
        let Ok(examiner) = Examiner::new(&config.base, &config.group) else {
            return false;
        };
        let mut has_passed = false;
        for partition in self.shared.fetched() {
            let gap = self
                .position(consumer, &examiner, &partition)
                .and_then(|from| examiner.gap(&partition, from));
            let Some(Gap { from, end, why }) = gap else {
                continue;
            };
            if let Err(error) = seek(consumer, &partition, end) {
                tracing::warn!(?partition, end, %error, "records that cannot be read were not skipped yet");
                continue;
            }
            has_passed = true;
            self.shared.sought.lock().insert(partition.clone(), end);
            tracing::error!(group = config.group, topic = %partition.topic, partition = partition.index,
                from, end, code = why.code(), "records cannot be read; they become dead letters");
            metrics::counter!("carillon_bus_unreadable_total", "topic" => partition.topic.to_string(), "code" => why.code())
                .increment(end.abs_diff(from));
            let topic = config.topic(&partition.topic);
            for offset in from..end {
                let position = Position {
                    topic: Arc::clone(&topic),
                    partition: partition.index,
                    offset,
                };
                let is_full = self.shared.piece.lock().push(Record::unreadable(position, why));
                if is_full {
                    self.flush();
                }
            }
            self.flush();
        }
        has_passed
    }

    /// The offset from which the client reads a partition next.
    fn position(
        &self,
        consumer: &BaseConsumer<Self>,
        examiner: &Examiner,
        partition: &Partition,
    ) -> Option<i64> {
        let list = consumer.position().ok()?;
        if let Some(element) = list.find_partition(&partition.topic, partition.index)
            && let Offset::Offset(offset) = element.offset()
        {
            return Some(offset);
        }
        let sought = self.shared.sought.lock().get(partition).copied();
        sought.or_else(|| examiner.start(partition))
    }
}

fn seek(consumer: &BaseConsumer<Callbacks>, partition: &Partition, offset: i64) -> Result<(), KafkaError> {
    let list = consumer.seek_partitions(native([(partition.clone(), Some(offset))]), SEEK_TIMEOUT)?;
    list.find_partition(&partition.topic, partition.index)
        .map_or(Ok(()), |element| element.error())
}
