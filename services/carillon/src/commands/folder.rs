//! The stores in the folder of `carillon dev`, for commands that run beside it. Several processes may open SQLite's
//! files.

use std::path::Path;

use anyhow::{bail, ensure};
use carillon_store::DatabaseUrl;

use crate::{
    cli::{DATA_DIR, Stores},
    config::Config,
    dev,
};

/// The folder whose stores are used: the one of `--data-dir`, or `carillon-data` if it has stores and the
/// configuration names none.
pub(super) fn chosen<'a>(config: &Config, stores: &'a Stores) -> anyhow::Result<Option<&'a Path>> {
    let has_stores = |folder: &Path| folder.join("store.db").exists();
    let Some(folder) = stores.data_dir.as_deref() else {
        let folder = Path::new(DATA_DIR);
        let is_meant = config.database.url.is_none() && !config.is_distributed() && has_stores(folder);
        return Ok(is_meant.then_some(folder));
    };
    ensure!(
        has_stores(folder),
        "--data-dir: expected the data folder of a carillon dev, not {}, in which there is no store.db",
        folder.display()
    );
    Ok(Some(folder))
}

/// The configuration with a folder's stores, and the key with which the addresses in them are hashed.
pub(super) fn within(mut config: Config, folder: &Path) -> anyhow::Result<Config> {
    config.database.url = Some(DatabaseUrl::sqlite(&folder.join("store.db")));
    config.bus.path = folder.join("bus.db");
    config.kafka.brokers.clear();
    config.redis.url = None;
    if let Some(key) = dev::address_key(folder)? {
        config.security.address_key = Some(key);
    }
    Ok(config)
}

/// The configuration with the stores that a command opens.
pub(super) fn configured(config: Config, stores: &Stores) -> anyhow::Result<Config> {
    match chosen(&config, stores)? {
        Some(folder) => within(config, folder),
        None if names_no_stores(&config) => bail!("{}", no_stores()),
        None => Ok(config),
    }
}

/// Whether the configuration names no stores: no database, no brokers, and only the default path of the embedded log.
pub(super) fn names_no_stores(config: &Config) -> bool {
    config.database.url.is_none() && !config.is_distributed() && config.bus.path == Config::default().bus.path
}

/// The error of a command for which neither a data folder nor the configuration names stores.
pub(super) fn no_stores() -> String {
    format!(
        "there is no data folder {DATA_DIR} here, and the configuration names no stores: start `carillon dev` first, name its \
         folder with --data-dir, or set database.url and kafka.brokers (CARILLON_DATABASE__URL, CARILLON_KAFKA__BROKERS)"
    )
}
