//! The form of a row of the log. A row holds many records of one partition, as a broker's batch does, because the
//! cost of a row is greater than that of its content.
//!
//! For each record: the lengths of key, value and headers (u32, little-endian; the greatest u32 means no key), then
//! these bytes. The records' offsets are consecutive.

use bytes::{Buf as _, Bytes};

use crate::{headers::Headers, record::Record};

/// The size, in bytes, at which a row is closed. A record in memory keeps its whole row in memory, so rows are short.
pub(super) const ROW: usize = 64 * 1024;
const NO_KEY: u32 = u32::MAX;

/// A record's parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) key: Option<Bytes>,
    pub(super) value: Bytes,
    pub(super) headers: Headers,
}

/// Appends a record to a row.
pub(super) fn push(row: &mut Vec<u8>, record: &Record) {
    let headers = record.headers.encode();
    let key = record.key.as_deref();
    row.reserve(12 + key.map_or(0, <[u8]>::len) + record.value.len() + headers.len());
    for length in [
        key.map_or(NO_KEY, length),
        length(&record.value),
        length(&headers),
    ] {
        row.extend_from_slice(&length.to_le_bytes());
    }
    row.extend_from_slice(key.unwrap_or_default());
    row.extend_from_slice(&record.value);
    row.extend_from_slice(&headers);
}

/// Every record is far smaller than 4 GiB.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(NO_KEY - 1)
}

/// The records of a row in order; a truncated last record is left out.
pub(super) fn frames(mut row: Bytes) -> impl Iterator<Item = Frame> {
    std::iter::from_fn(move || {
        if row.len() < 12 {
            return None;
        }
        let lengths = [row.get_u32_le(), row.get_u32_le(), row.get_u32_le()];
        let [key, value, headers] = lengths.map(|length| length as usize);
        let key_bytes = if lengths[0] == NO_KEY { 0 } else { key };
        if row.len() < key_bytes + value + headers {
            return None;
        }
        let key = row.split_to(key_bytes);
        let value = row.split_to(value);
        let headers = Headers::decode(&row.split_to(headers));
        Some(Frame {
            key: (lengths[0] != NO_KEY).then_some(key),
            value,
            headers,
        })
    })
}

#[cfg(test)]
mod tests {
    use carillon_domain::Timestamp;
    use proptest::prelude::*;

    use super::*;

    type Parts = (Option<Vec<u8>>, Vec<u8>, Vec<(String, Vec<u8>)>);

    fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(any::<u8>(), 0..40)
    }

    fn any_parts() -> impl Strategy<Value = Parts> {
        let headers = proptest::collection::vec(("[a-z-]{0,12}", any_bytes()), 0..4);
        (proptest::option::of(any_bytes()), any_bytes(), headers)
    }

    fn record((key, value, headers): Parts) -> Record {
        let mut all = Headers::default();
        for (name, value) in headers {
            all.push(name, value);
        }
        Record {
            topic: "t".into(),
            partition: 0,
            offset: 0,
            key: key.map(Bytes::from),
            value: value.into(),
            headers: all,
            timestamp: Timestamp::UNIX_EPOCH,
            unreadable: None,
        }
    }

    proptest! {
        #[test]
        fn records_are_read_back_as_they_were_written_and_nothing_is_made_of_half_a_record(
            parts in proptest::collection::vec(any_parts(), 0..6), cut in 0..12_usize,
        ) {
            let records: Vec<Record> = parts.into_iter().map(record).collect();
            let mut row = Vec::new();
            for record in &records {
                push(&mut row, record);
            }
            let expected: Vec<Frame> = records
                .into_iter()
                .map(|record| Frame { key: record.key, value: record.value, headers: record.headers })
                .collect();
            let whole = Bytes::from(row);
            prop_assert_eq!(frames(whole.clone()).collect::<Vec<_>>(), &expected[..]);
            let cut = whole.slice(..whole.len().saturating_sub(cut + 1));
            let rest: Vec<Frame> = frames(cut).collect();
            prop_assert!(rest.len() < expected.len().max(1));
            prop_assert_eq!(&rest[..], &expected[..rest.len()]);
        }
    }
}
