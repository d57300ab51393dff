//! The trace context: W3C's `traceparent` in the headers of records and requests.

use std::collections::HashMap;

use opentelemetry::{Context, propagation::TextMapPropagator as _, trace::TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The most links of a batch's span to the traces of its records.
const LINKS: usize = 32;

fn context(traceparent: &str) -> Context {
    let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    TraceContextPropagator::new().extract(&carrier)
}

/// The W3C `traceparent` of the current span, for a record's headers; `None` without tracing.
#[must_use]
pub fn current_traceparent() -> Option<String> {
    let span = tracing::Span::current();
    if span.is_none() {
        return None;
    }
    let context = span.context();
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut carrier);
    carrier.remove("traceparent")
}

/// Makes `span` a part of the trace in a record's `traceparent`.
pub fn set_parent(span: &tracing::Span, traceparent: &str) {
    if span.set_parent(context(traceparent)).is_err() {
        tracing::trace!("the span has no parent, because spans are not exported");
    }
}

/// Makes `span` continue the trace of a record's `traceparent`. Returns the `traceparent` for records that result
/// from it, which without tracing is the record's own.
#[must_use]
pub fn follow(span: &tracing::Span, traceparent: Option<&str>) -> Option<String> {
    if let Some(traceparent) = traceparent {
        set_parent(span, traceparent);
    }
    span.in_scope(current_traceparent)
        .or_else(|| traceparent.map(str::to_owned))
}

/// Makes the span of a batch continue the first sampled trace of its records, and links it to the others, at most
/// [`LINKS`]. Traces that are not sampled are left out, since nothing is exported to which a link could lead.
pub fn join<'a>(span: &tracing::Span, traceparents: impl IntoIterator<Item = &'a str>) {
    if span.is_disabled() {
        return;
    }
    let mut joined: Vec<&str> = Vec::new();
    for traceparent in traceparents {
        if joined.len() > LINKS {
            return;
        }
        let Some(trace) = sampled(traceparent).filter(|trace| !joined.contains(trace)) else {
            continue;
        };
        if joined.is_empty() {
            set_parent(span, traceparent);
        } else {
            span.add_link(context(traceparent).span().span_context().clone());
        }
        joined.push(trace);
    }
}

/// The trace's id, if the trace is sampled: `version-trace-span-flags`, where bit 0 of the flags says so.
fn sampled(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.split('-');
    let trace = parts.nth(1)?;
    let flags = u8::from_str_radix(parts.nth(1)?, 16).ok()?;
    (flags & 1 == 1).then_some(trace)
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_trace_continues_from_a_header() {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let header = tracing::info_span!("producer")
                .in_scope(current_traceparent)
                .unwrap();
            let consumer = tracing::info_span!("consumer");
            set_parent(&consumer, &header);
            consumer.in_scope(|| {});
        });
        let spans = exporter.get_finished_spans().unwrap();
        let find = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
        assert_eq!(
            find("consumer").span_context.trace_id(),
            find("producer").span_context.trace_id()
        );
        assert_eq!(
            find("consumer").parent_span_id,
            find("producer").span_context.span_id()
        );
    }

    #[test]
    fn without_a_tracer_only_a_received_header_is_passed_on() {
        assert_eq!(current_traceparent(), None);
        let span = tracing::info_span!("nobody looks");
        assert_eq!(follow(&span, None), None);
        assert_eq!(follow(&span, Some("00-a-b-01")).as_deref(), Some("00-a-b-01"));
    }

    #[test]
    fn a_batch_continues_its_first_sampled_trace_and_is_linked_once_to_each_other_one() {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let record = |trace: u32, flags: &str| format!("00-{trace:032x}-{trace:016x}-{flags}");
        let records = [
            record(1, "00"),
            "no traceparent".to_owned(),
            record(2, "01"),
            record(3, "01"),
            record(2, "01"),
            record(3, "03"),
            record(4, "01"),
        ];
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let span = tracing::info_span!("batch");
            join(&span, records.iter().map(String::as_str));
            let many: Vec<String> = (1..200).map(|trace| record(trace, "01")).collect();
            join(&tracing::info_span!("large"), many.iter().map(String::as_str));
        });
        let spans = exporter.get_finished_spans().unwrap();
        let find = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
        let batch = find("batch");
        let id = |trace: u32| format!("{trace:032x}");
        assert_eq!(batch.span_context.trace_id().to_string(), id(2));
        let linked: Vec<_> = batch
            .links
            .iter()
            .map(|link| link.span_context.trace_id().to_string())
            .collect();
        assert_eq!(linked, [id(3), id(4)]);
        assert_eq!(find("large").links.len(), LINKS);
    }
}
