//! Sources: records of other systems' topics that become events by rules of the catalog. The records are the envelopes of
//! Debezium, which reports changes of database rows, or those of its outbox event router.
//!
//! The conversion is pure: the same record under the same rules gives the same events, with the same ids.

mod check;
mod convert;
mod def;
mod document;
mod position;

pub(crate) use self::check::check;
pub use self::{
    check::is_topic,
    convert::{Conversion, SkippedRow, SourcedEvent, convert},
    def::{
        MappedType, RecipientPointers, RowOp, SourceCondition, SourceData, SourceDef, SourceFormat,
        SourceRecipient, SourceRule, SourceType,
    },
    document::SourceRecord,
};

#[cfg(test)]
mod tests;
