//! The thread that polls a consumer. Where too many bytes wait for the member, the thread waits for room. If the
//! member takes little, the thread pauses its partitions instead, so that it keeps polling and hears of rebalances. A
//! revocation waits in the callback until the member has committed the records that it finished.
//!
//! A pause is the last resort because it is expensive: the client discards the records that it has fetched, and its
//! fetching thread, which a resume does not wake, may sleep for another second.
//!
//! Each call that moves a partition's position (seek, pause, resume) is made on this thread, between two polls. Thus
//! the records already polled and those that the client will fetch next fit together, and the member receives both in
//! one order.

use std::{
    sync::{atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use bytes::Bytes;
use carillon_domain::Timestamp;
use rdkafka::{
    Message as _,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::{BorrowedMessage, Headers as _},
};

use super::{
    callbacks::Callbacks,
    exchange::{PollerConfig, PollerEvent, Seek, Shared, native},
    pressure::{HIGH_WATER, Pressure},
    unreadable,
};
use crate::{
    headers::Headers,
    record::{Partition, Record},
};

/// The longest wait for a record.
const LONG_POLL: Duration = Duration::from_millis(50);
/// The interval at which a full member is checked for room.
const LOOK: Duration = Duration::from_millis(5);

/// The thread's loop.
pub(super) fn run(
    consumer: &BaseConsumer<Callbacks>,
    callbacks: &Callbacks,
    seeks: &mpsc::Receiver<Seek>,
    config: &PollerConfig,
) {
    let shared = &callbacks.shared;
    let mut wait = LONG_POLL;
    let mut pressure = Pressure::default();
    let mut lost = false;
    while !shared.closing.load(Ordering::Acquire) {
        while let Ok(seek) = seeks.try_recv() {
            callbacks.seek(consumer, &seek);
        }
        if shared.is_full() {
            if pressure.is_too_slow(Instant::now()) {
                shared.rest();
            } else if let Ok(seek) = seeks.recv_timeout(LOOK) {
                callbacks.seek(consumer, &seek);
            }
        } else {
            match consumer.poll(wait) {
                Some(Ok(message)) => {
                    let record = to_record(&message, config);
                    pressure.polled(record.size());
                    let is_full = shared.piece.lock().push(record);
                    if is_full {
                        callbacks.flush();
                    }
                    wait = Duration::ZERO;
                }
                Some(Err(error)) => {
                    callbacks.flush();
                    let is_passed = unreadable::of(&error).is_some() && callbacks.pass_over(consumer, config);
                    if !is_passed && callbacks.events.send(PollerEvent::Failed(error)).is_err() {
                        break;
                    }
                    wait = LONG_POLL;
                }
                None => {
                    callbacks.flush();
                    pressure.eased();
                    wait = LONG_POLL;
                }
            }
        }
        regulate(consumer, shared);
        if let Some(loss) = shared.loss()
            && !std::mem::replace(&mut lost, true)
        {
            // Fails only if the member is gone; the thread then ends soon.
            let _ = callbacks.events.send(PollerEvent::Lost(loss));
        }
    }
    consumer.unsubscribe();
}

/// Pauses and resumes partitions: all are paused while the whole member rests, otherwise those that it holds.
fn regulate(consumer: &BaseConsumer<Callbacks>, shared: &Shared) {
    let (pause, resume) = {
        let owned = shared.owned.lock();
        let mut flow = shared.flow.lock();
        if flow.all && shared.waiting.load(Ordering::Acquire) <= HIGH_WATER / 2 {
            flow.all = false;
            flow.changed = true;
        }
        if !std::mem::take(&mut flow.changed) {
            return;
        }
        let all = flow.all;
        let differs = |partition: &&Partition| {
            flow.paused.contains(*partition) != (all || flow.held.contains(*partition))
        };
        owned
            .keys()
            .filter(differs)
            .cloned()
            .partition::<Vec<_>, _>(|partition| !flow.paused.contains(partition))
    };
    let told = |partitions: &[Partition], result: Result<(), KafkaError>, paused: bool| {
        let mut flow = shared.flow.lock();
        match result {
            Ok(()) if paused => flow.paused.extend(partitions.iter().cloned()),
            Ok(()) => flow.paused.retain(|partition| !partitions.contains(partition)),
            Err(error) => {
                flow.changed = true;
                tracing::debug!(%error, "partitions were not paused or resumed; trying again");
            }
        }
    };
    let list =
        |partitions: &[Partition]| native(partitions.iter().map(|partition| (partition.clone(), None)));
    if !pause.is_empty() {
        told(&pause, consumer.pause(&list(&pause)), true);
    }
    if !resume.is_empty() {
        told(&resume, consumer.resume(&list(&resume)), false);
    }
}

/// Copies a message out of the client's buffers.
fn to_record(message: &BorrowedMessage<'_>, config: &PollerConfig) -> Record {
    let mut headers = Headers::default();
    for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
        // A null header has no value; an empty header has an empty one.
        if let Some(value) = header.value {
            headers.push(header.key.to_owned(), Bytes::copy_from_slice(value));
        }
    }
    Record {
        topic: config.topic(message.topic()),
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice).unwrap_or_default(),
        headers,
        timestamp: message
            .timestamp()
            .to_millis()
            .and_then(Timestamp::from_timestamp_millis)
            .unwrap_or_default(),
        unreadable: None,
    }
}
