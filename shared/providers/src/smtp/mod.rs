//! SMTP relays.

mod answer;
mod config;
pub(crate) mod mail;
mod reply;
mod sender;
mod stage;

pub use answer::{SmtpFault, classify};
pub use config::{RESET_TIMEOUT, SmtpConfig, SmtpTls};
pub use mail::{Mail, SmtpMails};
pub use sender::MailSender;
pub use stage::Stage;
