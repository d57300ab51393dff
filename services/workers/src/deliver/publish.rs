//! Publishing the output of records. A record that is larger than its topic takes would be refused for ever, together
//! with all records published with it. It is replaced by a dead letter that names the reason.

use bytes::Bytes;
use carillon_bus::{BusError, OutRecord, headers};

use super::{Deliver, Patience};

/// A record to be published.
pub(super) struct Outgoing {
    record: OutRecord,
    if_too_large: IfTooLarge,
}

enum IfTooLarge {
    Publish(Vec<Outgoing>),
    /// The dead letter is published without its value, which is in the source topic.
    Empty,
    GiveUp,
}

impl Outgoing {
    /// A status. It is small, so it has no replacement.
    pub(super) fn status(record: OutRecord) -> Self {
        Self {
            record,
            if_too_large: IfTooLarge::GiveUp,
        }
    }

    pub(super) fn dead_letter(record: OutRecord) -> Self {
        Self {
            record,
            if_too_large: IfTooLarge::Empty,
        }
    }

    /// A record, and the records that replace it if its topic does not take it.
    pub(super) fn or(record: OutRecord, instead: Vec<Self>) -> Self {
        Self {
            record,
            if_too_large: IfTooLarge::Publish(instead),
        }
    }

    fn in_its_place(self) -> Vec<Self> {
        let Self {
            mut record,
            if_too_large,
        } = self;
        tracing::error!(topic = %record.topic, size = record.size(), "a record is too large for its topic");
        metrics::counter!("carillon_too_large_total", "topic" => record.topic.to_string()).increment(1);
        match if_too_large {
            IfTooLarge::Publish(instead) => instead,
            IfTooLarge::Empty => {
                if record.headers.get(headers::TRUNCATED).is_none() {
                    record
                        .headers
                        .insert(headers::TRUNCATED, record.value.len().to_string());
                }
                record.value = Bytes::new();
                vec![Self::status(record)]
            }
            IfTooLarge::GiveUp => Vec::new(),
        }
    }
}

impl Deliver {
    /// Publishes records; each one that its topic does not take is replaced.
    pub(super) async fn publish(&self, out: Vec<Outgoing>) {
        publish_through(&self.patience, out, |records| self.bus.publish(records)).await;
    }
}

async fn publish_through<T, F: Future<Output = Result<T, BusError>>>(
    patience: &Patience,
    mut out: Vec<Outgoing>,
    mut call: impl FnMut(Vec<OutRecord>) -> F,
) {
    while !out.is_empty() {
        let records = || out.iter().map(|outgoing| outgoing.record.clone()).collect();
        let refused = patience.until_done("publish", || call(records())).await;
        // The bus refuses records for their size only.
        let Err(BusError::TooLarge { topic, size }) = refused else {
            return;
        };
        let is_refused =
            |outgoing: &Outgoing| *outgoing.record.topic == *topic && outgoing.record.size() == size;
        let at = out.iter().position(is_refused).unwrap_or(0);
        let in_its_place = out.remove(at).in_its_place();
        out.splice(at..at, in_its_place);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::ready, sync::Arc};

    use parking_lot::Mutex;

    use super::*;

    fn out(topic: &str, size: usize) -> OutRecord {
        OutRecord::new(Arc::from(topic), "k", vec![b'x'; size])
    }

    /// The records that a bus accepts if it takes at most this many bytes a record.
    async fn taken(outgoing: Vec<Outgoing>, most: usize) -> Vec<(String, usize)> {
        let published = Mutex::new(Vec::new());
        let bus = |records: Vec<OutRecord>| {
            if let Some(large) = records.iter().find(|record| record.value.len() > most) {
                let (topic, size) = (large.topic.to_string(), large.size());
                return ready(Err(BusError::TooLarge { topic, size }));
            }
            let sizes = records
                .iter()
                .map(|record| (record.topic.to_string(), record.value.len()));
            published.lock().extend(sizes);
            ready(Ok(()))
        };
        publish_through(&Patience::for_tests(), outgoing, bus).await;
        published.into_inner()
    }

    #[tokio::test]
    async fn a_record_that_is_too_large_for_its_topic_is_replaced_and_the_others_are_published() {
        let waiting = |size| {
            let dead = Outgoing::dead_letter(out("dead", size));
            Outgoing::or(out("retry", size), vec![dead, Outgoing::status(out("status", 2))])
        };
        let all = vec![
            Outgoing::status(out("status", 1)),
            waiting(9),
            waiting(5),
            Outgoing::status(out("status", 20)),
        ];
        let expected = [("status", 1), ("dead", 0), ("status", 2), ("retry", 5)];
        assert_eq!(
            taken(all, 8).await,
            expected.map(|(topic, size)| (topic.to_owned(), size))
        );
    }
}
