//! Channel workers: one consumer group for each channel, one common deliver stage, one [`Sender`] for each provider.

mod account;
mod attempt;
mod channels;
mod config;
mod deliver;
mod exchange;
mod hold;
mod policy;
mod routes;
mod sender;
mod senders;

use std::{convert::Infallible, sync::Arc, time::Duration};

use carillon_bus::{Bus, BusError, Handler, ParallelOptions, Subscription};
use carillon_domain::{Channel, Lane, clock::SharedClock, unsubscribe::UnsubscribeLinks};
use carillon_providers::ReferenceKey;
use carillon_render::Renderer;
use carillon_runtime::{Limited, Shutdown, Stalled, http::ReadySwitch, panics};
use carillon_store::{Store, breakers::Breakers};

pub use account::Account;
pub use channels::{ChannelConfig, ChannelsConfig, RouteConfig};
pub use config::{AccountConfig, Tuning, WorkersConfig};
pub use routes::Routes;
pub use sender::Sender;
pub use senders::{
    AccountError, ApnsSender, FcmSender, HttpSender, Lookup, OpenError, SmtpSender, SystemLookup,
    WebhookSender, accounts, unusable_accounts,
};

/// The most deliveries in one call of the deliver stage. Larger batches would delay those of another lane.
const MAX_BATCH: usize = 64;

/// The dependencies of a channel's worker.
#[derive(Clone)]
pub struct WorkerDeps {
    /// The bus, from which deliveries come.
    pub bus: Bus,
    /// The store of the send ledger and of addresses.
    pub store: Store,
    /// Renders messages.
    pub renderer: Arc<dyn Renderer>,
    /// The clock.
    pub clock: SharedClock,
    /// The channel's provider accounts, first choice first.
    pub accounts: Vec<Arc<Account>>,
    /// The routes, by which each message gets its accounts.
    pub routes: Routes,
    /// The state of the accounts' breakers that all workers share.
    pub breakers: Arc<dyn Breakers>,
    /// Makes the links by which recipients unsubscribe; `None`: mails have no such link.
    pub links: Option<UnsubscribeLinks>,
    /// The worker's tuning.
    pub config: WorkersConfig,
    /// Whether no other process works on this channel, so that claims of other owners are a dead process's.
    pub only_process: bool,
    /// Set once the worker has begun.
    pub ready: ReadySwitch,
}

/// The reason for which a worker ended.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The bus failed for good.
    #[error("the worker cannot use the bus")]
    Bus(#[from] BusError),
    /// A call for a delivery can never succeed, or has failed for longer than the stall limit.
    #[error("a delivery makes no progress")]
    Stalled(#[from] Stalled),
    /// The channel has no provider account.
    #[error("no provider is configured for {0}")]
    NoProvider(Channel),
}

/// A channel's consumer group.
#[must_use]
pub fn group(bus: &Bus, channel: Channel) -> String {
    bus.topics().group(&format!("{channel}.worker"))
}

/// Delivers a channel until the shutdown. Each lane has consumers and concurrency of its own, so that a long campaign
/// never delays a one-time password.
pub async fn run(deps: WorkerDeps, channel: Channel, shutdown: Shutdown) -> Result<(), WorkerError> {
    if deps.accounts.is_empty() {
        return Err(WorkerError::NoProvider(channel));
    }
    let group = group(&deps.bus, channel);
    let (ended, attempts) = deliver::EndedAttempts::queues();
    let (over, mut stalled) = tokio::sync::mpsc::unbounded_channel();
    let deliver = Arc::new(deliver::Deliver {
        channel,
        bus: deps.bus.clone(),
        store: deps.store.clone(),
        renderer: Arc::clone(&deps.renderer),
        clock: Arc::clone(&deps.clock),
        accounts: deps.accounts.clone(),
        routes: deps.routes.clone(),
        reference_key: ReferenceKey::of(deps.store.address_key()),
        links: deps.links.clone(),
        owners: deliver::Owners::default(),
        others_are_dead: deps.only_process,
        lease: deps.config.lease,
        longest_back_off: deps.config.longest_back_off,
        give_up_after: deps.config.give_up_after,
        group: group.clone(),
        at_work: deliver::AtWork::default(),
        ended,
        patience: deliver::Patience {
            role: panics::role(),
            limit: shutdown.stall_limit,
            over,
            complaints: Limited::default(),
        },
        warned: Limited::default(),
        shutdown: shutdown.clone(),
    });
    let handler: Arc<dyn Handler> = Arc::<deliver::Deliver>::clone(&deliver);
    let lanes = members(&deps.bus, &deps.config, channel).map(|(topics, max_in_flight)| {
        let group = group.clone();
        let subscription = Subscription { group, topics };
        let (bus, handler, shutdown) = (deps.bus.clone(), Arc::clone(&handler), shutdown.clone());
        let options = options(&deps.config, max_in_flight);
        async move { bus.run_parallel(&subscription, options, handler, shutdown).await }
    });
    // The lag reporter ends at shutdown and cannot see lane failures, so only the end of the lanes is awaited.
    let lag = async {
        deps.bus
            .report_lag(group.clone(), deps.ready.clone(), shutdown.clone())
            .await;
        std::future::pending::<Infallible>().await
    };
    hold::resume(&deps, channel, &shutdown).await;
    let sharing = account::Sharing::new(Arc::clone(&deps.breakers), channel);
    for account in &deps.accounts {
        account.breaker.share(&sharing);
    }
    exchange::exchange(&deps.accounts, &sharing).await;
    let mut reporter = hold::Reporter::new(&deps, channel);
    let complaints = reporter.run();
    deps.ready.ready();
    // The conclusion of attempts does not end by itself either, because the handler holds its sender.
    let conclude = async {
        let lanes = attempts.map(|(lane, ended)| deliver.conclude_all(lane, ended));
        futures::future::join_all(lanes).await;
        std::future::pending::<Infallible>().await
    };
    let ended = tokio::select! {
        lanes = futures::future::try_join_all(lanes) => lanes.map(drop).map_err(WorkerError::from),
        Some(stalled) = stalled.recv() => Err(stalled.into()),
        never = lag => match never {},
        never = complaints => match never {},
        never = deliver.revoke_all() => match never {},
        never = exchange::run(&deps.accounts, &sharing) => match never {},
        never = conclude => match never {},
    };
    // The next process continues with the holds of this one.
    reporter.report().await;
    deps.ready.not_ready("the role has ended");
    ended
}

/// The members of the group in one process: the topics of each, and the records that it has in flight at most. The retry topics,
/// which the high and the normal lane share, have members of their own: a group balances the number of partitions over its
/// members and does not look at their topics, so a later worker's member of both kinds could get partitions of retry
/// topics only, and would take nothing off the lane.
fn members(
    bus: &Bus,
    config: &WorkersConfig,
    channel: Channel,
) -> impl Iterator<Item = (Vec<Arc<str>>, usize)> {
    let lane = |lane| vec![bus.topics().channel(channel, lane)];
    let retries = |lane| bus.topics().retries(channel, lane);
    [
        (lane(Lane::High), config.high_in_flight),
        (lane(Lane::Normal), config.normal_in_flight),
        (lane(Lane::Bulk), config.bulk_in_flight),
        (retries(Lane::Normal), config.normal_in_flight),
        (retries(Lane::Bulk), config.bulk_in_flight),
    ]
    .into_iter()
}

fn options(config: &WorkersConfig, max_in_flight: usize) -> ParallelOptions {
    // A revocation does not wait for records in hand longer than a claim's lease.
    let drain_timeout = config.lease.min(Duration::from_secs(5));
    ParallelOptions {
        max_in_flight,
        max_batch: MAX_BATCH,
        drain_timeout,
        ..ParallelOptions::default()
    }
}
