//! The records that a source's record leads to: events, or a dead letter.

use bytes::Bytes;
use carillon_bus::{OutRecord, Queue, Record, Refused, Topics, dead_letter, headers};
use carillon_domain::{
    FieldError, TenantId, Timestamp,
    compiled::CompiledCatalog,
    dead_letter::{DeadLetter, FailureClass},
    field_error::join,
    source::{Conversion, SkippedRow, SourceDef, SourceRecord, SourcedEvent, convert},
};
use carillon_runtime::panics::Panic;

/// What became of a record, as the metric names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RecordOutcome {
    /// It led to events.
    Event,
    /// It led to none, by design.
    Skipped(SkippedRow),
    /// It is a dead letter. Rules that could be applied have led to events all the same.
    DeadLetter,
}

impl RecordOutcome {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Skipped(skipped) => skipped.into(),
            Self::DeadLetter => "dead_letter",
        }
    }
}

/// Converts the records of one topic.
pub(crate) struct Converter<'a> {
    pub(crate) topics: &'a Topics,
    pub(crate) tenant: &'a TenantId,
    pub(crate) catalog: &'a CompiledCatalog,
    pub(crate) def: &'a SourceDef,
    pub(crate) now: Timestamp,
}

/// Why a record is a dead letter.
pub(crate) struct Unconverted {
    pub(crate) class: FailureClass,
    pub(crate) code: String,
    pub(crate) reason: String,
}

impl Unconverted {
    fn of(class: FailureClass, errors: &[FieldError]) -> Option<Self> {
        let first = errors.first()?;
        Some(Self {
            class,
            code: first.code.clone(),
            reason: join(errors),
        })
    }

    /// The fault of a record whose conversion made the code panic.
    pub(crate) fn of_panic(panic: &Panic) -> Self {
        Self {
            class: FailureClass::Bug,
            code: "panic".to_owned(),
            reason: panic.to_string(),
        }
    }
}

impl Converter<'_> {
    /// Converts a record. The records to be written are added to `out`.
    pub(crate) fn convert(
        &self,
        record: &Record,
        refused: &mut Refused,
        out: &mut Vec<OutRecord>,
    ) -> RecordOutcome {
        let (fault, outcome) = self.read(record, refused, out);
        if let Some(fault) = fault {
            out.push(self.bury(record, &fault, refused));
            return RecordOutcome::DeadLetter;
        }
        outcome
    }

    fn read(
        &self,
        record: &Record,
        refused: &mut Refused,
        out: &mut Vec<OutRecord>,
    ) -> (Option<Unconverted>, RecordOutcome) {
        if let Some(why) = record.unreadable {
            let fault = Unconverted {
                class: FailureClass::Unparseable,
                code: why.code().to_owned(),
                reason: why.reason().to_owned(),
            };
            return (Some(fault), RecordOutcome::DeadLetter);
        }
        let source = SourceRecord {
            topic: &record.topic,
            key: record.key.as_deref(),
            value: &record.value,
            headers: record
                .headers
                .iter()
                .map(|(name, value)| (name, &**value))
                .collect(),
            written_at: Some(record.timestamp).filter(|at| *at > Timestamp::UNIX_EPOCH && *at <= self.now),
        };
        let (events, mut errors) = match convert(self.def, &source) {
            Ok(Conversion::Skipped(skipped)) => return (None, RecordOutcome::Skipped(skipped)),
            Ok(Conversion::Converted { events, errors }) => (events, errors),
            Err(error) => {
                let fault = Unconverted::of(FailureClass::Unparseable, &[error]);
                return (fault, RecordOutcome::DeadLetter);
            }
        };
        for event in events {
            let event_type = event.event.event_type.clone();
            let event = self.event(record, event);
            if refused.meets(&event) {
                let text = format!(
                    "the event {event_type}: its topic takes no record of {} bytes",
                    event.size()
                );
                errors.push(FieldError::new("", "too-large", text));
            } else {
                out.push(event);
            }
        }
        (
            Unconverted::of(FailureClass::Invalid, &errors),
            RecordOutcome::Event,
        )
    }

    /// The record of an event. The router checks it like any other producer's.
    fn event(&self, record: &Record, sourced: SourcedEvent) -> OutRecord {
        let SourcedEvent { mut event, json } = sourced;
        let definition = self
            .catalog
            .lookup(&event.event_type)
            .map(|found| found.definition);
        let priority = event
            .priority
            .or(definition.and_then(|definition| definition.priority));
        // Events of one user stay in order, also if the type says where the user is. Recipients that cannot be read are the
        // router's to refuse.
        if let Some(definition) = definition {
            let _ = event.resolve_recipients(&definition.recipients_from);
        }
        let topic = self.topics.events(priority.unwrap_or_default());
        let mut out = OutRecord::new(topic, event.record_key(self.tenant), json)
            .with(headers::TENANT, self.tenant.to_string())
            .with(headers::CONTENT_TYPE, "application/cloudevents+json");
        if let Some(traceparent) = record.headers.get(headers::TRACEPARENT) {
            out = out.with(headers::TRACEPARENT, Bytes::copy_from_slice(traceparent));
        }
        out
    }

    /// The dead letter of a record, among those of the tenant's events.
    pub(crate) fn bury(&self, record: &Record, fault: &Unconverted, refused: &mut Refused) -> OutRecord {
        let letter = DeadLetter {
            class: fault.class,
            provider: None,
            code: fault.code.clone(),
            reason: fault.reason.clone(),
            attempts: 1,
            first_failed_at: self.now,
        };
        let mut of_tenant = record.clone();
        of_tenant.headers.insert(headers::TENANT, self.tenant.to_string());
        let group = self.topics.source_group(&record.topic);
        let mut dead = dead_letter::record(self.topics, &of_tenant, Queue::Events, &group, &letter);
        if refused.meets(&dead) {
            // The original bytes are in the source topic, which the headers name.
            dead.headers
                .insert(headers::TRUNCATED, record.value.len().to_string());
            dead.value = Bytes::new();
        }
        dead
    }
}
