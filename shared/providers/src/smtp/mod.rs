//! SMTP relays.

mod answer;
mod config;
mod reply;
mod stage;

pub use answer::{SmtpFault, classify};
pub use config::{RESET_TIMEOUT, SmtpConfig, SmtpTls};
pub use stage::Stage;
