//! Why a simulator cannot run.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What keeps a simulator from starting, reading its memory or ending well.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The data folder cannot be created.
    #[error("cannot create the data folder {}", path.display())]
    DataDir {
        /// The folder asked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The memory (SQLite) cannot be opened, read or written.
    #[error("the simulator's memory failed")]
    Memory(#[from] sqlx::Error),
    /// The memory holds something that this version did not write.
    #[error("the simulator's memory holds an unreadable {column}")]
    Unreadable {
        /// The column at fault.
        column: &'static str,
    },
    /// The memory could not take a message; the reason is logged.
    #[error("the message could not be recorded")]
    NotRecorded,
    /// The memory is no longer written to: the simulator is stopping.
    #[error("the simulator is stopping")]
    Stopping,
    /// The public key for FCM assertions is not an RSA public key in PEM.
    #[error("the service account's public key cannot be read")]
    PublicKey(#[source] jsonwebtoken::errors::Error),
    /// A fault script is refused; see each field's message.
    #[error("the fault script has {} invalid field(s)", .0.len())]
    InvalidFaults(Vec<crate::faults::InvalidField>),
    /// Serving HTTP ended with an error.
    #[error("serving HTTP failed")]
    Serve(#[source] std::io::Error),
    /// One of the simulator's tasks panicked.
    #[error("a task of the simulator died")]
    TaskDied(#[from] tokio::task::JoinError),
}
