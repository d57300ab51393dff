//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use carillon_domain::Channel;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Carillon delivers notifications.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    /// The configuration file (also CARILLON_CONFIG); `carillon.toml` in this folder if there is one.
    #[arg(long, global = true, env = "CARILLON_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Set one key of the configuration, such as `http.listen=127.0.0.1:9000`; may be repeated.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) set: Vec<(String, String)>,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything in this process, with embedded storage, the provider simulator and the sample shop (the default).
    Dev(DevArgs),
    /// Every role in this process, against external services.
    All,
    /// The HTTP edge.
    Gateway,
    /// Events to decisions.
    Router,
    /// One channel's deliveries.
    Worker {
        /// Which channel.
        #[arg(long)]
        channel: ChannelArg,
    },
    /// Rendering over HTTP.
    Templates,
    /// Statuses to the read model, and the auditor.
    Tracker,
    /// The provider simulator.
    Simulator,
    /// Post an event.
    Send(SendArgs),
    /// Events.
    #[command(subcommand)]
    Events(EventsCommand),
    /// Deliveries.
    #[command(subcommand)]
    Deliveries(DeliveriesCommand),
    /// Dead letters.
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// The catalog folder: event types, categories, templates.
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// API keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Topics.
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// The read model.
    #[command(subcommand, name = "read-model")]
    ReadModel(ReadModelCommand),
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check each dependency and say what is wrong.
    Doctor {
        /// Machine-readable.
        #[arg(long)]
        json: bool,
    },
}

/// Where `dev` lives.
#[derive(Debug, Clone, Args)]
pub(crate) struct DevArgs {
    /// Everything that is kept.
    #[arg(long, default_value = "carillon-data")]
    pub(crate) data_dir: PathBuf,
    /// API and dashboard.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// The simulator's API and page.
    #[arg(long, default_value = "127.0.0.1:8081")]
    pub(crate) simulator_listen: SocketAddr,
    /// Print one JSON line when ready.
    #[arg(long)]
    pub(crate) json: bool,
    /// Leave a role out; what it would work on waits for it. May be repeated.
    #[arg(long, value_name = "ROLE")]
    pub(crate) without: Vec<Without>,
}

/// A role that `dev` can do without for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Without {
    Router,
    Worker,
    Tracker,
}

impl Default for DevArgs {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("carillon-data"),
            listen: ([127, 0, 0, 1], 8080).into(),
            simulator_listen: ([127, 0, 0, 1], 8081).into(),
            json: false,
            without: Vec::new(),
        }
    }
}

/// A channel's name.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ChannelArg {
    Push,
    Email,
    Sms,
}

impl From<ChannelArg> for Channel {
    fn from(channel: ChannelArg) -> Self {
        match channel {
            ChannelArg::Push => Self::Push,
            ChannelArg::Email => Self::Email,
            ChannelArg::Sms => Self::Sms,
        }
    }
}

/// Which gateway to speak to.
#[derive(Debug, Clone, Args)]
pub(crate) struct Remote {
    /// The gateway.
    #[arg(long, env = "CARILLON_URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,
    /// An API key; without one, that of `carillon dev` in this folder.
    #[arg(long, env = "CARILLON_API_KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,
    /// Machine-readable.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(crate) remote: Remote,
    /// The event's type.
    #[arg(long = "type", required_unless_present = "file")]
    pub(crate) event_type: Option<String>,
    /// A recipient's user id; may be repeated.
    #[arg(long = "user")]
    pub(crate) users: Vec<String>,
    /// The data, a JSON object.
    #[arg(long, default_value = "{}")]
    pub(crate) data: String,
    /// The event's id.
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// `high`, `normal` or `bulk`.
    #[arg(long)]
    pub(crate) priority: Option<String>,
    /// A whole event, or a list of events, as JSON; `-` is standard input.
    #[arg(long, conflicts_with_all = ["event_type", "users", "id", "priority"])]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// An event with its decisions and deliveries.
    Get {
        /// Its id.
        id: String,
        /// Its source, where several sources use the id.
        #[arg(long)]
        source: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeliveriesCommand {
    /// Deliveries, newest first.
    List {
        /// Filters by status; may be repeated.
        #[arg(long)]
        status: Vec<String>,
        /// Filters by channel; may be repeated.
        #[arg(long)]
        channel: Vec<String>,
        /// Filters by user; may be repeated.
        #[arg(long)]
        user: Vec<String>,
        /// Filters by event type; may be repeated.
        #[arg(long = "type")]
        event_type: Vec<String>,
        /// How many, at most 500.
        #[arg(long, default_value_t = 50)]
        limit: u16,
        #[command(flatten)]
        remote: Remote,
    },
    /// A delivery with its timeline.
    Get {
        /// Its id.
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// Dead letters, newest first.
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// A dead letter.
    Show {
        /// Its id.
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CatalogCommand {
    /// Check a folder and write it to the database; what has not changed stays as it is.
    Apply {
        /// The folder.
        folder: PathBuf,
        /// Whose.
        #[arg(long, default_value = "default")]
        tenant: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key; its secret is shown once.
    Create {
        /// What for.
        name: String,
        /// `viewer`, `operator` or `admin`.
        #[arg(long, default_value = "operator")]
        role: String,
        /// Whose.
        #[arg(long, default_value = "default")]
        tenant: String,
        /// Machine-readable.
        #[arg(long)]
        json: bool,
    },
    /// A tenant's keys.
    List {
        /// Whose.
        #[arg(long, default_value = "default")]
        tenant: String,
        /// Machine-readable.
        #[arg(long)]
        json: bool,
    },
    /// End a key.
    Revoke {
        /// Its id.
        id: String,
        /// Whose.
        #[arg(long, default_value = "default")]
        tenant: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Make the topics that are not there yet.
    Create,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReadModelCommand {
    /// Forget the read model; the tracker builds it anew from the status topic when it starts. Stop it first.
    Rebuild,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Validate, and print the effective configuration with secrets hidden.
    Check,
}
