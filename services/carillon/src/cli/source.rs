//! The commands of sources.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use carillon_domain::duration_text;
use carillon_runtime::{Secret, config::listen};
use carillon_sources::outbox::TableName;
use clap::{Args, Subcommand};

use super::{
    Remote,
    dev::{DATA_DIR, data_dir},
    examples, url,
};

/// Parses the interval of polling.
fn interval(text: &str) -> Result<Duration, String> {
    let range = Duration::from_millis(100)..=Duration::from_hours(1);
    let interval = duration_text::parse(text).filter(|interval| range.contains(interval));
    interval.ok_or_else(|| "expected a duration of 100ms to 1h, such as 5s".to_owned())
}

/// Parses a secret.
#[expect(clippy::unnecessary_wraps, reason = "clap's form of a parser")]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::from(text))
}

#[derive(Debug, Subcommand)]
pub(crate) enum SourceCommand {
    /// Try the rules of a catalog folder on records of a file, and print the events. Nothing is connected to.
    #[command(after_help = examples::SOURCE_TRY)]
    Try {
        /// The catalog folder.
        folder: PathBuf,
        /// The file: a record a line, as Kafka's console tools write them. A line is a value; or a key and a value, or headers,
        /// a key and a value, with a tab between. NULL is the value of a tombstone. - reads standard input.
        file: PathBuf,
        /// The topic whose rules are tried.
        #[arg(long)]
        topic: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Post the rows of a table in your own PostgreSQL database to a gateway as events, until a signal.
    #[command(after_help = examples::SOURCE_OUTBOX)]
    Outbox(OutboxArgs),
}

/// The table of an outbox, and the gateway.
#[derive(Debug, Args)]
pub(crate) struct OutboxArgs {
    /// The database with the table, postgres://…. A secret is safer in the environment than on the command line.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = secret, required_unless_present = "ddl")]
    pub(crate) database_url: Option<Secret>,
    /// The table, with or without its schema.
    #[arg(long, default_value = "carillon_outbox", value_name = "[SCHEMA.]TABLE")]
    pub(crate) table: TableName,
    /// Print the statements that create the table, and end.
    #[arg(long)]
    pub(crate) ddl: bool,
    /// The interval at which the table is looked at if no notification comes.
    #[arg(long, default_value = "5s", value_name = "DURATION", value_parser = interval)]
    pub(crate) poll_interval: Duration,
    /// The address at which health and metrics are served; by default they are not.
    #[arg(long, value_name = "HOST:PORT", value_parser = listen::parse)]
    pub(crate) listen: Option<SocketAddr>,
    /// The gateway's address; by default that of the `carillon dev` running in the data folder.
    #[arg(long, env = "CARILLON_URL", value_parser = url)]
    pub(crate) url: Option<String>,
    /// An API key with the role operator; by default the data folder's, which is sent only to that folder's `carillon dev`.
    #[arg(long, visible_alias = "key", env = "CARILLON_API_KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,
    /// The data folder of `carillon dev`.
    #[arg(long, default_value = DATA_DIR, value_parser = data_dir)]
    pub(crate) data_dir: PathBuf,
}

impl OutboxArgs {
    /// The gateway.
    pub(crate) fn remote(&self) -> Remote {
        Remote {
            url: self.url.clone(),
            api_key: self.api_key.clone(),
            data_dir: self.data_dir.clone(),
            json: false,
        }
    }
}
