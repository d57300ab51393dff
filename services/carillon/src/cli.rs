//! The command line.

mod activity;
mod dev;
mod dlq;
mod dlq_groups;
mod examples;
mod remote;
mod source;
mod stores;
mod suppressions;

use std::path::PathBuf;

use carillon_domain::Channel;
use clap::{Parser, Subcommand, ValueEnum};

use crate::roles::{self, ProcessRole};

pub(crate) use self::{
    activity::ActivityArgs,
    dev::{DATA_DIR, DevArgs, Without},
    dlq::{DlqCommand, EditArgs, LetterFilter, SettleArgs},
    dlq_groups::{GroupsArgs, GroupsCommand, PlanArgs, SetArgs},
    remote::{DecisionsArgs, DeliveriesCommand, EventArgs, EventsCommand, Remote, SendArgs, SimulateArgs},
    source::{OutboxArgs, SourceCommand},
    stores::{
        BooksCommand, CatalogCommand, KeysCommand, ReadModelCommand, Stores, TopicsCommand, UsersCommand,
    },
    suppressions::{Expiry, SuppressionsCommand},
};

/// Carillon delivers notifications: it takes events and sends messages by e-mail, text message, push and webhook.
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
    /// Run a worker, which delivers the messages of one channel.
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
    /// Run the scheduler: it releases waiting events and deliveries, works dead letters off and publishes the outbox.
    #[command(after_help = examples::SCHEDULER)]
    Scheduler,
    /// Run the provider simulator. A script at `PUT /v1/faults` makes its providers fail; `docs/simulator.md` describes
    /// it.
    #[command(after_help = examples::SIMULATOR)]
    Simulator,
    /// Post an event.
    #[command(after_help = examples::SEND)]
    Send(SendArgs),
    /// Show the decisions and messages that an event would get. Nothing is sent, counted or stored.
    #[command(after_help = examples::SIMULATE)]
    Simulate(SimulateArgs),
    /// Show an event with its decisions and deliveries, or cancel it.
    #[command(subcommand, after_help = examples::EVENTS)]
    Events(EventsCommand),
    /// List events, newest first, with the outcome for each recipient on each channel; or search for one.
    #[command(after_help = examples::ACTIVITY)]
    Activity(ActivityArgs),
    /// List decisions, newest first: every recipient and channel, sent or not, and why.
    #[command(after_help = examples::DECISIONS)]
    Decisions(DecisionsArgs),
    /// List, show, acknowledge and cancel deliveries, the messages to single recipients.
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
    /// Post the rows of an outbox table as events; or try the rules by which records of other systems become events.
    #[command(subcommand, after_help = examples::SOURCE)]
    Source(SourceCommand),
    /// Import users from a folder.
    #[command(subcommand, after_help = examples::USERS)]
    Users(UsersCommand),
    /// Create, list and revoke API keys.
    #[command(subcommand, after_help = examples::KEYS)]
    Keys(KeysCommand),
    /// Create the topics of the bus.
    #[command(subcommand, after_help = examples::TOPICS)]
    Topics(TopicsCommand),
    /// Show the auditor's books, and accept a lasting difference whose reason is known.
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
    /// Ask a process whether it is ready; the exit code is 0 if it is. The command reads only http.listen of the
    /// configuration, so it suits health checks.
    #[command(after_help = examples::READY)]
    Ready {
        /// The address of the process. By default the setting http.listen, from --set, the environment or the
        /// configuration file.
        #[arg(long, value_parser = url)]
        url: Option<String>,
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
        /// The folder with one folder for each audience: `carillon`, `providers`, `receipts`, `simulator` and `postgres`.
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
    /// The roles of the distributed mode that the command runs.
    pub(crate) fn roles(&self) -> Vec<ProcessRole> {
        match self {
            Self::All => roles::ALL.to_vec(),
            Self::Gateway => vec![ProcessRole::Gateway],
            Self::Router => vec![ProcessRole::Router],
            Self::Worker { channel } => vec![ProcessRole::Worker((*channel).into())],
            Self::Templates => vec![ProcessRole::Templates],
            Self::Tracker => vec![ProcessRole::Tracker],
            Self::Scheduler => vec![ProcessRole::Scheduler],
            _ => Vec::new(),
        }
    }

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
                | Self::Source(SourceCommand::Outbox(OutboxArgs { ddl: false, .. }))
        )
    }
}

/// The name of a channel.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ChannelArg {
    Push,
    Email,
    Sms,
    Webhook,
}

impl From<ChannelArg> for Channel {
    fn from(channel: ChannelArg) -> Self {
        match channel {
            ChannelArg::Push => Self::Push,
            ChannelArg::Email => Self::Email,
            ChannelArg::Sms => Self::Sms,
            ChannelArg::Webhook => Self::Webhook,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check the configuration, and print it with secrets hidden.
    #[command(after_help = examples::CONFIG)]
    Check,
}

#[cfg(test)]
mod tests;
