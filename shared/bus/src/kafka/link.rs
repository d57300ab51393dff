//! A librdkafka consumer and the thread that polls it.

use std::sync::{Arc, atomic::Ordering, mpsc};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{
    callbacks::Callbacks,
    classify,
    client::{self, MemberConfig},
    exchange::{PollerConfig, PollerEvent, Seek, Shared},
    fetching::Fetching,
    poller,
};
use crate::error::BusError;

/// A consumer with its thread and channels. Dropping it leaves the group: the thread ends and drops the consumer.
pub(super) struct ConsumerLink {
    pub(super) consumer: Arc<BaseConsumer<Callbacks>>,
    pub(super) shared: Arc<Shared>,
    pub(super) events: UnboundedReceiver<PollerEvent>,
    pub(super) seeks: mpsc::Sender<Seek>,
}

impl ConsumerLink {
    /// A new consumer. `fetching` watches whether it reads its partitions.
    pub(super) fn new(
        base: &ClientConfig,
        membership: &MemberConfig,
        fetching: Fetching,
    ) -> Result<Self, BusError> {
        let MemberConfig { group, topics, .. } = membership;
        let shared = Arc::new(Shared::new(fetching));
        let (sender, events) = unbounded_channel();
        let callbacks = || Callbacks {
            shared: Arc::clone(&shared),
            events: sender.clone(),
        };
        let consumer: BaseConsumer<Callbacks> = client::consumer(base, membership)
            .create_with_context(callbacks())
            .map_err(classify)?;
        let names: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
        consumer.subscribe(&names).map_err(classify)?;
        let consumer = Arc::new(consumer);
        let (polled, callbacks) = (Arc::clone(&consumer), callbacks());
        let config = PollerConfig {
            base: base.clone(),
            group: group.clone(),
            topics: topics.clone(),
        };
        let (seeks, asked) = mpsc::channel();
        std::thread::Builder::new()
            .name(format!("poll {group}"))
            .spawn(move || poller::run(&polled, &callbacks, &asked, &config))
            .map_err(|error| BusError::Unavailable(error.to_string()))?;
        Ok(Self {
            consumer,
            shared,
            events,
            seeks,
        })
    }

    /// Whether the client has to be replaced, so that no further event will come.
    pub(super) fn is_lost(&self) -> bool {
        self.shared.loss().is_some()
    }
}

impl Drop for ConsumerLink {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
    }
}
