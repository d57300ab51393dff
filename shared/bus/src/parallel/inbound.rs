//! A record in a handler's hands.

use tokio::sync::mpsc::UnboundedSender;

use crate::{ledger::Ticket, record::Record};

/// A record to be worked on. Dropping it without [`Inbound::done`] has it read again.
#[must_use]
#[derive(Debug)]
pub struct Inbound {
    /// The record.
    pub record: Record,
    pub(super) ticket: Ticket,
    pub(super) ended: UnboundedSender<Ended>,
    pub(super) is_done: bool,
}

/// How a record ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) ticket: Ticket,
    pub(super) key: Option<bytes::Bytes>,
    pub(super) done: bool,
    /// Whether a panic dropped it.
    pub(super) panicked: bool,
}

impl Inbound {
    /// Everything that the record asks for is durable.
    pub fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        let ended = Ended {
            ticket: self.ticket.clone(),
            key: self.record.key.clone(),
            done: self.is_done,
            panicked: !self.is_done && std::thread::panicking(),
        };
        // The runner is gone at a hard shutdown only; then nothing is committed.
        let _ = self.ended.send(ended);
    }
}
