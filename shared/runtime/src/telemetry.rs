//! Logs, traces and metrics, set up once in a process, and the trace context in records.

mod context;
mod exemplars;
mod openmetrics;

use std::{ffi::OsStr, io::IsTerminal as _, sync::Arc};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use self::exemplars::{ExemplarRecorder, Exemplars};
pub use self::{
    context::{current_traceparent, follow, join, set_parent},
    exemplars::{SampledSpan, sampled_span},
};
use crate::{config::HttpUrl, quoted::quoted};

/// The settings of logs and traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// `tracing` filter directives, such as `info,carillon_bus=debug`.
    #[serde(deserialize_with = "directives")]
    pub log: String,
    /// `text` or `json`.
    pub log_format: LogFormat,
    /// The OTLP/HTTP endpoint of a collector, such as `http://127.0.0.1:4318`; without it, no traces are exported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_endpoint: Option<HttpUrl>,
    /// The share of traces that are kept, 0 to 1.
    pub trace_ratio: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            otlp_endpoint: None,
            trace_ratio: 0.01,
        }
    }
}

/// Reads directives as a filter of log lines. The error is a sentence with the expected value and the given one.
fn filter(directives: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder().parse(directives).map_err(|_| {
        let shown: String = directives.chars().take(100).collect();
        format!(
            "expected directives such as info,carillon_bus=debug, not {}",
            quoted(&shown)
        )
    })
}

/// Reads filter directives.
fn directives<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    filter(&text).map_err(D::Error::custom)?;
    Ok(text)
}

/// The format of logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object for each line.
    Json,
}

/// The reason for which telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter directives are wrong.
    #[error("telemetry.log: {0}")]
    Filter(String),
    /// The exporter cannot be built.
    #[error("telemetry.otlp_endpoint: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The metrics recorder cannot be built.
    #[error("metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// Telemetry was set up before.
    #[error("telemetry was set up twice")]
    Twice,
}

/// Keeps the exporters alive; [`Telemetry::finish`] sends their remaining data.
#[must_use]
pub struct Telemetry {
    tracer: Option<SdkTracerProvider>,
    metrics: MetricsHandle,
}

/// Renders this process's metrics.
#[derive(Clone)]
pub struct MetricsHandle {
    prometheus: PrometheusHandle,
    exemplars: Arc<Exemplars>,
}

/// The metrics of a process as a scraper asked for them.
#[derive(Debug)]
pub struct RenderedMetrics {
    /// The media type.
    pub content_type: &'static str,
    /// The text.
    pub text: String,
}

impl MetricsHandle {
    /// A recorder without metrics, for tests of the HTTP surface.
    #[must_use]
    pub fn detached() -> Self {
        Self {
            prometheus: PrometheusBuilder::new().build_recorder().handle(),
            exemplars: Arc::default(),
        }
    }

    /// All metrics for a scraper with this `Accept` header: in OpenMetrics' format, which has exemplars, or in
    /// Prometheus's text format.
    #[must_use]
    pub fn render(&self, accept: &str) -> RenderedMetrics {
        let text = self.prometheus.render();
        if openmetrics::is_wanted(accept) {
            return RenderedMetrics {
                content_type: openmetrics::CONTENT_TYPE,
                text: openmetrics::write(&text, &self.exemplars),
            };
        }
        RenderedMetrics {
            content_type: "text/plain; version=0.0.4",
            text,
        }
    }

    /// Drains the samples of histograms; has to be called every few seconds.
    pub fn upkeep(&self) {
        self.prometheus.run_upkeep();
    }
}

/// The buckets of all histograms of seconds: from half a millisecond to a minute.
const SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0,
];

/// Buckets of every histogram of numbers of records: from one to a full batch of the tracker.
const RECORDS: [f64; 12] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 2_048.0,
];

/// The exported spans and events: those of this product. The events of libraries, such as the text of each SQL
/// statement, are many and add nothing to the span that they belong to.
fn exported() -> Targets {
    Targets::new().with_target("carillon", LevelFilter::DEBUG)
}

/// Sets up logs (to standard error), traces and metrics, once in a process.
pub fn init(config: &TelemetryConfig, service: &'static str) -> Result<Telemetry, TelemetryError> {
    let filter = filter(&config.log).map_err(TelemetryError::Filter)?;
    let logs = match config.log_format {
        LogFormat::Text => tracing_subscriber::fmt::layer()
            .with_ansi(has_colours(
                std::io::stderr().is_terminal(),
                std::env::var_os("NO_COLOR").as_deref(),
            ))
            .with_writer(std::io::stderr)
            .boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .with_writer(std::io::stderr)
            .boxed(),
    };
    let tracer = config
        .otlp_endpoint
        .as_ref()
        .map(|endpoint| tracer(endpoint, config, service))
        .transpose()?;
    let spans = tracer.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(service))
            .with_filter(exported())
    });
    tracing_subscriber::registry()
        .with(spans)
        .with(logs.with_filter(filter))
        .try_init()
        .map_err(|_| TelemetryError::Twice)?;
    crate::panics::watch();

    let metrics = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_records".to_owned()), &RECORDS)?
        .build_recorder();
    let handle = MetricsHandle {
        prometheus: metrics.handle(),
        exemplars: Arc::default(),
    };
    let recorder = ExemplarRecorder {
        inner: metrics,
        exemplars: Arc::clone(&handle.exemplars),
    };
    metrics::set_global_recorder(recorder).map_err(|_| TelemetryError::Twice)?;
    Ok(Telemetry {
        tracer,
        metrics: handle,
    })
}

/// Writes the reason for which the process does not start, in the configured format, if [`init`] was not called yet.
pub fn last_words(format: LogFormat, error: &str) {
    let write = || tracing::error!(error, "carillon does not start");
    let builder = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => tracing::subscriber::with_default(builder.finish(), write),
        LogFormat::Json => tracing::subscriber::with_default(builder.json().finish(), write),
    }
}

/// Colours are for terminals whose user has not set `NO_COLOR` (<https://no-color.org>).
fn has_colours(is_terminal: bool, no_color: Option<&OsStr>) -> bool {
    is_terminal && no_color.is_none_or(OsStr::is_empty)
}

fn tracer(
    endpoint: &HttpUrl,
    config: &TelemetryConfig,
    service: &'static str,
) -> Result<SdkTracerProvider, TelemetryError> {
    use opentelemetry_otlp::WithExportConfig as _;
    use opentelemetry_sdk::trace::Sampler;

    crate::http::install_tls();
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{endpoint}/v1/traces"))
        .build()?;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
            config.trace_ratio,
        ))))
        .with_resource(
            opentelemetry_sdk::Resource::builder()
                .with_service_name(service)
                .build(),
        )
        .build())
}

impl Telemetry {
    /// The source of `/metrics`.
    #[must_use]
    pub fn metrics(&self) -> MetricsHandle {
        self.metrics.clone()
    }

    /// Sends the remaining data of the exporters.
    pub fn finish(self) {
        if let Some(tracer) = self.tracer
            && let Err(error) = tracer.shutdown()
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the last spans were not sent"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::InMemorySpanExporter;

    use super::*;

    #[test]
    fn a_librarys_spans_and_events_are_not_exported() {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("test"))
            .with_filter(exported());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::debug_span!(target: "carillon_router::output", "route").in_scope(|| {
                tracing::debug!(target: "carillon_router", "ours");
                tracing::debug!(target: "sqlx::query", "SELECT 1");
                tracing::error!(target: "hyper_util::client", "theirs");
                tracing::error_span!(target: "reqwest::connect", "theirs").in_scope(|| {});
            });
        });
        let spans = exporter.get_finished_spans().unwrap();
        let names: Vec<_> = spans.iter().map(|span| span.name.as_ref()).collect();
        assert_eq!(names, ["route"]);
        let events: Vec<_> = spans[0].events.iter().map(|event| event.name.as_ref()).collect();
        assert_eq!(events, ["ours"]);
    }

    #[test]
    fn only_a_terminal_has_colours_and_not_with_no_color() {
        assert!(has_colours(true, None));
        assert!(has_colours(true, Some(OsStr::new(""))));
        assert!(!has_colours(true, Some(OsStr::new("1"))));
        assert!(!has_colours(false, None));
    }
}
