//! The commands that open the stores themselves.

use std::path::PathBuf;

use carillon_domain::TenantId;
use carillon_store::api_keys::Role;
use clap::{Args, Subcommand, ValueEnum};

use super::{dev::data_dir, examples};

/// Parses the name of a tenant.
fn tenant(text: &str) -> Result<TenantId, String> {
    TenantId::parse(text).map_err(|error| error.to_string())
}

/// The stores that a command opens itself.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Stores {
    /// The data folder of `carillon dev`, whose stores are used instead of the configured ones. By default
    /// `carillon-data`, if it exists and no database is configured.
    #[arg(long, value_parser = data_dir)]
    pub(crate) data_dir: Option<PathBuf>,
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
    /// Accept the present differences, for example after a restore. Alerts leave them out from then on. They stay
    /// visible with time, name and reason. To revoke an acceptance, accept the opposite numbers.
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
