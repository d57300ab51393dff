//! Metrics of a provider account. Handles are made once, so that a send allocates no labels.

use std::time::Duration;

use carillon_domain::Channel;
use carillon_providers::Class;
use metrics::{Counter, Gauge, Histogram};

pub(super) struct Measures {
    took: Histogram,
    /// By the class's number.
    outcomes: [Counter; Class::ALL.len()],
    parked: Gauge,
    paused: Gauge,
}

impl Measures {
    /// The measures of an account that works: its series are there before its first message.
    pub(super) fn new(provider: &str, channel: Channel) -> Self {
        let labels = [
            ("channel", channel.as_str().to_owned()),
            ("provider", provider.to_owned()),
        ];
        let measures = Self {
            took: metrics::histogram!("carillon_send_seconds", &labels),
            outcomes: Class::ALL.map(|class| {
                metrics::counter!("carillon_deliveries_total", "channel" => channel.as_str(),
                    "provider" => provider.to_owned(), "outcome" => class.name())
            }),
            parked: metrics::gauge!("carillon_provider_breaker_open", &labels),
            paused: metrics::gauge!("carillon_provider_paused", &labels),
        };
        measures.state(false, false);
        measures
    }

    pub(super) fn sent(&self, class: Class, took: Duration) {
        self.took.record(took.as_secs_f64());
        self.outcomes[class as usize].increment(1);
    }

    /// Whether the account is parked, and whether it sends nothing now for any reason.
    pub(super) fn state(&self, is_parked: bool, is_paused: bool) {
        self.parked.set(f64::from(u8::from(is_parked)));
        self.paused.set(f64::from(u8::from(is_paused)));
    }
}
