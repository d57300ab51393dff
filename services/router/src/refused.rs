//! Record sizes that topics have refused. An event that leads to a record of such a size would stop its partition for
//! ever, so it is rejected.

use std::collections::HashMap;

use carillon_bus::{BusError, OutRecord};

use crate::RouterError;

/// The record sizes that topics have refused. They are forgotten after the event that led to such a record was rejected.
#[derive(Debug, Default)]
pub struct Refused {
    /// The smallest size that each topic has refused.
    sizes: HashMap<String, usize>,
    was_met: bool,
}

impl Refused {
    /// Notes a refusal; returns whether it is new. If so, the batch can be routed in another way.
    pub fn learns_from(&mut self, error: &RouterError) -> bool {
        let RouterError::Bus(BusError::TooLarge { topic, size }) = error else {
            return false;
        };
        if self.sizes.get(topic).is_some_and(|known| known <= size) {
            return false;
        }
        self.sizes.insert(topic.clone(), *size);
        true
    }

    /// Notes that a batch was committed. If it contained the refused event, the sizes are forgotten, because an operator
    /// may raise a topic's limit.
    pub fn committed(&mut self) {
        if self.was_met {
            *self = Self::default();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Whether the record's topic has refused a record of this size or a smaller one.
    pub(crate) fn meets(&mut self, record: &OutRecord) -> bool {
        let meets = self
            .sizes
            .get(&*record.topic)
            .is_some_and(|size| record.size() >= *size);
        self.was_met |= meets;
        meets
    }
}
