//! Requirements of the RFCs for clients, enforced as strict servers enforce them.

use smtp_proto::{MAIL_BODY_8BITMIME, MAIL_SMTPUTF8};

use super::reply::Reply;

/// The longest line of a message in octets, without CR LF (RFC 5322 §2.1.1).
const MAX_LINE: usize = 998;

/// The parameters that a client has announced with `MAIL`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Announced {
    utf8: bool,
    eight_bit: bool,
}

impl Announced {
    /// Reads the parameters of `MAIL`; the error is the refusal.
    pub(super) fn by(flags: u64, sender: &str, offers_utf8: bool) -> Result<Self, Reply> {
        let announced = Self {
            utf8: flags & MAIL_SMTPUTF8 != 0,
            eight_bit: flags & MAIL_BODY_8BITMIME != 0,
        };
        if announced.utf8 && !offers_utf8 {
            return Err(Reply::new(555, "5.5.4", "SMTPUTF8 is not offered"));
        }
        match announced.refusal_of_address(sender) {
            Some(refusal) => Err(refusal),
            None => Ok(announced),
        }
    }

    /// The refusal of an address in `MAIL` or `RCPT` (RFC 6531 §3.5).
    pub(super) fn refusal_of_address(self, address: &str) -> Option<Reply> {
        let is_refused = !self.utf8 && !address.is_ascii();
        is_refused.then(|| {
            Reply::new(
                553,
                "5.6.7",
                "Address is not ASCII, and SMTPUTF8 was not asked for",
            )
        })
    }

    /// The refusal of a message, at its final dot.
    pub(super) fn refusal_of_message(self, raw: &[u8]) -> Option<Reply> {
        if has_bare_line_ending(raw) {
            // Bare line endings allow SMTP smuggling; Postfix and Exchange refuse them.
            return Some(Reply::new(550, "5.6.11", "A line ends without CR LF"));
        }
        if lines(raw).any(|line| line.len() > MAX_LINE) {
            return Some(Reply::new(
                550,
                "5.6.0",
                format!("A line has more than {MAX_LINE} octets"),
            ));
        }
        if raw.contains(&0) {
            return Some(Reply::new(550, "5.6.0", "The message has a NUL"));
        }
        let end = raw.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let (head, body) = raw.split_at(end.unwrap_or(raw.len()));
        if !self.utf8 && !head.is_ascii() {
            return Some(Reply::new(
                550,
                "5.6.7",
                "A header is not ASCII, and SMTPUTF8 was not asked for",
            ));
        }
        if !self.eight_bit && !body.is_ascii() {
            return Some(Reply::new(
                550,
                "5.6.3",
                "The body has 8 bits, and BODY=8BITMIME was not said",
            ));
        }
        None
    }
}

fn lines(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    raw.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Whether the message has a CR without LF, or an LF without CR.
fn has_bare_line_ending(raw: &[u8]) -> bool {
    let mut before = 0;
    for byte in raw {
        if (*byte == b'\n') != (before == b'\r') {
            return true;
        }
        before = *byte;
    }
    before == b'\r'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_both_characters_or_the_message_is_refused() {
        for bare in ["a\nb\r\n", "a\r\n\nb", "a\rb\r\n", "a\r\n\r", "\n", "a\r\r\n"] {
            assert!(has_bare_line_ending(bare.as_bytes()), "{bare:?}");
        }
        for whole in ["", "a", "a\r\n", "a\r\n\r\nb\r\n"] {
            assert!(!has_bare_line_ending(whole.as_bytes()), "{whole:?}");
        }
    }
}
