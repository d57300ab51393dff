//! The command line.

mod dlq;
mod examples;
mod suppressions;

use std::{net::SocketAddr, path::PathBuf};

use carillon_domain::{Channel, TenantId};
use carillon_runtime::config::listen;
use carillon_store::api_keys::Role;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::{
    dlq::{DlqCommand, LetterFilter, SettleArgs},
    suppressions::SuppressionsCommand,
};

/// The default data folder of `carillon dev`.
pub(crate) const DATA_DIR: &str = "carillon-data";

/// Carillon delivers notifications: events in, messages out by e-mail, text message and push.
#[derive(Debug, Parser)]
#[command(
    version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("BUILD"), ")"),
    about,
    after_help = examples::CARILLON
)]
pub(crate) struct Cli {
    /// The configuration file (also CARILLON_CONFIG); by default `carillon.toml` in this folder, if it exists.
    #[arg(long, global = true, env = "CARILLON_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Set a key of the configuration, such as `http.listen=127.0.0.1:9000`; may be repeated.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) set: Vec<(String, String)>,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

/// Parses a data folder, which need not exist yet.
fn data_dir(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if text.is_empty() || (path.exists() && !path.is_dir()) {
        return Err("expected a folder".to_owned());
    }
    Ok(path)
}

/// Parses the name of a tenant.
fn tenant(text: &str) -> Result<TenantId, String> {
    TenantId::parse(text).map_err(|error| error.to_string())
}

/// Parses the number of items of a list.
fn limit(text: &str) -> Result<u16, String> {
    let limit = text.parse().ok().filter(|limit| (1..=500).contains(limit));
    limit.ok_or_else(|| "expected a whole number from 1 to 500".to_owned())
}

/// Parses the address of a gateway.
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
    /// Run all roles in one process, with embedded storage, the provider simulator and the sample shop (the default).
    #[command(after_help = examples::DEV)]
    Dev(DevArgs),
    /// Run all roles in one process, on external services.
    #[command(after_help = examples::ALL)]
    All,
    /// Run the gateway: the HTTP API and the dashboard.
    #[command(after_help = examples::GATEWAY)]
    Gateway,
    /// Run the router, which decides events.
    #[command(after_help = examples::ROUTER)]
    Router,
    /// Run the worker of one channel, which delivers its messages.
    #[command(after_help = examples::WORKER)]
    Worker {
        /// The channel.
        #[arg(long)]
        channel: ChannelArg,
    },
    /// Run the templates role, which renders messages over HTTP.
    #[command(after_help = examples::TEMPLATES)]
    Templates,
    /// Run the tracker, which projects statuses into the read model, and the auditor.
    #[command(after_help = examples::TRACKER)]
    Tracker,
    /// Run the scheduler, which works dead letters off and publishes the outbox.
    #[command(after_help = examples::SCHEDULER)]
    Scheduler,
    /// Run the provider simulator.
    #[command(after_help = examples::SIMULATOR)]
    Simulator,
    /// Post an event.
    #[command(after_help = examples::SEND)]
    Send(SendArgs),
    /// Show an event with its decisions and deliveries.
    #[command(subcommand, after_help = examples::EVENTS)]
    Events(EventsCommand),
    /// List and show deliveries, the messages to single recipients.
    #[command(subcommand, after_help = examples::DELIVERIES)]
    Deliveries(DeliveriesCommand),
    /// List and show dead letters, and replay or discard them.
    #[command(subcommand, after_help = examples::DLQ)]
    Dlq(DlqCommand),
    /// List addresses that take no messages, add and remove some, import a file of them.
    #[command(subcommand, after_help = examples::SUPPRESSIONS)]
    Suppressions(SuppressionsCommand),
    /// Apply a catalog folder to the database: event types, categories, templates.
    #[command(subcommand, after_help = examples::CATALOG)]
    Catalog(CatalogCommand),
    /// Import users from a folder.
    #[command(subcommand, after_help = examples::USERS)]
    Users(UsersCommand),
    /// Create, list and revoke API keys.
    #[command(subcommand, after_help = examples::KEYS)]
    Keys(KeysCommand),
    /// Create the topics of the bus.
    #[command(subcommand, after_help = examples::TOPICS)]
    Topics(TopicsCommand),
    /// Show the auditor's books, and accept a lasting difference of which the reason is known.
    #[command(subcommand, after_help = examples::BOOKS)]
    Books(BooksCommand),
    /// Rebuild the read model.
    #[command(subcommand, name = "read-model", after_help = examples::READ_MODEL)]
    ReadModel(ReadModelCommand),
    /// Check the configuration.
    #[command(subcommand, after_help = examples::CONFIG)]
    Config(ConfigCommand),
    /// Check each dependency and report its faults.
    #[command(after_help = examples::DOCTOR)]
    Doctor {
        /// The address of the process whose readiness is checked; by default the configured one, if it is running.
        #[arg(long, env = "CARILLON_URL", value_parser = url)]
        url: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        stores: Stores,
    },
    /// Ask a process whether it is ready; the exit code is 0 if it is. Needs no configuration, so it suits health checks.
    #[command(after_help = examples::READY)]
    Ready {
        /// The address of the process.
        #[arg(long, default_value = "http://127.0.0.1:8080", value_parser = url)]
        url: String,
    },
    /// Prepare an installation: create the topics, apply a catalog folder and import the users in its folder `users`.
    /// Existing topics and users stay unchanged.
    #[command(after_help = examples::SETUP)]
    Setup {
        /// The catalog folder.
        folder: PathBuf,
        #[command(flatten)]
        stores: Stores,
    },
    /// Generate the secrets of docker-compose.yml. Existing secrets stay unchanged.
    #[command(after_help = examples::SECRETS)]
    Secrets {
        /// The folder with one folder for each audience: `carillon`, `providers`, `simulator` and `postgres`.
        folder: PathBuf,
        /// The user id that owns the files, except PostgreSQL's, which stays with this process's user.
        #[arg(long, value_name = "UID")]
        owner: Option<u32>,
    },
    /// Print a shell script that completes commands and options.
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// Whether the command is a role, which runs until a signal and writes a log. All other commands print for
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
                | Self::Scheduler
                | Self::Simulator
        )
    }
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

/// The name of a channel.
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

/// The stores that a command opens itself.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Stores {
    /// The data folder of `carillon dev`, whose stores are used instead of the configured ones. By default
    /// `carillon-data`, if it exists and no database is configured.
    #[arg(long, value_parser = data_dir)]
    pub(crate) data_dir: Option<PathBuf>,
}

/// The gateway of a command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Remote {
    /// The gateway's address; by default that of the `carillon dev` running in the data folder.
    #[arg(long, env = "CARILLON_URL", value_parser = url)]
    pub(crate) url: Option<String>,
    /// An API key; by default the data folder's, which is sent only to that folder's `carillon dev`.
    #[arg(long, visible_alias = "key", env = "CARILLON_API_KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,
    /// The data folder of `carillon dev`.
    #[arg(long, default_value = DATA_DIR, value_parser = data_dir)]
    pub(crate) data_dir: PathBuf,
    /// Print JSON.
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
    /// A file with a whole event, or a list of events, as JSON; `-` is standard input.
    #[arg(long, conflicts_with_all = ["event_type", "users", "id", "priority"])]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// Show an event with its decisions and deliveries.
    #[command(after_help = examples::EVENTS)]
    Get {
        /// The event's id.
        id: String,
        /// The event's source, if several sources use the id.
        #[arg(long)]
        source: Option<String>,
        /// Show masked values; needs an admin's key, and is recorded in the audit log.
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
        /// Only deliveries with this status; may be repeated.
        #[arg(long)]
        status: Vec<String>,
        /// Only deliveries on this channel; may be repeated.
        #[arg(long)]
        channel: Vec<String>,
        /// Only deliveries to this user; may be repeated.
        #[arg(long)]
        user: Vec<String>,
        /// Only deliveries of this event type; may be repeated.
        #[arg(long = "type")]
        event_type: Vec<String>,
        /// The most rows, up to 500.
        #[arg(long, default_value_t = 50, value_parser = limit)]
        limit: u16,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show a delivery with its timeline and its message.
    #[command(after_help = examples::DELIVERIES_GET)]
    Get {
        /// The delivery's id.
        id: String,
        /// Show masked values; needs an admin's key, and is recorded in the audit log.
        #[arg(long)]
        reveal: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CatalogCommand {
    /// Check a folder and apply it to the database; unchanged parts stay as they are.
    #[command(after_help = examples::CATALOG)]
    Apply {
        /// The folder.
        folder: PathBuf,
        /// The tenant.
        #[arg(long, default_value = "default", value_parser = tenant)]
        tenant: TenantId,
        #[command(flatten)]
        stores: Stores,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UsersCommand {
    /// Import the users of a folder; existing users stay as they are.
    #[command(after_help = examples::USERS)]
    Import {
        /// A folder of `<user id>.json` files, each with the body of `PUT /v1/users/{id}`.
        folder: PathBuf,
        /// The tenant of the users.
        #[arg(long, default_value = "default", value_parser = tenant)]
        tenant: TenantId,
        #[command(flatten)]
        stores: Stores,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Create a key. Its secret is printed once, alone on standard output.
    #[command(after_help = examples::KEYS_CREATE)]
    Create {
        /// A name that describes the key's use.
        name: String,
        /// The permissions of the key.
        #[arg(long, default_value = "operator")]
        role: RoleArg,
        /// The tenant.
        #[arg(long, default_value = "default", value_parser = tenant)]
        tenant: TenantId,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        stores: Stores,
    },
    /// List a tenant's keys.
    #[command(after_help = examples::KEYS_LIST)]
    List {
        /// The tenant.
        #[arg(long, default_value = "default", value_parser = tenant)]
        tenant: TenantId,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        stores: Stores,
    },
    /// Revoke a key.
    #[command(after_help = examples::KEYS_REVOKE)]
    Revoke {
        /// The key's id.
        id: String,
        /// The tenant.
        #[arg(long, default_value = "default", value_parser = tenant)]
        tenant: TenantId,
        #[command(flatten)]
        stores: Stores,
    },
}

/// A key's role.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleArg {
    /// Read everything, with secrets and addresses masked.
    Viewer,
    /// Also post events, replay dead letters and edit users.
    Operator,
    /// Everything, including keys.
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
    /// The stores that the command opens.
    pub(crate) fn stores(&self) -> &Stores {
        match self {
            Self::Create { stores, .. } | Self::List { stores, .. } | Self::Revoke { stores, .. } => stores,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Create the topics that do not exist yet.
    #[command(after_help = examples::TOPICS)]
    Create(Stores),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReadModelCommand {
    /// Delete the read model; the tracker rebuilds it from the status topic at its next start. Stop the tracker
    /// first.
    #[command(after_help = examples::READ_MODEL)]
    Rebuild(Stores),
}

#[derive(Debug, Subcommand)]
pub(crate) enum BooksCommand {
    /// Show the counts, the differences, and the differences that were accepted.
    #[command(after_help = examples::BOOKS_SHOW)]
    Show {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        stores: Stores,
    },
    /// Accept the present differences, for example after a restore. They are left out of the alerts from then on, and are
    /// shown with time, name and reason for good. To revoke an acceptance, accept the opposite numbers.
    #[command(after_help = examples::BOOKS_ACCEPT)]
    Accept {
        /// The difference of events that `books show` shows at rest.
        #[arg(long, allow_negative_numbers = true)]
        events: i64,
        /// The difference of deliveries that `books show` shows at rest.
        #[arg(long, allow_negative_numbers = true)]
        deliveries: i64,
        /// Your name.
        #[arg(long, value_name = "NAME")]
        by: String,
        /// The reason for the difference.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        stores: Stores,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check the configuration, and print it with secrets hidden.
    #[command(after_help = examples::CONFIG)]
    Check,
}

#[cfg(test)]
mod tests;
