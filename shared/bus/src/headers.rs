//! Record headers and their names.

use std::borrow::Cow;

use bytes::Bytes;

/// The record's tenant; absent: `default`.
pub const TENANT: &str = "carillon-tenant";
/// The attempt that this record asks for, from 1; absent: 1.
pub const ATTEMPT: &str = "carillon-attempt";
/// The delivery's generation; absent: 0.
pub const GENERATION: &str = "carillon-generation";
/// Earliest time of handling, in epoch milliseconds.
pub const DUE: &str = "carillon-due";
/// The replay job that put the record back.
pub const REPLAY: &str = carillon_domain::dead_letter::REPLAY_HEADER;
/// The position and time of the first record of an event that was put back, by which attributes that the event lacks are
/// derived: [`carillon_domain::stored_letter::FirstRecord`], as JSON.
pub const FIRST: &str = "carillon-first";
/// The wait of an event or of deliveries: [`carillon_domain::waiting::Waiting`], as JSON.
pub const WAITS: &str = "carillon-waits";
/// The release after a wait: [`carillon_domain::waiting::Release`], as JSON.
pub const RELEASE: &str = "carillon-release";
/// The position of the first record of an event that waits for its limits, and the time since which it waits.
pub const HELD: &str = "carillon-held";
/// The edge through which an event came: `gateway`; absent: a Kafka producer.
pub const VIA: &str = "carillon-via";
/// The original length, in bytes, of a dead letter's value that was cut.
pub const TRUNCATED: &str = "carillon-truncated";
/// When the first attempt failed, epoch milliseconds.
pub const FIRST_FAILED_AT: &str = "carillon-first-failed-at";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// The value's media type.
pub const CONTENT_TYPE: &str = "content-type";

/// Headers in the order in which they were added. Names may repeat; the last one counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Cow<'static, str>, Bytes)>);

impl Headers {
    /// The last value of the name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0
            .iter()
            .rev()
            .find(|(own, _)| own == name)
            .map(|(_, value)| &**value)
    }

    /// The last value of the name, if it is UTF-8.
    #[must_use]
    pub fn get_str(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// The last value of the name, if it is a decimal number.
    #[must_use]
    pub fn get_u32(&self, name: &str) -> Option<u32> {
        self.get_str(name)?.parse().ok()
    }

    /// The last value of the name, if it is a decimal number.
    #[must_use]
    pub fn get_i64(&self, name: &str) -> Option<i64> {
        self.get_str(name)?.parse().ok()
    }

    /// Sets a header; replaces all of the same name.
    pub fn insert(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Bytes>) {
        let name = name.into();
        self.0.retain(|(own, _)| *own != name);
        self.0.push((name, value.into()));
    }

    /// Appends a header; others of the same name stay.
    pub fn push(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Bytes>) {
        self.0.push((name.into(), value.into()));
    }

    /// Name and value of each, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// The number of headers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no headers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn size(&self) -> usize {
        self.0
            .iter()
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum()
    }

    /// The compact form of the embedded log and of outboxes: for each header, lengths (u32, little-endian) and bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size() + self.0.len() * 8);
        for (name, value) in &self.0 {
            for part in [name.as_bytes(), value] {
                bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
                bytes.extend_from_slice(part);
            }
        }
        bytes
    }

    /// Decodes the form of [`Headers::encode`]; a truncated last header is left out.
    #[must_use]
    pub fn decode(bytes: &Bytes) -> Self {
        let mut at = 0;
        let mut part = || -> Option<Bytes> {
            let length = bytes.get(at..at + 4)?;
            let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
            (at + 4 + length <= bytes.len()).then(|| {
                let part = bytes.slice(at + 4..at + 4 + length);
                at += 4 + length;
                part
            })
        };
        let mut headers = Vec::new();
        while let (Some(name), Some(value)) = (part(), part()) {
            headers.push((known(&name), value));
        }
        Self(headers)
    }
}

/// The header's name; the names of our most frequent headers are not allocated.
fn known(name: &[u8]) -> Cow<'static, str> {
    const KNOWN: [&str; 5] = [TENANT, TRACEPARENT, VIA, ATTEMPT, CONTENT_TYPE];
    match KNOWN.into_iter().find(|known| known.as_bytes() == name) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(String::from_utf8_lossy(name).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_back_as_they_were_written() {
        let mut headers = Headers::default();
        headers.push("a", "1");
        headers.push("b", Bytes::from_static(&[0, 255]));
        headers.push("a", "2");
        let again = Headers::decode(&Bytes::from(headers.encode()));
        assert_eq!(again, headers);
        assert_eq!(again.get_u32("a"), Some(2));
        assert_eq!(again.get("b"), Some(&[0, 255][..]));
        headers.insert("a", "3");
        assert_eq!(headers.len(), 2);
    }
}
