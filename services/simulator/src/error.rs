//! The errors of a simulator.

use std::net::SocketAddr;
use std::path::PathBuf;

/// The reason for which a simulator cannot start, read its memory, or end cleanly.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// The data folder cannot be created.
    #[error("cannot create the data folder {}", path.display())]
    DataDir {
        /// The configured folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The memory (SQLite) cannot be opened, read or written.
    #[error("the simulator's memory failed")]
    Memory(#[from] sqlx::Error),
    /// The memory contains a value that this version does not write.
    #[error("the simulator's memory holds an unreadable {column}")]
    Unreadable {
        /// The column with the value.
        column: &'static str,
    },
    /// The memory could not take a message; the reason is logged.
    #[error("the message could not be recorded")]
    NotRecorded,
    /// The memory is no longer written to: the simulator is stopping.
    #[error("the simulator is stopping")]
    Stopping,
    /// The public key for FCM assertions is not an RSA public key in PEM.
    #[error("simulator.service_account_public_key_pem: expected an RSA public key in PEM")]
    PublicKey,
    /// The public key for APNs' provider tokens is not one of the curve P-256 in PEM.
    #[error("the public key of APNs' provider tokens cannot be read")]
    ApnsPublicKey(#[source] jsonwebtoken::errors::Error),
    /// APNs' certificate or its key cannot be read, or they do not fit.
    #[error("the certificate of APNs and its key cannot be read, or do not belong together")]
    Certificate,
    /// No certificate could be generated.
    #[error("no certificate could be generated")]
    Generate(#[from] rcgen::Error),
    /// A file of APNs' certificate cannot be read or written.
    #[error("{}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The key of SendGrid's event webhook is not a private key of the curve P-256 in PEM.
    #[error("simulator.sendgrid_webhook_key_pem: expected a private key of the curve P-256, PKCS #8 in PEM")]
    WebhookKey,
    /// The secret of endpoints is invalid.
    #[error("simulator.webhook_secret: expected whsec_ and base64")]
    WebhookSecret,
    /// A URL of receipts is invalid.
    #[error("{0}: expected a URL")]
    Url(&'static str),
    /// No key of SNS could be generated.
    #[error("no key of SNS could be generated")]
    SnsKey,
    /// The HTTP client of receipts cannot be made.
    #[error("the HTTP client of receipts cannot be made")]
    Client(#[source] reqwest::Error),
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
