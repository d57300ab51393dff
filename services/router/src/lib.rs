//! The router: `notifications.events` → decisions → `notifications.<channel>`, in one atomic step.
//!
//! A batch passes through small stages: [`inbound`] reads each record as an event, [`claim`] separates first events
//! from repeated ones, [`decide`] loads the facts and decides, [`output`] writes the resulting records. The last step
//! commits output and offsets together.

mod alone;
mod apart;
mod claim;
mod config;
mod decide;
mod held;
mod incoming;
mod limits;
mod members;
mod origin;
mod output;
mod parts;
mod reason;
mod releases;
mod route;
mod taken;
mod waits;

use std::{convert::Infallible, sync::Arc, time::Duration};

pub use carillon_bus::Refused;
use carillon_bus::{Batch, BatchConsumer, BatchLimits, Bus, BusError, Subscription};
use carillon_domain::{Lane, clock::SharedClock};
use carillon_runtime::{
    Limited, Shutdown, Stall, Stalled,
    http::ReadySwitch,
    panics::{self, Panic, catch},
};
use carillon_store::{Store, StoreError, catalog_cache::CatalogCache, quota::Quotas};

pub use config::RouterConfig;
pub use parts::Outlet;
pub use route::Route;

/// The dependencies of the router.
#[derive(Clone)]
pub struct RouterDeps {
    /// The bus, from which events come and to which deliveries go.
    pub bus: Bus,
    /// Claims and users.
    pub store: Store,
    /// Catalogs in memory.
    pub catalogs: CatalogCache,
    /// The limits.
    pub quotas: Arc<dyn Quotas>,
    /// The clock.
    pub clock: SharedClock,
    /// Set once the router has begun.
    pub ready: ReadySwitch,
    /// Settings.
    pub config: RouterConfig,
}

/// The reason for which a router ended.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// The bus failed for good.
    #[error("the router cannot use the bus")]
    Bus(#[from] BusError),
    /// The database failed.
    #[error("the router cannot use the database")]
    Store(#[from] StoreError),
    /// Events wait until limits can be counted.
    #[error("limits cannot be counted")]
    LimitsAway,
    /// A batch made the code panic.
    #[error("{0}")]
    Panicked(Panic),
    /// No batch has succeeded for longer than the stall limit.
    #[error("the router makes no progress")]
    Stalled(#[from] Stalled),
}

impl RouterError {
    /// Whether the same batch may pass later.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Bus(error) => error.is_retriable(),
            // The database may accept the same batch later: records that it would always refuse are routed apart and
            // become dead letters.
            Self::Store(_) | Self::Panicked(_) | Self::LimitsAway => true,
            Self::Stalled(_) => false,
        }
    }

    /// Whether the error is a refusal of a record for its size that was not known before.
    fn teaches(&self, refused: &mut Refused) -> bool {
        matches!(self, Self::Bus(error) if refused.learns_from(error))
    }

    /// Whether a single record of the batch may be the cause, so that the records must be routed one by one.
    fn is_of_one(&self) -> bool {
        match self {
            Self::Panicked(_) => true,
            Self::Store(error) => error.refuses_data(),
            Self::Bus(_) | Self::Stalled(_) | Self::LimitsAway => false,
        }
    }
}

/// The router's consumer group.
#[must_use]
pub fn group(bus: &Bus) -> String {
    bus.topics().group("router")
}

/// The source of a consumer's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Lane(Lane),
    /// Events that wait until limits can be counted.
    Held,
}

impl Source {
    fn topic(self, bus: &Bus) -> Arc<str> {
        match self {
            Self::Lane(lane) => bus.topics().events(lane),
            Self::Held => bus.topics().scheduled(),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Lane(lane) => lane.as_str(),
            Self::Held => "held",
        }
    }

    /// The limits of a batch. Batches of a campaign are smaller, because a one-time password may have to wait while
    /// one is written.
    const fn limits(self) -> BatchLimits {
        BatchLimits {
            max_records: match self {
                Self::Lane(Lane::High | Lane::Normal) => 500,
                Self::Lane(Lane::Bulk) | Self::Held => 100,
            },
            max_bytes: 4 << 20,
            linger: Duration::ZERO,
        }
    }
}

/// The number of records in a batch at which the router counts as having fallen behind.
const BEHIND: usize = 100;

/// Pauses between two tries of a batch that failed.
const BACKOFF: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// Routes all lanes and the held events, each in its own task, until the shutdown.
pub async fn run(deps: RouterDeps, shutdown: Shutdown) -> Result<(), RouterError> {
    let sources = Lane::ALL.map(Source::Lane).into_iter().chain([Source::Held]);
    let lanes = sources.map(|source| run_source(deps.clone(), source, shutdown.clone()));
    // The lag reporter ends at shutdown and cannot see lane failures, so only the end of the lanes is awaited.
    let lag = async {
        deps.bus
            .report_lag(group(&deps.bus), deps.ready.clone(), shutdown.clone())
            .await;
        std::future::pending::<Infallible>().await
    };
    deps.ready.ready();
    let ended = tokio::select! {
        lanes = futures::future::try_join_all(lanes) => lanes.map(drop),
        never = lag => match never {},
    };
    deps.ready.not_ready("the role has ended");
    ended
}

/// Routes one source until the shutdown. A batch that fails is read again; no record is skipped.
async fn run_source(deps: RouterDeps, source: Source, shutdown: Shutdown) -> Result<(), RouterError> {
    let subscription = Subscription {
        group: group(&deps.bus),
        topics: vec![source.topic(&deps.bus)],
    };
    let mut consumer = deps.bus.subscribe(&subscription)?;
    let route = match source {
        Source::Lane(_) => Route::new(deps),
        Source::Held => Route::of_held(deps),
    };
    let (limits, lane) = (source.limits(), source.as_str());
    let (mut failures, mut refused) = (0, Refused::default());
    let mut stall = Stall::new(panics::role(), "routing", shutdown.stall_limit);
    let complaints = Limited::default();
    // Whether the next batch is routed record by record.
    let mut apart = false;
    let mut ending = false;
    while !ending {
        let batch = tokio::select! {
            batch = consumer.next(&limits) => batch.map(Some),
            () = shutdown.soft() => {
                ending = true;
                Ok(None)
            }
        };
        // A step that was begun is always awaited. An abandoned commit could end after the partition's next owner has
        // begun to read.
        let step = async {
            match batch? {
                Some(mut batch) => {
                    if source == Source::Held {
                        // The topic also carries records for the scheduler.
                        batch.records.retain(held::is_held);
                        batch.records = batch.records.into_iter().map(held::restore).collect();
                    }
                    one_batch(&route, &mut consumer, &batch, &mut refused, apart).await
                }
                None => Ok(consumer.settle().await?),
            }
        };
        let step = tokio::select! {
            step = step => step,
            () = shutdown.hard() => return Ok(()),
        };
        match step {
            Ok(()) => {
                (failures, apart) = (0, false);
                stall.succeeded();
            }
            // The records that were not committed are left to the next owner.
            Err(error) if error.is_retriable() && ending => {
                tracing::warn!(%lane, error = &error as &dyn std::error::Error, "the last batch was not committed; another member reads it");
            }
            // A record was refused for its size. It is recognised when it is read again.
            Err(error) if error.teaches(&mut refused) || error.is_retriable() => {
                let pause = BACKOFF[failures.min(BACKOFF.len() - 1)];
                failures += 1;
                metrics::counter!("carillon_router_retries_total", "lane" => lane).increment(1);
                apart = error.is_of_one();
                // Limits that cannot be counted are the fault of an absent dependency, which `limits.rs` logs. The
                // role waits for it and does not end.
                if !matches!(error, RouterError::LimitsAway) {
                    if let Some(left_out) = complaints.admit("again") {
                        tracing::warn!(%lane, error = &error as &dyn std::error::Error, left_out, "a batch is read again");
                    }
                    stall.failed(&error)?;
                }
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = shutdown.soft() => return Ok(()),
                }
                match consumer.rewind().await {
                    // The consumer rewinds before its next record. A change of the assignment may have to be handled
                    // first, which only a read can do.
                    Err(error) if error.is_retriable() => {
                        tracing::warn!(%lane, %error, "the consumer was not rewound yet; trying again");
                    }
                    rewound => rewound?,
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn one_batch(
    route: &Route,
    consumer: &mut BatchConsumer,
    batch: &Batch,
    refused: &mut Refused,
    apart: bool,
) -> Result<(), RouterError> {
    let last = if apart {
        route.route_apart(&batch.records, consumer, refused).await?
    } else {
        catch(panics::role(), route.route(&batch.records, consumer, refused))
            .await
            .map_err(RouterError::Panicked)??
    };
    consumer.begin_commit_with(batch, last).await?;
    // A router that has fallen behind decides the next batch while this one is committed. Otherwise the next batch
    // would be small and would have to wait for this commit.
    if batch.records.len() < BEHIND {
        consumer.settle().await?;
    }
    refused.committed();
    metrics::counter!("carillon_events_routed_total").increment(batch.records.len() as u64);
    Ok(())
}
