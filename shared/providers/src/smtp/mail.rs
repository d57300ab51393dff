//! Builds mails for a relay: addresses in SMTP's form, and header lines that no text can break or make too
//! long.

use carillon_domain::{Content, EmailAddress, Timestamp};
use email_encoding::headers::{rfc2047, writer::EmailWriter};
use lettre::{
    Address, Message,
    address::Envelope,
    message::{Mailbox, MultiPart, header, header::HeaderName, header::HeaderValue},
};

use super::{MailSender, SmtpConfig, sender::to_lettre};
use crate::{
    message::{OutgoingMessage, wrong_content},
    outcome::{Refusal, Scope},
};

/// The longest word, in octets, of a header that is sent as plain text. A header with a longer word is
/// encoded, because encoded words can be folded anywhere. Lines thus keep to the 78 characters that RFC 5322
/// §2.1.1 recommends.
const LONGEST_WORD: usize = 60;

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

/// The mails of one relay's account.
pub struct SmtpMails {
    from: Mailbox,
}

impl SmtpMails {
    /// The mails of an account.
    #[must_use]
    pub fn new(config: &SmtpConfig) -> Self {
        Self {
            from: config.from.mailbox().clone(),
        }
    }

    /// The mails of a sender.
    pub(crate) fn by(sender: &MailSender) -> Self {
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
            .raw_header(text_header("Subject", subject))
            .message_id(Some(format!("<{message_id}>")));
        for (name, value) in own_headers(message) {
            builder = builder.raw_header(text_header(name, &value));
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

/// The receiver's address.
pub(crate) fn receiver(message: &OutgoingMessage) -> Result<EmailAddress, Refusal> {
    EmailAddress::parse(&message.to)
        .map_err(|error| Refusal::new(Scope::Message, "address-syntax", error.to_string()))
}

/// The receiver's address for a provider that takes ASCII only: the domain in punycode, and no other letters before the `@`.
pub(crate) fn ascii_receiver(message: &OutgoingMessage) -> Result<String, Refusal> {
    let to = receiver(message)?;
    if to.needs_smtputf8() {
        let detail = "the address has letters before the @ that the provider does not take (SMTPUTF8)";
        return Err(Refusal::new(Scope::Message, "smtputf8-unsupported", detail));
    }
    Ok(format!("{}@{}", to.local(), to.domain()))
}

/// The mail's id without angle brackets. It is the same for every attempt, so that a receiver can recognise a second copy.
pub(crate) fn message_id(message: &OutgoingMessage, domain: &str) -> String {
    format!("{}@{domain}", message.delivery_id)
}

/// The headers that every mail has besides sender, receiver, subject, date and id.
pub(crate) fn own_headers(message: &OutgoingMessage) -> [(&'static str, String); 4] {
    [
        ("X-Carillon-Delivery", message.delivery_id.to_string()),
        ("X-Carillon-Event", message.event_id.to_string()),
        // Keeps vacation responders from answering (RFC 3834 §5). Exchange uses a header of its own; bounces still come.
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("X-Auto-Response-Suppress", "OOF, AutoReply".to_owned()),
    ]
}

/// An unstructured header (RFC 5322 §2.2.1). Plain text is folded between its words; other text is written as encoded words.
fn text_header(name: &'static str, text: &str) -> HeaderValue {
    let header = HeaderName::new_from_ascii_str(name);
    match encoded_words(name, text) {
        None => HeaderValue::new(header, text.to_owned()),
        Some(encoded) => HeaderValue::dangerous_new_pre_encoded(header, text.to_owned(), encoded),
    }
}

/// The value of an unstructured header on one line of ASCII.
pub(crate) fn header_line(name: &str, text: &str) -> String {
    match encoded_words(name, text) {
        None => text.to_owned(),
        Some(encoded) => encoded.replace("\r\n", ""),
    }
}

/// Encoded words (RFC 2047), folded, for text with control characters, long words, other characters than ASCII, or the look
/// of an encoded word. `None`: the text may stand as it is.
fn encoded_words(name: &str, text: &str) -> Option<String> {
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && !text.contains("=?")
        && text.split(' ').all(|word| word.len() <= LONGEST_WORD);
    if is_plain {
        return None;
    }
    let mut encoded = String::with_capacity(text.len() * 2);
    let line = name.len() + ": ".len();
    // Writing to a string does not fail.
    let _ = rfc2047::encode(text, &mut EmailWriter::new(&mut encoded, line, 0, false));
    Some(encoded)
}
