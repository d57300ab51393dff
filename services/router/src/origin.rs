//! The coordinates of a record, which identify it in claims and statuses.

use std::sync::Arc;

use carillon_bus::Record;
use carillon_domain::status::Origin;

pub(crate) fn origin(record: &Record) -> Origin {
    Origin {
        topic: Arc::clone(&record.topic),
        partition: record.partition,
        offset: record.offset,
    }
}
