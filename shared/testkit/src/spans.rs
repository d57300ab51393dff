//! Spans as they are exported, for tests of traces.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tracing::{Dispatch, subscriber::DefaultGuard};
use tracing_subscriber::layer::SubscriberExt as _;

/// Records the spans of this thread until it is dropped.
pub struct Spans {
    exporter: InMemorySpanExporter,
    _provider: SdkTracerProvider,
    _recording: DefaultGuard,
    _second: Dispatch,
}

impl Spans {
    /// Begins to record. The test's runtime must have one thread only.
    #[must_use]
    pub fn of_this_thread() -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .build();
        // With only one subscriber in the process, `tracing` asks only the thread that reaches a span first, and remembers
        // its answer. That thread may belong to another test without a subscriber, and its answer is no.
        let second = Dispatch::new(tracing_subscriber::registry());
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let recording = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        Self {
            exporter,
            _provider: provider,
            _recording: recording,
            _second: second,
        }
    }

    /// The ended spans of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Vec<SpanData> {
        let mut spans = self.exporter.get_finished_spans().unwrap_or_default();
        spans.retain(|span| span.name == name);
        spans
    }
}

/// An attribute of a span as text; empty if the span has none of this name.
#[must_use]
pub fn attribute(span: &SpanData, name: &str) -> String {
    let found = span
        .attributes
        .iter()
        .find(|attribute| attribute.key.as_str() == name);
    found.map_or_else(String::new, |attribute| attribute.value.as_str().into_owned())
}
