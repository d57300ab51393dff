//! `carillon source outbox`: rows of a customer's table become events.

use anyhow::Context as _;
use carillon_runtime::{
    Lifecycle, Secret, Shutdown,
    http::{self, ClientOptions, Readiness},
    telemetry,
};
use carillon_sources::outbox::{OutboxConfig, OutboxSource, ddl};
use std::time::Duration;

use crate::{cli::OutboxArgs, config::Config, output, roles};

/// The longest time of a request.
const REQUEST: Duration = Duration::from_secs(30);
/// The lease of rows, which is longer than a request.
const LEASE: Duration = Duration::from_mins(1);

pub(super) async fn run(args: OutboxArgs, config: Config) -> anyhow::Result<()> {
    if args.ddl {
        return output::say(ddl(&args.table).trim_end());
    }
    let telemetry = telemetry::init(&config.telemetry, "carillon-source-outbox")?;
    let target = args.remote().target()?;
    let listener = args
        .listen
        .map(|address| roles::bind(address, "--listen"))
        .transpose()?;
    let shutdown = Shutdown {
        stall_limit: config.shutdown.stall_limit,
        ..Shutdown::default()
    };
    let readiness = Readiness::default();
    let client = http::client(&ClientOptions {
        request_timeout: REQUEST,
        ..ClientOptions::default()
    })?;
    let settings = OutboxConfig {
        database_url: args
            .database_url
            .context("--database-url: expected postgres://…")?,
        table: args.table.clone(),
        gateway: target.url.clone(),
        api_key: Secret::from(target.key),
        poll: args.poll_interval,
        lease: LEASE,
    };
    let outbox = OutboxSource::connect(settings, client, readiness.register("outbox")).await?;
    tracing::info!(table = %args.table, gateway = target.url, "rows of the outbox are posted");
    let mut lifecycle = Lifecycle::new(shutdown.clone(), config.shutdown.grace);
    if let Some(listener) = listener {
        let app = http::operations(readiness, telemetry.metrics());
        let (bounds, shutdown) = (config.http.clone(), shutdown.clone());
        lifecycle.spawn("http", async move {
            Ok(http::serve(listener, app, bounds, shutdown).await?)
        });
    }
    lifecycle.spawn("outbox", async move {
        outbox.run(shutdown).await;
        Ok(())
    });
    let ended = lifecycle.run().await;
    telemetry.finish();
    Ok(ended?)
}
