//! SMTP relays.

mod answer;
mod config;
mod mail;
mod reply;
mod stage;

pub use answer::{SmtpFault, classify};
pub use config::{RESET_TIMEOUT, SmtpConfig, SmtpTls};
pub use mail::{Mail, SmtpMails};
pub use stage::Stage;
