//! Sources: records of other systems' topics become events, by the rules of the catalog; and so do rows of an outbox table
//! ([`outbox`]).
//!
//! Each topic has a task and a consumer group of its own. A batch is converted by [`convert`], and its events are
//! committed together with its offsets, so a record is converted once, even if the process is killed. A topic that cannot be read
//! is tried again and named at `/readyz`; it never ends the role that runs beside it.

mod config;
mod convert;
pub mod outbox;
mod reader;

use std::convert::Infallible;

use carillon_bus::{Bus, BusError};
use carillon_domain::clock::SharedClock;
use carillon_runtime::{Shutdown, http::ReadySwitch};
use carillon_store::{StoreError, catalog_cache::CatalogCache};

pub use config::{SourceTopic, SourcesConfig};

/// The dependencies of the sources.
#[derive(Clone)]
pub struct SourcesDeps {
    /// The bus, with the topics that are read.
    pub bus: Bus,
    /// Catalogs in memory, which have the rules.
    pub catalogs: CatalogCache,
    /// The clock.
    pub clock: SharedClock,
    /// Set once reading has begun; its notes name the topics that are not read.
    pub ready: ReadySwitch,
    /// Settings.
    pub config: SourcesConfig,
}

/// The reason for which a topic is not read at present.
#[derive(Debug, thiserror::Error)]
enum SourceError {
    #[error("the bus cannot be used")]
    Bus(#[from] BusError),
    #[error("the catalog cannot be read")]
    Store(#[from] StoreError),
}

/// Reads all topics until the shutdown.
pub async fn run(deps: SourcesDeps, shutdown: Shutdown) {
    let topics = deps.config.topics.iter();
    let reading = topics.map(|topic| {
        let reader = reader::SourceReader::new(deps.clone(), topic);
        let shutdown = shutdown.clone();
        async move {
            let lag = async {
                reader.report_lag(shutdown.clone()).await;
                std::future::pending::<Infallible>().await
            };
            tokio::select! {
                () = reader.run(&shutdown) => {}
                never = lag => match never {},
            }
        }
    });
    let reading = futures::future::join_all(reading);
    deps.ready.ready();
    reading.await;
    deps.ready.not_ready("the role has ended");
}
