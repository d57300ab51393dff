//! Records whose handling has panicked, with the number of panics. They are handed over alone.

use std::collections::HashMap;

use super::inbound::EndedRecord;
use crate::{ledger::Ticket, record::Partition};

#[derive(Default)]
pub(super) struct Suspects(HashMap<(Partition, i64), u32>);

impl Suspects {
    /// The number of panics of a record.
    pub(super) fn panics_of(&self, ticket: &Ticket) -> u32 {
        if self.0.is_empty() {
            return 0;
        }
        let place = (ticket.partition.clone(), ticket.offset);
        self.0.get(&place).copied().unwrap_or(0)
    }

    /// Updates the number of panics of a record.
    pub(super) fn note(&mut self, ended: &EndedRecord) {
        let place = || (ended.ticket.partition.clone(), ended.ticket.offset);
        if ended.panicked {
            *self.0.entry(place()).or_default() += 1;
        } else if ended.done && !self.0.is_empty() {
            self.0.remove(&place());
        }
    }

    /// Forgets the records of a partition.
    pub(super) fn forget(&mut self, partition: &Partition) {
        self.0.retain(|(of, _), _| of != partition);
    }
}
