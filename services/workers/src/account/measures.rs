//! Metrics of a provider account. Handles are made once, so that a send allocates no labels.

use std::time::Duration;

use carillon_domain::Channel;
use carillon_providers::Class;
use metrics::{Counter, Gauge, Histogram};

/// The measures of sends.
pub(super) struct SendMeasures {
    took: Histogram,
    /// By the class's number.
    outcomes: [Counter; Class::ALL.len()],
    retries: Counter,
    retries_held: Counter,
}

/// The measures of a breaker.
pub(super) struct BreakerMeasures {
    parked: Gauge,
    paused: Gauge,
}

fn labels(provider: &str, channel: Channel) -> [(&'static str, String); 2] {
    [
        ("channel", channel.as_str().to_owned()),
        ("provider", provider.to_owned()),
    ]
}

/// The measure of an account's adaptive limit.
pub(super) fn limit_measure(provider: &str, channel: Channel) -> Gauge {
    metrics::gauge!("carillon_provider_concurrency_limit", &labels(provider, channel))
}

impl SendMeasures {
    pub(super) fn new(provider: &str, channel: Channel) -> Self {
        Self {
            took: metrics::histogram!("carillon_send_seconds", &labels(provider, channel)),
            outcomes: Class::ALL.map(|class| {
                metrics::counter!("carillon_deliveries_total", "channel" => channel.as_str(),
                    "provider" => provider.to_owned(), "outcome" => class.name())
            }),
            retries: metrics::counter!("carillon_provider_retries_total", &labels(provider, channel)),
            retries_held: metrics::counter!(
                "carillon_provider_retries_held_total",
                &labels(provider, channel)
            ),
        }
    }

    /// A retry went out.
    pub(super) fn retried(&self) {
        self.retries.increment(1);
    }

    /// A retry waits for the budget.
    pub(super) fn retry_held(&self) {
        self.retries_held.increment(1);
    }

    pub(super) fn sent(&self, class: Class, took: Duration) {
        self.took.record(took.as_secs_f64());
        self.outcomes[class as usize].increment(1);
    }
}

impl BreakerMeasures {
    /// The measures of an account that works: its series are there before its first message.
    pub(super) fn new(provider: &str, channel: Channel) -> Self {
        let labels = labels(provider, channel);
        let measures = Self {
            parked: metrics::gauge!("carillon_provider_breaker_open", &labels),
            paused: metrics::gauge!("carillon_provider_paused", &labels),
        };
        measures.state(false, false);
        measures
    }

    /// Whether the account is parked, and whether it sends nothing now for any reason.
    pub(super) fn state(&self, is_parked: bool, is_paused: bool) {
        self.parked.set(f64::from(u8::from(is_parked)));
        self.paused.set(f64::from(u8::from(is_paused)));
    }
}
