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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use carillon_bus::{BusError, Headers, TopicSettings, Unreadable};
    use carillon_domain::Catalog;
    use serde_json::json;

    use super::*;

    const TOPIC: &str = "shop.public.orders";

    fn record(value: &str) -> Record {
        Record {
            topic: TOPIC.into(),
            partition: 0,
            offset: 7,
            key: Some(Bytes::from_static(b"1")),
            value: Bytes::from(value.to_owned()),
            headers: Headers::default(),
            timestamp: Timestamp::UNIX_EPOCH,
            unreadable: None,
        }
    }

    fn row() -> String {
        json!({"op": "c", "after": {"id": 1, "text": "x".repeat(1_000)}, "source": {"lsn": 1}}).to_string()
    }

    /// Converts a record by a rule that applies to each row.
    fn converted(record: &Record, refused: &mut Refused) -> (RecordOutcome, Vec<OutRecord>) {
        let catalog: Catalog = serde_json::from_value(json!({
            "types": {"A": {"category": "c", "channels": {"order": ["email"]}}}, "categories": {"c": {}},
            "sources": {TOPIC: {"rules": [{"type": "A"}]}},
        }))
        .unwrap();
        let catalog = CompiledCatalog::new(catalog);
        let topics = Topics::new("n", &[Duration::from_secs(1)], &TopicSettings::default());
        let converter = Converter {
            topics: &topics,
            tenant: &TenantId::default(),
            def: &catalog.catalog().sources[TOPIC],
            catalog: &catalog,
            now: "2026-11-24T10:00:00Z".parse().unwrap(),
        };
        let mut out = Vec::new();
        let outcome = converter.convert(record, refused, &mut out);
        (outcome, out)
    }

    fn refusal(topic: &str, size: usize) -> BusError {
        BusError::TooLarge {
            topic: topic.to_owned(),
            size,
        }
    }

    #[test]
    fn an_event_that_its_topic_has_refused_for_its_size_is_a_dead_letter() {
        let mut refused = Refused::default();
        let (outcome, out) = converted(&record(&row()), &mut refused);
        assert_eq!((outcome, &*out[0].topic), (RecordOutcome::Event, "n.events"));
        assert!(refused.learns_from(&refusal("n.events", out[0].size())));
        let (outcome, out) = converted(&record(&row()), &mut refused);
        assert_eq!(
            (outcome, out.len(), &*out[0].topic),
            (RecordOutcome::DeadLetter, 1, "n.events.dlq")
        );
        assert_eq!(out[0].headers.get_str("carillon-code"), Some("too-large"));
        assert_eq!(out[0].value, row());
        // Where the dead letters' topic has refused that too, the letter names the place of the bytes.
        assert!(refused.learns_from(&refusal("n.events.dlq", out[0].size())));
        let (_, out) = converted(&record(&row()), &mut refused);
        assert_eq!(
            out[0].headers.get_str(headers::TRUNCATED),
            Some(&*row().len().to_string())
        );
        assert!(out[0].value.is_empty());
    }

    #[test]
    fn a_record_whose_bytes_cannot_be_read_is_a_dead_letter() {
        let at = record("").position();
        let unreadable = Record::unreadable(at, Unreadable::Compression);
        let (outcome, out) = converted(&unreadable, &mut Refused::default());
        assert_eq!(outcome, RecordOutcome::DeadLetter);
        assert_eq!(
            out[0].headers.get_str("carillon-code"),
            Some("corrupt-compression")
        );
        assert_eq!(out[0].headers.get_str("carillon-class"), Some("unparseable"));
    }

    #[tokio::test]
    async fn a_panic_has_a_class_of_its_own() {
        let panicking = async { panic!("told to") };
        let panic = carillon_runtime::panics::catch("test".into(), panicking)
            .await
            .map(|(): ()| ())
            .unwrap_err();
        let fault = Unconverted::of_panic(&panic);
        assert_eq!((fault.class, &*fault.code), (FailureClass::Bug, "panic"));
    }

    #[test]
    fn an_event_continues_the_trace_of_its_record() {
        let mut traced = record(&row());
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        traced.headers.push(headers::TRACEPARENT, parent);
        let (_, out) = converted(&traced, &mut Refused::default());
        assert_eq!(out[0].headers.get_str(headers::TRACEPARENT), Some(parent));
    }
}
