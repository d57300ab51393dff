//! The command line.

mod examples;

use std::{net::SocketAddr, path::PathBuf};

use carillon_domain::Channel;
use carillon_runtime::config::listen;
use carillon_store::api_keys::Role;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Where `carillon dev` keeps everything.
pub(crate) const DATA_DIR: &str = "carillon-data";

/// Carillon delivers notifications.
#[derive(Debug, Parser)]
#[command(
    version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("BUILD"), ")"),
    about,
    after_help = examples::CARILLON
)]
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

/// A data folder; it need not exist yet.
fn data_dir(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if text.is_empty() || (path.exists() && !path.is_dir()) {
        return Err("expected a folder".to_owned());
    }
    Ok(path)
}

/// A gateway's address.
fn url(text: &str) -> Result<String, String> {
    const EXPECTED: &str =
        "expected an address that begins with http:// or https://, such as http://localhost:8080";
    match reqwest::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(text.to_owned()),
        _ => Err(EXPECTED.to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything in this process, with embedded storage, the provider simulator and the sample shop (the default).
    #[command(after_help = examples::DEV)]
    Dev(DevArgs),
    /// Every role in this process, against external services.
    #[command(after_help = examples::ALL)]
    All,
    /// The HTTP edge.
    #[command(after_help = examples::GATEWAY)]
    Gateway,
    /// Events to decisions.
    #[command(after_help = examples::ROUTER)]
    Router,
    /// One channel's deliveries.
    #[command(after_help = examples::WORKER)]
    Worker {
        /// Which channel.
        #[arg(long)]
        channel: ChannelArg,
    },
    /// Rendering over HTTP.
    #[command(after_help = examples::TEMPLATES)]
    Templates,
    /// Statuses to the read model, and the auditor.
    #[command(after_help = examples::TRACKER)]
    Tracker,
    /// The provider simulator.
    #[command(after_help = examples::SIMULATOR)]
    Simulator,
    /// Post an event.
    #[command(after_help = examples::SEND)]
    Send(SendArgs),
    /// Show an event, the decisions on it and its deliveries.
    #[command(subcommand, after_help = examples::EVENTS)]
    Events(EventsCommand),
    /// List and show deliveries: the messages to single recipients.
    #[command(subcommand, after_help = examples::DELIVERIES)]
    Deliveries(DeliveriesCommand),
    /// List and show dead letters: messages and records on which work has ended without success.
    #[command(subcommand, after_help = examples::DLQ)]
    Dlq(DlqCommand),
    /// Bring a catalog folder into the database: event types, categories, templates.
    #[command(subcommand, after_help = examples::CATALOG)]
    Catalog(CatalogCommand),
    /// Import users from a folder.
    #[command(subcommand, after_help = examples::USERS)]
    Users(UsersCommand),
    /// Make, list and revoke API keys.
    #[command(subcommand, after_help = examples::KEYS)]
    Keys(KeysCommand),
    /// Make the topics of the bus.
    #[command(subcommand, after_help = examples::TOPICS)]
    Topics(TopicsCommand),
    /// Build the read model anew.
    #[command(subcommand, name = "read-model", after_help = examples::READ_MODEL)]
    ReadModel(ReadModelCommand),
    /// Check the configuration.
    #[command(subcommand, after_help = examples::CONFIG)]
    Config(ConfigCommand),
    /// Check each dependency and say what is wrong.
    #[command(after_help = examples::DOCTOR)]
    Doctor {
        /// The process to ask for its readiness; without it, the one that the configuration names, if it runs.
        #[arg(long, env = "CARILLON_URL", value_parser = url)]
        url: Option<String>,
        /// Machine-readable.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        stores: Stores,
    },
    /// Print a script that completes commands and options in a shell.
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// Whether the command is a role: it runs until a signal and writes a log. All other commands print for
    /// people.
    pub(crate) fn is_role(&self) -> bool {
        matches!(
            self,
            Self::Dev(_)
                | Self::All
                | Self::Gateway
                | Self::Router
                | Self::Worker { .. }
                | Self::Templates
                | Self::Tracker
                | Self::Simulator
        )
    }
}

/// Where `dev` lives.
#[derive(Debug, Clone, Args)]
pub(crate) struct DevArgs {
    /// Everything that is kept.
    #[arg(long, default_value = DATA_DIR, value_parser = data_dir)]
    pub(crate) data_dir: PathBuf,
    /// API and dashboard.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "HOST:PORT", value_parser = listen::parse)]
    pub(crate) listen: SocketAddr,
    /// The simulator's API and page.
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "HOST:PORT", value_parser = listen::parse)]
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
            data_dir: PathBuf::from(DATA_DIR),
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

/// Which stores a command opens itself.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Stores {
    /// The data folder of `carillon dev`, whose stores are used instead of those of the configuration. Without
    /// it, `carillon-data` is used if it exists and no database is configured.
    #[arg(long, value_parser = data_dir)]
    pub(crate) data_dir: Option<PathBuf>,
}

/// Which gateway to speak to.
#[derive(Debug, Clone, Args)]
pub(crate) struct Remote {
    /// The gateway; without it, the `carillon dev` that runs in the data folder.
    #[arg(long, env = "CARILLON_URL", value_parser = url)]
    pub(crate) url: Option<String>,
    /// An API key; without one, the data folder's, which is sent to that folder's `carillon dev` alone.
    #[arg(long, visible_alias = "key", env = "CARILLON_API_KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,
    /// The data folder of `carillon dev`.
    #[arg(long, default_value = DATA_DIR, value_parser = data_dir)]
    pub(crate) data_dir: PathBuf,
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
    /// Show an event with its decisions and deliveries.
    #[command(after_help = examples::EVENTS)]
    Get {
        /// Its id.
        id: String,
        /// Its source, where several sources use the id.
        #[arg(long)]
        source: Option<String>,
        /// Show masked values; needs an admin's key, and is noted in the audit log.
        #[arg(long)]
        reveal: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeliveriesCommand {
    /// List deliveries, newest first.
    #[command(after_help = examples::DELIVERIES_LIST)]
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
    /// Show a delivery with its timeline and its message.
    #[command(after_help = examples::DELIVERIES_GET)]
    Get {
        /// Its id.
        id: String,
        /// Show masked values; needs an admin's key, and is noted in the audit log.
        #[arg(long)]
        reveal: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// List dead letters, newest first.
    #[command(after_help = examples::DLQ_LIST)]
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Show a dead letter with its reason and its record.
    #[command(visible_alias = "show", after_help = examples::DLQ_GET)]
    Get {
        /// Its id.
        id: String,
        /// Show the unmasked record; needs an admin's key, and is noted in the audit log.
        #[arg(long)]
        reveal: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CatalogCommand {
    /// Check a folder and write it to the database; what has not changed stays as it is.
    #[command(after_help = examples::CATALOG)]
    Apply {
        /// The folder.
        folder: PathBuf,
        /// Whose.
        #[arg(long, default_value = "default")]
        tenant: String,
        #[command(flatten)]
        stores: Stores,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UsersCommand {
    /// Put the users of a folder into the database; a user that exists stays as it is.
    #[command(after_help = examples::USERS)]
    Import {
        /// A folder of `<user id>.json` files, each with the body of `PUT /v1/users/{id}`.
        folder: PathBuf,
        /// The tenant that the users belong to.
        #[arg(long, default_value = "default")]
        tenant: String,
        #[command(flatten)]
        stores: Stores,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key. Its secret alone goes to standard output, once.
    #[command(after_help = examples::KEYS_CREATE)]
    Create {
        /// What for.
        name: String,
        /// What its holder may do.
        #[arg(long, default_value = "operator")]
        role: RoleArg,
        /// Whose.
        #[arg(long, default_value = "default")]
        tenant: String,
        /// Machine-readable.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        stores: Stores,
    },
    /// List a tenant's keys.
    #[command(after_help = examples::KEYS_LIST)]
    List {
        /// Whose.
        #[arg(long, default_value = "default")]
        tenant: String,
        /// Machine-readable.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        stores: Stores,
    },
    /// Revoke a key.
    #[command(after_help = examples::KEYS_REVOKE)]
    Revoke {
        /// Its id.
        id: String,
        /// Whose.
        #[arg(long, default_value = "default")]
        tenant: String,
        #[command(flatten)]
        stores: Stores,
    },
}

/// A key's role.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleArg {
    /// Looks at everything, with secrets and addresses masked.
    Viewer,
    /// Also posts events, replays dead letters and edits users.
    Operator,
    /// May do everything, keys included.
    Admin,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Viewer => Self::Viewer,
            RoleArg::Operator => Self::Operator,
            RoleArg::Admin => Self::Admin,
        }
    }
}

impl KeysCommand {
    /// Which stores it opens.
    pub(crate) fn stores(&self) -> &Stores {
        match self {
            Self::Create { stores, .. } | Self::List { stores, .. } | Self::Revoke { stores, .. } => stores,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Make the topics that are not there yet.
    #[command(after_help = examples::TOPICS)]
    Create(Stores),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReadModelCommand {
    /// Forget the read model; the tracker builds it anew from the status topic when it starts. Stop it first.
    #[command(after_help = examples::READ_MODEL)]
    Rebuild(Stores),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Validate, and print the effective configuration with secrets hidden.
    #[command(after_help = examples::CONFIG)]
    Check,
}

#[cfg(test)]
mod tests;
