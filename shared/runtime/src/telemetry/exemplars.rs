//! Exemplars of latency histograms: for each bucket the last value that was measured in a sampled trace, and that trace.
//! `metrics-exporter-prometheus` has no exemplars, so this recorder wraps that crate's recorder. A value outside of a
//! sampled trace costs one look at the thread's context, and no lock.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;
use opentelemetry::{
    Context, ContextGuard, SpanId, TraceId,
    trace::{SpanContext, TraceContextExt as _},
};
use parking_lot::Mutex;

use super::SECONDS;

/// The histograms that have exemplars: the durations of requests and of calls of providers.
const WITH_EXEMPLARS: [&str; 2] = ["http_server_request_duration_seconds", "carillon_send_seconds"];

/// The number of buckets: one for each bound, and one for values beyond the last bound.
const BUCKETS: usize = SECONDS.len() + 1;

/// A value that was measured in a sampled trace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Exemplar {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    /// In seconds.
    pub(super) value: f64,
    /// Since 1970.
    pub(super) at: Duration,
}

/// The exemplars of one series by bucket.
#[derive(Debug, Default)]
pub(super) struct SeriesExemplars(Mutex<[Option<Exemplar>; BUCKETS]>);

/// The exemplars of all series. A series is found by its key as it is registered, which costs no allocation.
#[derive(Debug, Default)]
pub(super) struct Exemplars(Mutex<HashMap<Key, Arc<SeriesExemplars>>>);

/// The exemplars of series, for a scrape.
pub(super) type BySeries = HashMap<SeriesKey, Arc<SeriesExemplars>>;

/// The name of a histogram, and its labels in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct SeriesKey {
    pub(super) name: String,
    pub(super) labels: Vec<(String, String)>,
}

/// A sampled span. While it is entered, measured values become exemplars of its trace.
#[derive(Debug, Clone)]
pub struct SampledSpan(SpanContext);

/// The sampled span in which this thread is; `None` if its trace is not sampled.
#[must_use]
pub fn sampled_span() -> Option<SampledSpan> {
    Context::map_current(|context| {
        if !context.has_active_span() {
            return None;
        }
        let span = context.span();
        let context = span.span_context();
        context.is_sampled().then(|| SampledSpan(context.clone()))
    })
}

impl SampledSpan {
    /// Enters the span on this thread until the guard is dropped.
    #[must_use]
    pub fn enter(&self) -> ContextGuard {
        Context::new().with_remote_span_context(self.0.clone()).attach()
    }
}

impl SeriesKey {
    fn of(key: &Key) -> Self {
        let labels = key.labels().map(|label| (label.key(), label.value()));
        Self::new(key.name(), labels)
    }

    pub(super) fn new<'a>(name: &str, labels: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let owned = labels.map(|(label, value)| (label.to_owned(), value.to_owned()));
        let mut labels: Vec<_> = owned.collect();
        labels.sort_unstable();
        Self {
            name: name.to_owned(),
            labels,
        }
    }
}

impl Exemplars {
    pub(super) fn by_series(&self) -> BySeries {
        let series = self.0.lock();
        series
            .iter()
            .map(|(key, exemplars)| (SeriesKey::of(key), Arc::clone(exemplars)))
            .collect()
    }

    fn of(&self, key: &Key) -> Arc<SeriesExemplars> {
        let mut series = self.0.lock();
        if let Some(known) = series.get(key) {
            return Arc::clone(known);
        }
        Arc::clone(series.entry(key.clone()).or_default())
    }
}

impl SeriesExemplars {
    /// The exemplar of the bucket with this upper bound.
    pub(super) fn at(&self, bound: f64) -> Option<Exemplar> {
        self.0.lock()[bucket(bound)]
    }

    fn note(&self, span: &SampledSpan, value: f64) {
        let exemplar = Exemplar {
            trace: span.0.trace_id(),
            span: span.0.span_id(),
            value,
            at: now(),
        };
        self.0.lock()[bucket(value)] = Some(exemplar);
    }
}

/// The bucket of a value: the first whose bound is not less.
fn bucket(value: f64) -> usize {
    SECONDS.partition_point(|bound| *bound < value)
}

#[expect(
    clippy::disallowed_methods,
    reason = "an exemplar is found in Prometheus by the time of the wall clock"
)]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A histogram that keeps exemplars.
struct Remembering {
    took: Histogram,
    exemplars: Arc<SeriesExemplars>,
}

impl HistogramFn for Remembering {
    fn record(&self, value: f64) {
        self.took.record(value);
        if let Some(span) = sampled_span() {
            self.exemplars.note(&span, value);
        }
    }
}

/// The recorder of the process.
pub(super) struct ExemplarRecorder {
    pub(super) inner: PrometheusRecorder,
    pub(super) exemplars: Arc<Exemplars>,
}

impl Recorder for ExemplarRecorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.inner.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.inner.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        let took = self.inner.register_histogram(key, metadata);
        if !WITH_EXEMPLARS.contains(&key.name()) {
            return took;
        }
        let exemplars = self.exemplars.of(key);
        Histogram::from_arc(Arc::new(Remembering { took, exemplars }))
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        Router,
        body::Body,
        http::{Request, StatusCode},
        middleware::from_fn,
        routing::get,
    };
    use opentelemetry::trace::{TraceFlags, TraceState, TracerProvider as _};
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tower::ServiceExt as _;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn span(trace: u128, flags: TraceFlags) -> SampledSpan {
        let (trace, span) = (TraceId::from(trace), SpanId::from(7));
        SampledSpan(SpanContext::new(trace, span, flags, false, TraceState::default()))
    }

    #[test]
    fn a_bucket_remembers_the_last_value_of_a_sampled_trace_and_no_other() {
        let recorder = ExemplarRecorder {
            inner: metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder(),
            exemplars: Arc::default(),
        };
        metrics::with_local_recorder(&recorder, || {
            let took = metrics::histogram!("carillon_send_seconds", "provider" => "p", "channel" => "sms");
            let other = metrics::histogram!("messaging_process_duration_seconds");
            took.record(0.03);
            {
                let _unsampled = span(1, TraceFlags::NOT_SAMPLED).enter();
                assert!(sampled_span().is_none());
                took.record(0.03);
            }
            for (trace, value) in [(2, 0.03), (3, 0.04), (4, 0.05), (5, 100.0)] {
                let _sampled = span(trace, TraceFlags::SAMPLED).enter();
                took.record(value);
                other.record(value);
            }
            took.record(0.035);
        });
        let labels = [("provider", "p"), ("channel", "sms")];
        let key = SeriesKey::new("carillon_send_seconds", labels.into_iter());
        let all = recorder.exemplars.by_series();
        let series = all.get(&key).unwrap();
        let at = |bound: f64| series.at(bound).map(|found| (found.trace, found.value));
        assert_eq!(at(0.05), Some((TraceId::from(4), 0.05)));
        assert_eq!(at(f64::INFINITY), Some((TraceId::from(5), 100.0)));
        assert_eq!(at(0.025), None);
        assert_eq!(recorder.exemplars.0.lock().len(), 1, "only the named histograms");
    }

    #[test]
    fn the_duration_of_a_request_has_its_trace_as_exemplar_if_the_trace_is_sampled() {
        const HEAD: &str = "00-0af7651916cd43dd8448eb211c80319";
        let recorder = ExemplarRecorder {
            inner: metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder(),
            exemplars: Arc::default(),
        };
        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let routes = Router::new()
            .route("/sampled", get(|| async { StatusCode::NO_CONTENT }))
            .route("/other", get(|| async { StatusCode::NO_CONTENT }));
        let app = crate::http::measured(routes.layer(from_fn(crate::http::trace)));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let ask = async |path: &str, traceparent: String| {
            let request = Request::get(path).header("traceparent", traceparent);
            let request = request.body(Body::empty()).unwrap();
            app.clone().oneshot(request).await.unwrap();
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            metrics::with_local_recorder(&recorder, || {
                runtime.block_on(async {
                    ask("/sampled", format!("{HEAD}c-b7ad6b7169203331-01")).await;
                    ask("/other", format!("{HEAD}d-b7ad6b7169203331-00")).await;
                });
            });
        });
        let found = |route: &str| {
            let labels = [
                ("http_request_method", "GET"),
                ("http_response_status_code", "204"),
                ("http_route", route),
            ];
            let key = SeriesKey::new("http_server_request_duration_seconds", labels.into_iter());
            let all = recorder.exemplars.by_series();
            let series = all.get(&key).unwrap();
            let buckets = *series.0.lock();
            let found: Vec<String> = buckets
                .iter()
                .flatten()
                .map(|one| one.trace.to_string())
                .collect();
            found
        };
        assert_eq!(found("/sampled"), [format!("{}c", &HEAD[3..])]);
        assert!(found("/other").is_empty());
    }
}
