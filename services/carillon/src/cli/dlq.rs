//! The arguments of `carillon dlq`.

use carillon_domain::Moment;
use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};

use super::{GroupsArgs, Remote, examples, remote::limit};

#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// List dead letters, newest first.
    #[command(after_help = examples::DLQ_LIST)]
    List {
        /// Only letters in this state: open, replayed or discarded; may be repeated.
        #[arg(long)]
        state: Vec<String>,
        /// Only letters of this cause, as `dlq groups` shows it.
        #[arg(long)]
        fingerprint: Option<String>,
        #[command(flatten)]
        filter: LetterFilter,
        /// The most rows, up to 500.
        #[arg(long, default_value_t = 50, value_parser = limit)]
        limit: u16,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show a dead letter with its reason and its record.
    #[command(visible_alias = "show", after_help = examples::DLQ_GET)]
    Get {
        /// The dead letter's id.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// Show the unmasked record; needs an admin's key, and is recorded in the audit log.
        #[arg(long)]
        reveal: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show the causes of dead letters, those with the most open letters first, or change how one is handled.
    #[command(after_help = examples::DLQ_GROUPS)]
    Groups(GroupsArgs),
    /// Put dead letters back, to be sent or decided once more. A job does it in the background, each letter at most once.
    #[command(after_help = examples::DLQ_REPLAY)]
    Replay(SettleArgs),
    /// Edit a dead letter and send it again. The changes are shown first; the original stays as it is.
    #[command(after_help = examples::DLQ_EDIT)]
    Edit(EditArgs),
    /// Give dead letters up. They stay visible until they are deleted by age.
    #[command(after_help = examples::DLQ_DISCARD)]
    Discard(SettleArgs),
    /// List the jobs that replay and discard, or show one.
    #[command(after_help = examples::DLQ_JOBS)]
    Jobs {
        /// The job's id.
        id: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Pause a job. No further letter is worked off until it is resumed.
    #[command(after_help = examples::DLQ_PAUSE)]
    Pause {
        /// The job's id.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Resume a job that is paused, or that its canary has stopped. It goes on where it stopped.
    #[command(after_help = examples::DLQ_RESUME)]
    Resume {
        /// The job's id.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Cancel a job. Letters that it has already worked off stay replayed or discarded.
    #[command(after_help = examples::DLQ_CANCEL)]
    Cancel {
        /// The job's id.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Conditions on dead letters. A letter has to match one value of each.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LetterFilter {
    /// Only letters of this queue: push, email, sms, webhook or events; may be repeated.
    #[arg(long)]
    pub(crate) channel: Vec<String>,
    /// Only letters with this class of failure; may be repeated.
    #[arg(long)]
    pub(crate) class: Vec<String>,
    /// Only letters of this provider account; may be repeated.
    #[arg(long)]
    pub(crate) provider: Vec<String>,
    /// Only letters with this code; may be repeated.
    #[arg(long)]
    pub(crate) code: Vec<String>,
    /// Only letters of this event type; may be repeated.
    #[arg(long = "type")]
    pub(crate) event_type: Vec<String>,
    /// Only letters that died again after this job had put them back; may be repeated.
    #[arg(long, value_name = "JOB")]
    pub(crate) replayed_by: Vec<String>,
    /// Letters of ignored causes too.
    #[arg(long)]
    pub(crate) ignored: bool,
    /// Only letters that died at this time or later: `2026-11-24T10:00:00Z`, or a date such as `2026-11-24`, which begins at
    /// 00:00 UTC.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<Moment>,
    /// Only letters that died before this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<Moment>,
}

/// The letters of a job, and how it works.
#[derive(Debug, Args)]
pub(crate) struct SettleArgs {
    /// Dead letters by id, up to 1,000.
    pub(crate) ids: Vec<String>,
    /// All open dead letters of this cause, as `dlq groups` shows it.
    #[arg(long, conflicts_with = "ids")]
    pub(crate) fingerprint: Option<String>,
    /// All open dead letters.
    #[arg(long, conflicts_with_all = ["ids", "fingerprint"])]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) filter: LetterFilter,
    /// Show the outcomes that the job would have, and make no job.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The most letters a second.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) rate: Option<u32>,
    /// The number of letters that are replayed first, by default 10. The job waits until each has ended, and stops if more
    /// than the tolerated share of them has failed again.
    #[arg(long, value_name = "NUMBER", num_args = 0..=1, default_missing_value = "10", require_equals = true)]
    pub(crate) canary: Option<u32>,
    /// The share of the canary that may fail again, in percent.
    #[arg(long, value_name = "PERCENT", requires = "canary")]
    pub(crate) canary_tolerance: Option<u32>,
    /// A note that the job and its letters show.
    #[arg(long)]
    pub(crate) note: Option<String>,
    /// Wait until the job has ended, and show its progress. The exit code is 0 if it is done.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// An edit of a dead letter.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct EditArgs {
    /// The dead letter's id.
    pub(crate) id: String,
    /// Put another value in the place of one: a JSON pointer and JSON, or a text that is no JSON; may be repeated.
    #[arg(long, value_name = "POINTER=VALUE")]
    pub(crate) replace: Vec<String>,
    /// Add a value, to an object or to a list (`/data/items/-` adds at its end); may be repeated.
    #[arg(long, value_name = "POINTER=VALUE")]
    pub(crate) add: Vec<String>,
    /// Remove a value; may be repeated.
    #[arg(long, value_name = "POINTER")]
    pub(crate) remove: Vec<String>,
    /// A JSON Patch (RFC 6902) as JSON, or `@` and the name of its file.
    #[arg(long, value_name = "JSON", conflicts_with_all = ["replace", "add", "remove", "event"])]
    pub(crate) patch: Option<String>,
    /// A file with a whole event as JSON, in place of a record that cannot be read.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["replace", "add", "remove"])]
    pub(crate) event: Option<std::path::PathBuf>,
    /// Show the changes, and send nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Send without asking first.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Edit with all values in view; needs an admin's key, and is recorded in the audit log.
    #[arg(long)]
    pub(crate) reveal: bool,
    /// A note that the job and its letter show.
    #[arg(long)]
    pub(crate) note: Option<String>,
    /// Wait until the letter is back.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

impl LetterFilter {
    /// The lists of values, by the API's names.
    pub(crate) fn lists(&self) -> [(&'static str, &Vec<String>); 6] {
        [
            ("channel", &self.channel),
            ("class", &self.class),
            ("provider", &self.provider),
            ("code", &self.code),
            ("type", &self.event_type),
            ("replayed_by", &self.replayed_by),
        ]
    }

    /// The times, by the API's names.
    pub(crate) fn times(&self) -> [(&'static str, Option<Moment>); 2] {
        [("from", self.from), ("to", self.to)]
    }

    /// Whether any condition is given.
    pub(crate) fn is_given(&self) -> bool {
        self.lists().iter().any(|(_, values)| !values.is_empty())
            || self.times().iter().any(|(_, time)| time.is_some())
    }
}
