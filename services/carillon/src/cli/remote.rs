//! The commands that ask a running gateway.

use std::path::PathBuf;

use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};

use super::{
    dev::{DATA_DIR, data_dir},
    examples, url,
};

/// Parses the number of items of a list.
pub(super) fn limit(text: &str) -> Result<u16, String> {
    let limit = text.parse().ok().filter(|limit| (1..=500).contains(limit));
    limit.ok_or_else(|| "expected a whole number from 1 to 500".to_owned())
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
    #[command(flatten)]
    pub(crate) event: EventArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    #[command(flatten)]
    pub(crate) remote: Remote,
    #[command(flatten)]
    pub(crate) event: EventArgs,
    /// The time of the decisions, such as 2026-11-28T02:00:00Z; by default now.
    #[arg(long)]
    pub(crate) at: Option<String>,
    /// Preferences that hold for all users of the event, in place of their own: a JSON object.
    #[arg(long, value_name = "JSON")]
    pub(crate) as_if_preferences: Option<String>,
    /// A catalog folder whose catalog.yaml is used in place of the tenant's catalog.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) as_if_catalog: Option<PathBuf>,
    /// Show the rendered messages too.
    #[arg(long)]
    pub(crate) messages: bool,
    /// Show masked values; needs an admin's key, and is recorded in the audit log.
    #[arg(long)]
    pub(crate) reveal: bool,
}

/// An event.
#[derive(Debug, Args)]
pub(crate) struct EventArgs {
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
    /// The time before which no message is sent, such as `2026-11-24T10:00:00Z`.
    #[arg(long, value_name = "TIME")]
    pub(crate) sendat: Option<String>,
    /// A file with a whole event, or a list of events, as JSON; `-` is standard input.
    #[arg(long, conflicts_with_all = ["event_type", "users", "id", "priority", "sendat"])]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// Show an event with its decisions and deliveries.
    #[command(after_help = examples::EVENTS)]
    Get {
        /// The event's id.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
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
    /// Cancel an event: the whole event if it waits or is not decided yet, else its deliveries that are not sent yet.
    #[command(after_help = examples::EVENTS_CANCEL)]
    Cancel {
        /// The event's id.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// The event's source, if several sources use the id.
        #[arg(long)]
        source: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DecisionsArgs {
    /// Only decisions about this user; may be repeated, like all filters.
    #[arg(long)]
    pub(crate) user: Vec<String>,
    /// Only decisions about the event of this id.
    #[arg(long)]
    pub(crate) event: Vec<String>,
    /// Only decisions on this channel.
    #[arg(long)]
    pub(crate) channel: Vec<String>,
    /// Only decisions with this outcome: `send`, `suppress`, `defer`, `digest`, `drop` or `duplicate`.
    #[arg(long)]
    pub(crate) outcome: Vec<String>,
    /// Only decisions with this reason, such as `opted_out_type`.
    #[arg(long)]
    pub(crate) reason: Vec<String>,
    /// Only decisions made at this time or later.
    #[arg(long)]
    pub(crate) from: Option<String>,
    /// Only decisions made before this time.
    #[arg(long)]
    pub(crate) to: Option<String>,
    /// The most rows, up to 500.
    #[arg(long, default_value_t = 50, value_parser = limit)]
    pub(crate) limit: u16,
    #[command(flatten)]
    pub(crate) remote: Remote,
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
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// Show masked values; needs an admin's key, and is recorded in the audit log.
        #[arg(long)]
        reveal: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Say that the recipient has seen a message, so that none follows on another channel.
    #[command(after_help = examples::DELIVERIES_ACKNOWLEDGE)]
    Acknowledge {
        /// The delivery's id.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Cancel a delivery that is not sent yet.
    #[command(after_help = examples::DELIVERIES_CANCEL)]
    Cancel {
        /// The delivery's id.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
}
