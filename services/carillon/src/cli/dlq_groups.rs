//! The arguments of `carillon dlq groups`.

use clap::{Args, Subcommand};

use super::{Remote, examples};

/// The list of causes, or one cause.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct GroupsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<GroupsCommand>,
    /// Only ignored causes.
    #[arg(long)]
    pub(crate) ignored: bool,
    /// Ignored causes too.
    #[arg(long, conflicts_with = "ignored")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GroupsCommand {
    /// Show a cause with its note, owner and planned replay.
    #[command(visible_alias = "show", after_help = examples::DLQ_GROUPS_GET)]
    Get {
        /// The cause's fingerprint.
        fingerprint: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Change a cause's note or owner, ignore it, or stop ignoring it.
    #[command(after_help = examples::DLQ_GROUPS_SET)]
    Set(SetArgs),
    /// Plan a replay that begins by itself: after a new version of a template, or once a provider account is open again.
    #[command(after_help = examples::DLQ_GROUPS_PLAN)]
    Plan(PlanArgs),
    /// Cancel the planned replay of a cause.
    #[command(after_help = examples::DLQ_GROUPS_CANCEL_PLAN)]
    CancelPlan {
        /// The cause's fingerprint.
        fingerprint: String,
        #[command(flatten)]
        remote: Remote,
    },
}

/// A change of a cause's handling.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// The cause's fingerprint.
    pub(crate) fingerprint: String,
    /// A note for other people; an empty text removes it.
    #[arg(long)]
    pub(crate) note: Option<String>,
    /// The person or team that works on it; an empty text removes it.
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// Ignore it: it raises no alert, and lists leave it out.
    #[arg(long)]
    pub(crate) ignore: bool,
    /// Stop ignoring it.
    #[arg(long, conflicts_with = "ignore")]
    pub(crate) unignore: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// A replay that begins by itself.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The cause's fingerprint.
    pub(crate) fingerprint: String,
    /// Begin once a newer version of this template is published: `<type>/<channel>`.
    #[arg(long, value_name = "ID", required_unless_present = "account")]
    pub(crate) template: Option<String>,
    /// The version that does not suffice; by default the newest one that there is now.
    #[arg(
        long,
        value_name = "VERSION",
        requires = "template",
        conflicts_with = "account"
    )]
    pub(crate) after: Option<u32>,
    /// Begin once this provider account is open again. It must be closed now.
    #[arg(long, conflicts_with = "template")]
    pub(crate) account: Option<String>,
    /// The number of letters that are replayed first. The job stops if more than the tolerated share of them fails again.
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    pub(crate) canary: u32,
    /// Replay all letters at once.
    #[arg(long, conflicts_with_all = ["canary", "canary_tolerance"])]
    pub(crate) no_canary: bool,
    /// The share of the canary that may fail again, in percent.
    #[arg(long, value_name = "PERCENT")]
    pub(crate) canary_tolerance: Option<u32>,
    /// The most letters a second.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) rate: Option<u32>,
    /// A note that the job shows.
    #[arg(long)]
    pub(crate) note: Option<String>,
    #[command(flatten)]
    pub(crate) remote: Remote,
}
