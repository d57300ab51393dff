//! `carillon suppressions`.

use std::{path::PathBuf, str::FromStr};

use carillon_domain::{Moment, moment::NoMoment};
use clap::Subcommand;

use super::{ChannelArg, Remote, examples, remote::limit};

#[derive(Debug, Subcommand)]
pub(crate) enum SuppressionsCommand {
    /// List addresses that take no messages, newest first; they are masked.
    #[command(after_help = examples::SUPPRESSIONS_LIST)]
    List {
        /// Only addresses of this channel; may be repeated.
        #[arg(long)]
        channel: Vec<ChannelArg>,
        /// Only this reason: `hard_bounce`, `complaint`, `opted_out`, `dead_token`, `manual` or `import`; may be
        /// repeated.
        #[arg(long)]
        reason: Vec<String>,
        /// The most rows, up to 500.
        #[arg(long, default_value_t = 50, value_parser = limit)]
        limit: u16,
        #[command(flatten)]
        remote: Remote,
    },
    /// Put an address on the list: it takes no messages from then on. If the address is on the list already, only the
    /// given note and expiry change.
    #[command(after_help = examples::SUPPRESSIONS_ADD)]
    Add {
        /// The channel.
        channel: ChannelArg,
        /// The address: an e-mail address, a phone in E.164 form, or a registration token.
        address: String,
        /// A note for other people; an empty one removes the present note.
        #[arg(long)]
        note: Option<String>,
        /// The time at which the entry stops counting: `2027-01-31T10:00:00Z`, a date such as `2027-01-31`, which begins at
        /// 00:00 UTC, or `never`, which a new entry has by default.
        #[arg(long, value_name = "TIME")]
        expires_at: Option<Expiry>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Take an address from the list. Entries of every reason can be removed.
    #[command(after_help = examples::SUPPRESSIONS_REMOVE)]
    Remove {
        /// The channel.
        channel: ChannelArg,
        /// The address.
        address: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Add the addresses of a CSV file with the columns `channel,address[,reason][,expires_at][,note]`. Wrong lines are
    /// left out and named; then the exit code is 1.
    #[command(after_help = examples::SUPPRESSIONS_IMPORT)]
    Import {
        /// The file; `-` is standard input.
        file: PathBuf,
        #[command(flatten)]
        remote: Remote,
    },
}

/// When an entry stops counting.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expiry {
    Never,
    At(Moment),
}

impl FromStr for Expiry {
    type Err = NoMoment;

    fn from_str(text: &str) -> Result<Self, NoMoment> {
        match text {
            "never" => Ok(Self::Never),
            time => time.parse().map(Self::At),
        }
    }
}
