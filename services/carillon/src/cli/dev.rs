//! The options of `carillon dev`, and its data folder.

use std::{net::SocketAddr, path::PathBuf};

use carillon_runtime::config::listen;
use clap::{Args, ValueEnum};

/// The default data folder of `carillon dev`.
pub(crate) const DATA_DIR: &str = "carillon-data";

/// Parses a data folder, which need not exist yet.
pub(super) fn data_dir(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if text.is_empty() || (path.exists() && !path.is_dir()) {
        return Err("expected a folder".to_owned());
    }
    Ok(path)
}

/// The places of `dev`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DevArgs {
    /// The folder for all data.
    #[arg(long, default_value = DATA_DIR, value_parser = data_dir)]
    pub(crate) data_dir: PathBuf,
    /// The address of API and dashboard.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "HOST:PORT", value_parser = listen::parse)]
    pub(crate) listen: SocketAddr,
    /// The address of the simulator's API and page.
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "HOST:PORT", value_parser = listen::parse)]
    pub(crate) simulator_listen: SocketAddr,
    /// Print one JSON line when ready.
    #[arg(long)]
    pub(crate) json: bool,
    /// Leave out a role; its work waits. May be repeated.
    #[arg(long, value_name = "ROLE")]
    pub(crate) without: Vec<Without>,
}

/// A role that `dev` can run without for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Without {
    Router,
    Worker,
    Tracker,
    Scheduler,
}

impl Default for DevArgs {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from(DATA_DIR),
            listen: ([127, 0, 0, 1], 8080).into(),
            simulator_listen: ([127, 0, 0, 1], 8081).into(),
            json: false,
            without: Vec::new(),
        }
    }
}
