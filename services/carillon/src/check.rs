//! The check of a configuration, which `carillon config check` and the start of each role share.

use std::{fmt, sync::Arc};

use carillon_bus::Bus;
use carillon_domain::{Channel, SystemClock, clock::SharedClock};
use carillon_runtime::{
    causes,
    config::{Mistake, lines},
};
use carillon_simulator::SimulatorError;
use carillon_store::DatabaseUrl;
use carillon_workers::AccountError;

use crate::{
    config::{Config, Invalid, invalid},
    roles::{self, ProcessRole},
};

/// A configuration as it was read, with all its mistakes.
#[derive(Debug, thiserror::Error)]
pub(crate) struct Mistakes(Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [mistake] = &self.0[..] {
            write!(f, "the configuration is invalid: {mistake}")
        } else {
            f.write_str(&lines(&self.0))
        }
    }
}

/// Checks the rules that involve several settings, for commands that are no role. `unreadable` are the settings that could not
/// be read.
pub(crate) fn of_settings(config: &Config, unreadable: Vec<Mistake>) -> Result<(), Mistakes> {
    told(config.validate(), unreadable, Vec::new())
}

/// Checks the settings that these roles read, with the files that the settings name. Nothing is connected or opened.
pub(crate) fn of_roles(
    config: &Config,
    roles: &[ProcessRole],
    unreadable: Vec<Mistake>,
) -> Result<(), Mistakes> {
    let mut broken = config.validate();
    broken.extend(config.links_rule());
    broken.extend(database(config, roles).err());
    let mut unusable = Vec::new();
    if let Ok(settings) = config.bus_config()
        && let Err(error) = Bus::check_settings(&settings)
    {
        unusable.push(Mistake::new("kafka", causes(&error)));
    }
    let clock: SharedClock = Arc::new(SystemClock);
    for role in roles {
        if let ProcessRole::Worker(channel) = role {
            let accounts =
                carillon_workers::unusable_accounts(&config.providers, &config.channels, *channel, &clock);
            unusable.extend(accounts.iter().map(of_account));
        }
    }
    told(broken, unreadable, unusable)
}

/// Checks the settings of all roles.
pub(crate) fn of_all(config: &Config, unreadable: Vec<Mistake>) -> Result<(), Mistakes> {
    let simulator = config.simulator_config().check();
    let Err(Mistakes(mut mistakes)) = of_roles(config, &roles::ALL, unreadable) else {
        return match simulator {
            Ok(()) => Ok(()),
            Err(error) => Err(Mistakes(vec![of_simulator(&error)])),
        };
    };
    mistakes.extend(simulator.err().as_ref().map(of_simulator));
    Err(Mistakes(mistakes))
}
/// Checks that the roles can share a database. All roles of one process can use SQLite's file, also with Kafka.
fn database(config: &Config, roles: &[ProcessRole]) -> Result<(), Invalid> {
    const EXPECTED: &str = "expected postgres://user:password@host/database";
    if !config.is_distributed() {
        return Ok(());
    }
    let why = match &config.database.url {
        None => "since kafka.brokers is set, but no database is",
        Some(url) if url.is_sqlite() && roles != roles::ALL => {
            "not sqlite://…: SQLite serves one process only, kafka.brokers is set, and this process lacks some roles"
        }
        Some(_) => return Ok(()),
    };
    Err(invalid("database.url", format!("{EXPECTED}, {why}")).given(&["kafka.brokers"]))
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
    if !config.is_distributed() && !config.sources.topics.is_empty() && roles.contains(&ProcessRole::Router) {
        warnings.push(
            "sources.topics: no other system can write to the embedded log, so no records will come; set kafka.brokers"
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

/// All mistakes: settings that could not be read, broken rules, and settings that cannot be used. A rule or a use that
/// involves a setting of an earlier mistake cannot be judged, and is left out.
fn told(broken: Vec<Invalid>, mut mistakes: Vec<Mistake>, unusable: Vec<Mistake>) -> Result<(), Mistakes> {
    let judged = broken
        .into_iter()
        .filter(|rule| !mistakes.iter().any(|mistake| rule.depends_on(mistake)));
    let judged: Vec<Mistake> = judged.map(Mistake::from).collect();
    mistakes.extend(judged);
    for mistake in unusable {
        if !mistakes.iter().any(|earlier| earlier.concerns(mistake.key())) {
            mistakes.push(mistake);
        }
    }
    if mistakes.is_empty() {
        Ok(())
    } else {
        Err(Mistakes(mistakes))
    }
}

fn of_account(error: &AccountError) -> Mistake {
    let key = match error {
        AccountError::Accounts(error) => error.key.clone(),
        AccountError::Setting { account, .. } | AccountError::Client { account, .. } => {
            format!("providers.{account}")
        }
    };
    Mistake::new(key, causes(error))
}

fn of_simulator(error: &SimulatorError) -> Mistake {
    Mistake::new("simulator", causes(error))
}
