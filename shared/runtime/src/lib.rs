//! The common infrastructure of all roles: configuration, lifecycle, telemetry, the inbox of a writer, the HTTP server
//! with problem documents, and the HTTP client.

mod causes;
pub mod config;
pub mod disk;
mod fair;
pub mod files;
pub mod http;
pub mod inbox;
pub mod lifecycle;
mod limited;
pub mod panics;
mod quoted;
mod stall;
pub mod telemetry;
pub mod text_pieces;

pub use causes::{causes, os_sentence};
pub use config::Secret;
pub use fair::Fair;
pub use lifecycle::{Lifecycle, LifecycleError, Shutdown};
pub use limited::Limited;
pub use stall::{Stall, Stalled};
