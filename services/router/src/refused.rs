//! Sizes that topics have refused. An event that gives rise to a record of such a size would stop its partition for
//! ever: it is rejected instead.

use std::collections::HashMap;

use carillon_bus::{BusError, OutRecord};

use crate::RouterError;

/// What is known of the topics' limits since a batch was refused.
#[derive(Debug, Default)]
pub struct Refused {
    /// The smallest size that a topic has refused.
    sizes: HashMap<String, usize>,
    was_met: bool,
}

impl Refused {
    /// Learns from an error, if it is a refusal that says something new: then the batch can be routed in another way.
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

    /// A batch was committed. Once the culprit was rejected nothing is presumed of later events: topics can be changed.
    pub fn committed(&mut self) {
        if self.was_met {
            *self = Self::default();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Whether a topic has refused a record of this size; the culprit is found by it.
    pub(crate) fn meets(&mut self, record: &OutRecord) -> bool {
        let meets = self
            .sizes
            .get(&*record.topic)
            .is_some_and(|size| record.size() >= *size);
        self.was_met |= meets;
        meets
    }
}
