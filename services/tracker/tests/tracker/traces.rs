//! The tracker's spans.

use std::time::Duration;

use carillon_bus::headers;
use carillon_testkit::spans::{Spans, attribute};

use crate::{statuses::routed, support::on_tracker};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OTHER: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test]
async fn a_batch_of_statuses_continues_a_trace_and_is_linked_to_the_others_and_audits_are_traced() {
    on_tracker(async |setting| {
        let spans = Spans::of_this_thread();
        let record = |event, trace: &str| {
            let traceparent = format!("00-{trace}-00f067aa0ba902b7-01");
            setting
                .record(&routed(event))
                .with(headers::TRACEPARENT, traceparent)
        };
        let records = vec![record(1, TRACE), record(2, OTHER), record(3, TRACE)];
        let written = setting.publish(records).await;
        let tracker = setting.start();
        setting.caught_up(&written).await;
        carillon_testkit::wait_for("an audit", Duration::from_secs(20), || async {
            !spans.named("audit").is_empty()
        })
        .await;
        tracker.end().await;

        let batches = spans.named("project");
        let traces: Vec<String> = batches
            .iter()
            .flat_map(|span| {
                let links = span.links.iter().map(|link| link.span_context.trace_id());
                [span.span_context.trace_id()].into_iter().chain(links)
            })
            .map(|trace| trace.to_string())
            .collect();
        for trace in [TRACE, OTHER] {
            assert!(
                traces.iter().any(|seen| seen == trace),
                "{trace} is not in {traces:?}"
            );
        }
        let counts = batches
            .iter()
            .map(|span| attribute(span, "messaging.batch.message_count"));
        assert_eq!(counts.map(|count| count.parse::<u32>().unwrap()).sum::<u32>(), 3);
        for batch in &batches {
            assert_eq!(attribute(batch, "messaging.operation.type"), "process");
            assert_eq!(
                attribute(batch, "messaging.destination.name"),
                &*setting.env.bus.topics().status()
            );
        }
        let audit = &spans.named("audit")[0];
        assert_ne!(attribute(audit, "carillon.events_difference"), "");
    })
    .await;
}
