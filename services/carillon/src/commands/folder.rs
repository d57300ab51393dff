//! The stores in the folder of `carillon dev`, for commands that run beside it. Several processes may open
//! SQLite's files.

use std::path::Path;

use crate::config::Config;

/// Whether to use the folder's stores: the configuration names none, and the folder has them.
pub(super) fn is_meant(config: &Config, folder: &Path) -> bool {
    config.database.url.is_none() && !config.is_distributed() && folder.join("store.db").exists()
}

/// Sets the folder's stores in the configuration, if they are to be used.
pub(super) fn complete(mut config: Config, folder: &Path) -> Config {
    if is_meant(&config, folder) {
        config.database.url = Some(format!("sqlite://{}", folder.join("store.db").display()).into());
        config.bus.path = folder.join("bus.db");
    }
    config
}
