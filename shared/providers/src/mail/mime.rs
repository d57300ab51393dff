//! Mails in MIME's form, with the envelope that SMTP and SES take.

use carillon_domain::{Content, Timestamp};
use lettre::{
    Address, Message,
    address::Envelope,
    message::{Mailbox, MultiPart, header},
};

use super::{
    MailSender,
    headers::{Header, own_headers},
    receiver::{message_id, receiver},
    sender::to_lettre,
};
use crate::{
    message::{OutgoingMessage, wrong_content},
    outcome::{Refusal, Scope},
};

/// A mail and its envelope.
pub struct Mail {
    /// The mail in MIME's form, without the dots and the end that SMTP adds.
    pub content: Vec<u8>,
    /// The receiver.
    pub to: Address,
    /// The mail's id, without angle brackets.
    pub message_id: String,
    /// Whether the relay must offer SMTPUTF8 (RFC 6531).
    pub needs_smtputf8: bool,
}

/// Builds the mails of one sender.
pub struct Mails {
    from: Mailbox,
}

impl Mails {
    /// The mails of a sender.
    #[must_use]
    pub fn new(sender: &MailSender) -> Self {
        Self {
            from: sender.mailbox().clone(),
        }
    }

    /// The sender's address, to which bounces go.
    #[must_use]
    pub fn from(&self) -> &Address {
        &self.from.email
    }

    /// The mail of a message.
    pub fn build(&self, message: &OutgoingMessage, now: Timestamp) -> Result<Mail, Refusal> {
        let from = &self.from;
        let Content::Email { subject, text, html } = &message.content else {
            return Err(wrong_content("an e-mail"));
        };
        let to = receiver(message)?;
        let message_id = message_id(message, from.email.domain());
        let mime = |error: lettre::error::Error| {
            let detail = format!("the mail has no MIME form: {error}");
            Refusal::new(Scope::Message, "mime", detail)
        };
        // Without an explicit envelope, lettre would derive it from the headers by rules of its own.
        let envelope = Envelope::new(Some(from.email.clone()), vec![to_lettre(&to)]).map_err(mime)?;
        let mut builder = Message::builder()
            .envelope(envelope)
            .date(now.into())
            .from(from.clone())
            .to(Mailbox::new(None, to_lettre(&to)))
            .raw_header(Header::text("Subject", subject).to_mime())
            .message_id(Some(format!("<{message_id}>")));
        for header in own_headers(message) {
            builder = builder.raw_header(header.to_mime());
        }
        // Bodies are sent as ASCII. Text that is not ASCII, or has a line that is too long, is sent as
        // quoted-printable or Base64.
        let built = match html {
            Some(html) => builder.multipart(MultiPart::alternative_plain_html(text.clone(), html.clone())),
            None => builder.header(header::ContentType::TEXT_PLAIN).body(text.clone()),
        };
        Ok(Mail {
            content: built.map_err(mime)?.formatted(),
            to: to_lettre(&to),
            message_id,
            needs_smtputf8: to.needs_smtputf8(),
        })
    }
}
