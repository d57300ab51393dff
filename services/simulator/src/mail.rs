//! Decodes a mail into the messages that its receivers see.

use std::collections::BTreeMap;

use mail_parser::{MessageParser, MessagePart, parsers::MessageStream};
use serde_json::{Map, Value};

use crate::clock;
use crate::{Channel, Message, Provider};

pub(crate) const DELIVERY_HEADER: &str = "X-Carillon-Delivery";
pub(crate) const EVENT_HEADER: &str = "X-Carillon-Event";

/// One message for each receiver of the envelope, all with the same content.
pub(crate) fn messages(raw: &[u8], sender: &str, receivers: &[String], queue_id: &str) -> Vec<Message> {
    let parsed = MessageParser::default().parse(raw);
    let mut headers = BTreeMap::new();
    let mut data = Map::from_iter([
        ("envelope_from".to_owned(), Value::from(sender)),
        ("size".to_owned(), Value::from(raw.len())),
    ]);
    let (mut subject, mut html) = (None, None);
    let text;
    match &parsed {
        // A mail without a header section is all text.
        None => text = Some(String::from_utf8_lossy(raw).into_owned()),
        Some(mail) => {
            for (name, value) in mail.headers_raw() {
                collect_header(&mut headers, name, value);
            }
            if let Some(from) = mail.from().and_then(|from| from.first()) {
                let address = from.address().unwrap_or_default();
                let shown = from
                    .name()
                    .map_or_else(|| address.to_owned(), |name| format!("{name} <{address}>"));
                data.insert("from".to_owned(), Value::from(shown));
            }
            subject = mail.subject().map(str::to_owned);
            // The parser lists the HTML part as text if there is no other one; it is taken as HTML only.
            text = contents(mail.text_part(0).filter(|part| !part.is_text_html()));
            html = contents(mail.html_part(0).filter(|part| part.is_text_html()));
        }
    }
    let header = |wanted: &str| {
        headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value): (_, &String)| decoded(value))
    };
    let (delivery_id, event_id) = (header(DELIVERY_HEADER), header(EVENT_HEADER));
    receivers
        .iter()
        .map(|receiver| Message {
            provider: Provider::Smtp,
            channel: Channel::Email,
            to: receiver.clone(),
            delivery_id: delivery_id.clone(),
            event_id: event_id.clone(),
            subject: subject.clone(),
            text: text.clone(),
            html: html.clone(),
            data: data.clone(),
            headers: headers.clone(),
            received_at: clock::now(),
            provider_message_id: queue_id.to_owned(),
        })
        .collect()
}

/// Decodes the encoded words (RFC 2047) of a header.
pub(crate) fn decoded(value: &str) -> String {
    let line = format!("{value}\n");
    let parsed = MessageStream::new(line.as_bytes()).parse_unstructured();
    parsed.as_text().unwrap_or(value).to_owned()
}

fn contents(part: Option<&MessagePart<'_>>) -> Option<String> {
    part.and_then(MessagePart::text_contents).map(str::to_owned)
}

fn collect_header(headers: &mut BTreeMap<String, String>, name: &str, raw: &str) {
    let value = unfold(raw);
    headers
        .entry(name.to_owned())
        .and_modify(|known| {
            known.push_str(", ");
            known.push_str(&value);
        })
        .or_insert(value);
}

/// Removes the line breaks of a folded header (RFC 5322 2.2.3).
fn unfold(raw: &str) -> String {
    raw.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(raw: &str) -> Message {
        let mut all = messages(
            raw.as_bytes(),
            "bounce@shop.example",
            &["ann@example.com".to_owned()],
            "q1",
        );
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    #[test]
    fn subject_and_text_are_decoded_and_folded_headers_joined() {
        let message = one(
            "From: =?utf-8?q?Caf=C3=A9?= <shop@example.com>\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\r\n\
             X-Long: one\r\n two\r\nX-Carillon-Delivery: d-1\r\nx-carillon-event: e-1\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
             F=C3=BCr dich\r\n",
        );
        assert_eq!(message.subject.as_deref(), Some("Grüße"));
        assert_eq!(message.text.as_deref().map(str::trim_end), Some("Für dich"));
        assert_eq!(message.html, None);
        assert_eq!(message.header("X-Long"), Some("one two"));
        assert_eq!(message.datum("from"), Some("Café <shop@example.com>"));
        assert_eq!(
            (message.delivery_id.as_deref(), message.event_id.as_deref()),
            (Some("d-1"), Some("e-1"))
        );
    }

    #[test]
    fn an_event_id_is_read_from_encoded_words() {
        let message = one("Subject: x\r\nX-Carillon-Delivery: d-1\r\n\
             X-Carillon-Event: =?utf-8?b?Y2Fmw6k=?=\r\n =?utf-8?b?IDE=?=\r\n\r\ny\r\n");
        assert_eq!(
            (message.delivery_id.as_deref(), message.event_id.as_deref()),
            (Some("d-1"), Some("café 1"))
        );
    }

    #[test]
    fn a_mail_of_html_alone_has_no_text() {
        let message = one("Subject: x\r\nContent-Type: text/html\r\n\r\n<p>Hello</p>\r\n");
        assert_eq!(message.text, None);
        assert_eq!(message.html.as_deref().map(str::trim_end), Some("<p>Hello</p>"));
    }

    #[test]
    fn every_receiver_gets_the_mail() {
        let receivers = ["a@example.com".to_owned(), "b@example.com".to_owned()];
        let all = messages(b"Subject: x\r\n\r\ny\r\n", "", &receivers, "q1");
        assert_eq!(
            all.iter().map(|message| message.to.as_str()).collect::<Vec<_>>(),
            ["a@example.com", "b@example.com"]
        );
    }
}
