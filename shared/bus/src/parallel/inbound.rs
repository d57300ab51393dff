//! A record that a handler works on.

use tokio::sync::mpsc::UnboundedSender;

use crate::{ledger::Ticket, record::Record};

/// A record to work on. If it is dropped without [`Inbound::done`], it is read again.
#[must_use]
#[derive(Debug)]
pub struct Inbound {
    /// The record.
    pub record: Record,
    pub(super) ticket: Ticket,
    pub(super) ended: UnboundedSender<EndedRecord>,
    pub(super) is_done: bool,
}

/// The end of a record's handling.
#[derive(Debug)]
pub(super) struct EndedRecord {
    pub(super) ticket: Ticket,
    pub(super) key: Option<bytes::Bytes>,
    pub(super) done: bool,
    /// Whether it was dropped by a panic.
    pub(super) panicked: bool,
}

impl Inbound {
    /// Ends the record. All effects that it asks for have to be durable by now.
    pub fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        let ended = EndedRecord {
            ticket: self.ticket.clone(),
            key: self.record.key.clone(),
            done: self.is_done,
            panicked: !self.is_done && std::thread::panicking(),
        };
        // The runner is gone only after a hard shutdown; then no offset is committed.
        let _ = self.ended.send(ended);
    }
}
