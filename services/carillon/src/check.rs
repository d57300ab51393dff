//! The check of a configuration, which `carillon config check` and the start of each role share.

use std::sync::Arc;

use anyhow::Context as _;
use carillon_bus::Bus;
use carillon_domain::{SystemClock, clock::SharedClock};

use crate::{
    config::Config,
    roles::{self, ProcessRole},
};

/// Checks the settings that these roles read, with the files that the settings name. Nothing is connected or opened.
pub(crate) fn of_roles(config: &Config, roles: &[ProcessRole]) -> anyhow::Result<()> {
    config.validate().context(CANNOT_WORK)?;
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

const CANNOT_WORK: &str = "the configuration cannot work";
