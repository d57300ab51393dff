//! The limits of channels.

/// The longest subject, in bytes. It is not the limit of a line, because header lines are folded and encoded
/// when the mail is built.
pub const SUBJECT_BYTES: usize = 998;
/// The longest text message, in characters, which is Twilio's limit.
pub const SMS_CHARACTERS: usize = 1_600;
/// The longest key by which push messages replace one another, in bytes. It is the limit of APNs
/// (`apns-collapse-id`).
pub const COLLAPSE_BYTES: usize = 64;

/// The largest push payload, in bytes, which is the limit of FCM and APNs.
pub const PUSH_PAYLOAD_BYTES: usize = 4_096;
/// Bytes of a push payload besides title, body and data: the fields of the wire form, and the ids of delivery and
/// event.
pub const PUSH_OVERHEAD_BYTES: usize = 512;
/// The largest part of any message, in bytes.
pub const PART_BYTES: usize = 2 * 1024 * 1024;

/// The encoding of a text message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// GSM 03.38: 7 bits a character, 160 in one segment.
    Gsm7,
    /// UTF-16: 70 units in one segment.
    Ucs2,
}

/// The cost of a text message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segments {
    /// The encoding. A single character outside of GSM 03.38 makes the whole message UCS-2.
    pub encoding: Encoding,
    /// Its length in units of the encoding.
    pub units: usize,
    /// The number of messages that the operator counts.
    pub count: usize,
}

/// The basic table of GSM 03.38; each character is one unit.
const GSM_BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// The extension table; each character is two units.
const GSM_EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// The units of GSM 03.38 that a character takes; `None` if the alphabet does not have it.
pub(crate) fn gsm_units(c: char) -> Option<usize> {
    if c.is_ascii_alphanumeric() || c == ' ' || GSM_BASIC.contains(c) {
        Some(1)
    } else if GSM_EXTENSION.contains(c) {
        Some(2)
    } else {
        None
    }
}

/// The encoding and the number of segments of a text message.
#[must_use]
pub fn segments(text: &str) -> Segments {
    let gsm: Option<Vec<usize>> = text.chars().map(gsm_units).collect();
    match gsm {
        Some(units) => count(Encoding::Gsm7, &units, 160, 153),
        None => count(
            Encoding::Ucs2,
            &text.chars().map(char::len_utf16).collect::<Vec<_>>(),
            70,
            67,
        ),
    }
}

/// The number of segments. A character of several units is never split over two segments.
fn count(encoding: Encoding, characters: &[usize], single: usize, multi: usize) -> Segments {
    let units = characters.iter().sum();
    let mut count = usize::from(units > 0);
    if units > single {
        let mut used = 0;
        for character in characters {
            if used + character > multi {
                count += 1;
                used = 0;
            }
            used += character;
        }
    }
    Segments {
        encoding,
        units,
        count,
    }
}

/// Joins a text to one line. Runs of control characters, line separators, and controls that embed or override a
/// direction become a single space. No text can therefore begin a second header or reverse the line.
#[must_use]
pub fn one_line(text: &str) -> String {
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}');
    let mut line = String::with_capacity(text.len());
    for piece in text
        .trim()
        .split(breaks)
        .map(str::trim)
        .filter(|piece| !piece.is_empty())
    {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(piece);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(text: &str) -> (Encoding, usize, usize) {
        let Segments {
            encoding,
            units,
            count,
        } = segments(text);
        (encoding, units, count)
    }

    #[test]
    fn segments_are_counted_as_operators_do() {
        assert_eq!(facts(""), (Encoding::Gsm7, 0, 0));
        assert_eq!(facts(&"a".repeat(160)), (Encoding::Gsm7, 160, 1));
        assert_eq!(facts(&"a".repeat(161)), (Encoding::Gsm7, 161, 2));
        assert_eq!(facts(&"a".repeat(306)), (Encoding::Gsm7, 306, 2));
        assert_eq!(facts(&"a".repeat(307)), (Encoding::Gsm7, 307, 3));
        assert_eq!(facts("12 €"), (Encoding::Gsm7, 5, 1));
        assert_eq!(facts(&"ê".repeat(70)), (Encoding::Ucs2, 70, 1));
        assert_eq!(facts(&"ê".repeat(71)), (Encoding::Ucs2, 71, 2));
        assert_eq!(facts("🔔"), (Encoding::Ucs2, 2, 1));
    }

    #[test]
    fn a_character_of_two_units_is_not_split() {
        // 152 + 2 does not fit into a segment of 153, so the euro sign begins the second.
        let text = format!("{}€{}", "a".repeat(152), "b".repeat(152));
        assert_eq!(facts(&text), (Encoding::Gsm7, 306, 3));
    }

    #[test]
    fn one_line_leaves_no_way_to_a_second_header() {
        assert_eq!(
            one_line("Hello\r\nBcc: eve@example.com\n"),
            "Hello Bcc: eve@example.com"
        );
        assert_eq!(one_line(" a\u{0}\u{2028}b\t "), "a b");
        assert_eq!(one_line("a\u{202e}b\u{202c}"), "a b");
    }
}
