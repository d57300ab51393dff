//! What `carillon dev` keeps in its folder, for commands that work beside it: SQLite's files may be opened by several
//! processes.

use std::path::Path;

use crate::config::Config;

/// Whether the configuration names no stores and the folder has them: then they are meant.
pub(super) fn is_meant(config: &Config, folder: &Path) -> bool {
    config.database.url.is_none() && !config.is_distributed() && folder.join("store.db").exists()
}

/// Names the folder's stores where they are meant.
pub(super) fn complete(mut config: Config, folder: &Path) -> Config {
    if is_meant(&config, folder) {
        config.database.url = Some(format!("sqlite://{}", folder.join("store.db").display()).into());
        config.bus.path = folder.join("bus.db");
    }
    config
}
