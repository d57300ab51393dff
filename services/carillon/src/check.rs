//! The check of a configuration, which `carillon config check` and the start of each role share.

use std::sync::Arc;

use anyhow::Context as _;
use carillon_bus::Bus;
use carillon_domain::{Channel, SystemClock, clock::SharedClock};
use carillon_store::DatabaseUrl;

use crate::{
    config::{Config, Invalid, invalid},
    roles::{self, ProcessRole},
};

/// Checks the settings that these roles read, with the files that the settings name. Nothing is connected or opened.
pub(crate) fn of_roles(config: &Config, roles: &[ProcessRole]) -> anyhow::Result<()> {
    config.validate().context(CANNOT_WORK)?;
    database(config, roles).context(CANNOT_WORK)?;
    Bus::check_settings(&config.bus_config()?).context(CANNOT_WORK)?;
    let clock: SharedClock = Arc::new(SystemClock);
    for role in roles {
        if let ProcessRole::Worker(channel) = role {
            carillon_workers::accounts(&config.providers, &config.channels, *channel, &clock)
                .context(CANNOT_WORK)?;
        }
    }
    Ok(())
}

/// Checks the settings of all roles.
pub(crate) fn of_all(config: &Config) -> anyhow::Result<()> {
    of_roles(config, &roles::ALL)?;
    config.simulator_config().check().context(CANNOT_WORK)
}

/// Checks that the roles can share a database. All roles of one process can use SQLite's file, also with Kafka.
fn database(config: &Config, roles: &[ProcessRole]) -> Result<(), Invalid> {
    const EXPECTED: &str = "expected postgres://user:password@host/database";
    if !config.is_distributed() {
        return Ok(());
    }
    let why = match &config.database.url {
        None => "since kafka.brokers is set, and none is set",
        Some(url) if url.is_sqlite() && roles != roles::ALL => {
            "not sqlite://…: kafka.brokers is set and this process has not all roles, and SQLite serves one process only"
        }
        Some(_) => return Ok(()),
    };
    Err(invalid("database.url", format!("{EXPECTED}, {why}")))
}

/// Warnings about valid settings of these roles that are probably mistakes. Each is a sentence without capital and full
/// stop.
pub(crate) fn warnings(config: &Config, roles: &[ProcessRole]) -> Vec<String> {
    let sends = |channel| roles.contains(&ProcessRole::Worker(channel));
    let mut warnings = Vec::new();
    if sends(Channel::Push) {
        warnings.extend(config.unserved_devices());
    }
    warnings.extend(
        config
            .providers
            .warnings()
            .filter(|(channel, _)| sends(*channel))
            .map(|(_, warning)| warning),
    );
    if config.is_distributed() && config.database.url.as_ref().is_some_and(DatabaseUrl::is_sqlite) {
        warnings.push(
            "database.url: SQLite serves `carillon all`, which has all roles in one process; roles in processes of their own \
             need postgres://…"
                .to_owned(),
        );
    }
    warnings
}

/// Logs the warnings at the start of these roles.
pub(crate) fn warn(config: &Config, roles: &[ProcessRole]) {
    for warning in warnings(config, roles) {
        tracing::warn!("{warning}");
    }
}

const CANNOT_WORK: &str = "the configuration cannot work";
