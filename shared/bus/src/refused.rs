//! Record sizes that topics have refused. A record that leads to one of such a size would stop its partition for ever, so
//! it becomes a dead letter.

use std::collections::HashMap;

use crate::{error::BusError, record::OutRecord};

/// The record sizes that topics have refused. They are forgotten after the record that led to such a size was committed as a
/// dead letter.
#[derive(Debug, Default)]
pub struct Refused {
    /// The smallest size that each topic has refused.
    sizes: HashMap<String, usize>,
    was_met: bool,
}

impl Refused {
    /// Notes a refusal; returns whether it is new. If so, the batch can be processed in another way.
    pub fn learns_from(&mut self, error: &BusError) -> bool {
        let BusError::TooLarge { topic, size } = error else {
            return false;
        };
        if self.sizes.get(topic).is_some_and(|known| known <= size) {
            return false;
        }
        self.sizes.insert(topic.clone(), *size);
        true
    }

    /// Notes that a batch was committed. If it contained the refused record, the sizes are forgotten, because an operator
    /// may raise a topic's limit.
    pub fn committed(&mut self) {
        if self.was_met {
            *self = Self::default();
        }
    }

    /// Whether no topic has refused a record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Whether the record's topic has refused a record of this size or a smaller one.
    pub fn meets(&mut self, record: &OutRecord) -> bool {
        let meets = self
            .sizes
            .get(&*record.topic)
            .is_some_and(|size| record.size() >= *size);
        self.was_met |= meets;
        meets
    }
}
