//! The metrics in OpenMetrics' text format 1.0, with exemplars. It is written from Prometheus's text format, which
//! `metrics-exporter-prometheus` renders.

use std::fmt::Write as _;

use super::exemplars::{BySeries, Exemplar, Exemplars, SeriesKey};

/// The media type of the format.
const MEDIA_TYPE: &str = "application/openmetrics-text";
/// The content type of the format.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Converts metrics in Prometheus's text format.
pub(super) fn write(prometheus: &str, exemplars: &Exemplars) -> String {
    let exemplars = exemplars.by_series();
    let mut out = String::with_capacity(prometheus.len() + prometheus.len() / 8);
    let mut kind = "";
    for line in prometheus.lines().filter(|line| !line.is_empty()) {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, of) = family.split_once(' ').unwrap_or((family, "unknown"));
            kind = of;
            begin(&mut out, name, kind);
        } else if !line.starts_with('#') {
            sample(&mut out, line, kind, &exemplars);
        }
    }
    out.push_str("# EOF\n");
    out
}

/// Writes the type of a family, and its unit if its name says one. The name of a counter's family has no `_total`. A
/// counter whose name lacks that ending is not a counter in this format, so its type is `unknown`.
fn begin(out: &mut String, name: &str, kind: &str) {
    let (name, kind) = match (kind, name.strip_suffix("_total")) {
        ("counter", Some(family)) => (family, kind),
        ("counter", None) => (name, "unknown"),
        _ => (name, kind),
    };
    // Writing to a string does not fail.
    let _ = writeln!(out, "# TYPE {name} {kind}");
    for unit in ["seconds", "bytes"] {
        if name.ends_with(unit) && name.len() > unit.len() {
            let _ = writeln!(out, "# UNIT {name} {unit}");
        }
    }
}

/// Writes a sample. Bounds of buckets are written as floating-point numbers, and infinities with their sign.
fn sample(out: &mut String, line: &str, kind: &str, exemplars: &BySeries) {
    // The value has no space, and labels may have.
    let Some((series, value)) = line.rsplit_once(' ') else {
        return;
    };
    let value = match value {
        "inf" => "+Inf",
        "-inf" => "-Inf",
        value => value,
    };
    let bucket = (kind == "histogram").then(|| Bucket::of(series)).flatten();
    let Some(bucket) = bucket else {
        let _ = writeln!(out, "{series} {value}");
        return;
    };
    let Bucket { before, bound, .. } = &bucket;
    let _ = match bound {
        bound if bound.is_infinite() => write!(out, "{before}le=\"+Inf\"}} {value}"),
        bound => write!(out, "{before}le=\"{bound:?}\"}} {value}"),
    };
    if let Some(exemplar) = exemplars.get(&bucket.key()).and_then(|of| of.at(bucket.bound)) {
        let Exemplar {
            trace,
            span,
            value,
            at,
        } = exemplar;
        let (seconds, millis) = (at.as_secs(), at.subsec_millis());
        let _ = write!(
            out,
            " # {{trace_id=\"{trace}\",span_id=\"{span}\"}} {value:?} {seconds}.{millis:03}"
        );
    }
    out.push('\n');
}

/// A sample of a histogram's bucket. Its bound is the last label, as the exporter writes it.
struct Bucket<'a> {
    /// Name and labels before the bound.
    before: &'a str,
    bound: f64,
}

impl<'a> Bucket<'a> {
    fn of(series: &'a str) -> Option<Self> {
        let at = series.rfind("le=\"")?;
        let (before, bound) = series.split_at(at);
        let bound = bound.strip_prefix("le=\"")?.strip_suffix("\"}")?;
        let is_bucket = before.split_once('{')?.0.ends_with("_bucket");
        (is_bucket && before.ends_with(['{', ','])).then_some(Self {
            before,
            bound: bound.parse().ok()?,
        })
    }

    fn key(&self) -> SeriesKey {
        let (name, labels) = self.before.split_once('{').unwrap_or((self.before, ""));
        let labels = labels_of(labels);
        let name = name.strip_suffix("_bucket").unwrap_or(name);
        SeriesKey::new(name, labels.iter().map(|(label, value)| (*label, value.as_str())))
    }
}

/// The labels in `a="1",b="2",`, without their escapes.
fn labels_of(mut text: &str) -> Vec<(&str, String)> {
    let mut labels = Vec::new();
    while let Some((name, rest)) = text.split_once("=\"") {
        let mut value = String::new();
        let mut letters = rest.char_indices();
        let end = loop {
            match letters.next() {
                Some((_, '\\')) => match letters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, letter)) => value.push(letter),
                    None => break rest.len(),
                },
                Some((at, '"')) => break at + 1,
                Some((_, letter)) => value.push(letter),
                None => break rest.len(),
            }
        };
        labels.push((name, value));
        text = rest[end..].trim_start_matches(',');
    }
    labels
}

/// Whether a scraper wants this format, by its `Accept` (RFC 9110 §12.5.1): it names the format in a version that this
/// one is, and prefers no other.
pub(super) fn is_wanted(accept: &str) -> bool {
    let (mut wanted, mut other) = (0.0_f64, 0.0_f64);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        let (mut quality, mut is_known) = (1.0, true);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "q" => quality = value.trim().parse().unwrap_or(0.0),
                "version" => is_known = value.trim().trim_matches('"') == "1.0.0",
                _ => {}
            }
        }
        if essence.eq_ignore_ascii_case(MEDIA_TYPE) {
            if is_known {
                wanted = wanted.max(quality);
            }
        } else if essence.eq_ignore_ascii_case("text/plain") {
            other = other.max(quality);
        }
    }
    wanted > 0.0 && wanted >= other
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
    use opentelemetry::{
        Context, SpanId, TraceId,
        trace::{SpanContext, TraceContextExt as _, TraceFlags, TraceState},
    };

    use super::{
        super::{SECONDS, exemplars::ExemplarRecorder},
        *,
    };

    #[test]
    fn the_metrics_of_a_process_are_openmetrics_with_exemplars() {
        let inner = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .unwrap()
            .build_recorder();
        let handle = inner.handle();
        let recorder = ExemplarRecorder {
            inner,
            exemplars: std::sync::Arc::default(),
        };
        let name = "a \"b\"\\c\n{le=\"1\"}";
        metrics::with_local_recorder(&recorder, || {
            metrics::counter!("sends_total", "of" => name).increment(3);
            metrics::counter!("odd").increment(1);
            metrics::gauge!("age_seconds").set(f64::INFINITY);
            let took = metrics::histogram!("carillon_send_seconds", "provider" => name, "channel" => "sms");
            took.record(0.002);
            let (trace, span) = (TraceId::from(255), SpanId::from(7));
            let sampled = SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::default());
            let _entered = Context::new().with_remote_span_context(sampled).attach();
            took.record(0.7);
        });
        let text = write(&handle.render(), &recorder.exemplars);
        let labels = r#"provider="a \"b\"\\c\n{le=\"1\"}",channel="sms""#;
        for line in [
            "# TYPE sends counter",
            r#"sends_total{of="a \"b\"\\c\n{le=\"1\"}"} 3"#,
            "# TYPE odd unknown",
            "odd 1",
            "# TYPE age_seconds gauge",
            "# UNIT age_seconds seconds",
            "age_seconds +Inf",
            "# TYPE carillon_send_seconds histogram",
            "# UNIT carillon_send_seconds seconds",
            &format!(r#"carillon_send_seconds_bucket{{{labels},le="0.5"}} 1"#),
            &format!(r#"carillon_send_seconds_bucket{{{labels},le="5.0"}} 2"#),
            &format!(r#"carillon_send_seconds_bucket{{{labels},le="+Inf"}} 2"#),
            &format!("carillon_send_seconds_count{{{labels}}} 2"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let begin = format!(
            r#"carillon_send_seconds_bucket{{{labels},le="1.0"}} 2 # {{trace_id="000000000000000000000000000000ff",span_id="0000000000000007"}} 0.7 "#
        );
        let with: Vec<&str> = text.lines().filter(|line| line.contains(" # {")).collect();
        assert!(with.len() == 1 && with[0].starts_with(&begin), "{with:?}");
        let at = with[0].strip_prefix(&begin).unwrap();
        assert!(at.parse::<f64>().is_ok_and(|at| at > 1.7e9), "{at}");
        assert!(text.ends_with("\n# EOF\n") && !text.contains("\n\n"));
    }

    #[test]
    fn openmetrics_is_for_scrapers_that_prefer_it() {
        for (accept, wanted) in [
            ("", false),
            ("*/*", false),
            ("text/plain", false),
            ("application/openmetrics-text", true),
            ("application/openmetrics-text; version=1.0.0", true),
            ("application/openmetrics-text; version=2.0.0", false),
            ("application/openmetrics-text; q=0", false),
            ("text/plain, application/openmetrics-text; q=0.5", false),
            // Prometheus 2 and 3.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                true,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                true,
            ),
        ] {
            assert_eq!(is_wanted(accept), wanted, "{accept}");
        }
    }
}
