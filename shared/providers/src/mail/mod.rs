//! Mails, for every provider that sends them: sender, receiver, headers and MIME.

mod headers;
mod mime;
mod receiver;
mod sender;

pub use mime::{Mail, Mails};
pub use sender::MailSender;
pub(crate) use {
    headers::own_headers,
    receiver::{ascii_receiver, message_id},
};
