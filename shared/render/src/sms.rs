//! Preparing a rendered text for SMS, so that no segment is paid for invisible characters.

use icu_normalizer::ComposingNormalizerBorrowed;

use crate::{
    invisible::{is_direction, remove, without_controls},
    limits::gsm_units,
};

/// Prepares a text. Invisible characters without meaning are removed, and letters and their marks are composed (NFC).
/// Typographic punctuation is simplified if that alone brings the text into GSM 03.38, whose segments hold more than
/// twice as much. Letters are never replaced. (Twilio's own replacement, "smart encoding", is off unless a messaging
/// service turns it on, and knows fewer characters.)
pub(crate) fn prepare(text: &str) -> String {
    let text = text.trim();
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')) {
        return text.to_owned();
    }
    let text = ComposingNormalizerBorrowed::new_nfc()
        .normalize(visible(text).trim())
        .into_owned();
    if text.chars().all(|c| gsm_units(c).is_some()) {
        return text;
    }
    let plain = plain_punctuation(&text);
    if plain.chars().all(|c| gsm_units(c).is_some()) {
        plain
    } else {
        text
    }
}

/// The text without invisible characters, and with line breaks of one character.
fn visible(text: &str) -> String {
    remove(&without_controls(text), is_direction)
}

/// Typographic characters in their plain spelling.
fn plain_punctuation(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' | '\t' => {
                plain.push(' ');
            }
            '\u{2018}'..='\u{201b}' | '\u{2032}' => plain.push('\''),
            '\u{201c}'..='\u{201f}' | '\u{2033}' | '«' | '»' => plain.push('"'),
            '\u{2010}'..='\u{2015}' | '\u{2212}' => plain.push('-'),
            '\u{2026}' => plain.push_str("..."),
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Encoding, segments};

    #[test]
    fn letters_with_marks_are_composed_and_invisible_characters_removed_before_segments_are_counted() {
        for (text, expected) in [
            ("Voila\u{300} le cafe\u{301}", "Voilà le café"),
            ("e\u{200b}\u{301}te\u{301}", "été"),
            ("Liefer\u{ad}zeit", "Lieferzeit"),
            ("zero\u{200b}width", "zerowidth"),
            ("\u{feff}Hello", "Hello"),
            ("left\u{200e}to\u{200f}right", "lefttoright"),
            ("\u{202e}spoof\u{202c}", "spoof"),
            ("\u{2068}Ada\u{2069}", "Ada"),
            ("word\u{2060}joiner", "wordjoiner"),
            ("Auf\u{200c}lage", "Auflage"),
            ("a\u{200d}b", "ab"),
            ("a\u{fe0f}b", "ab"),
            ("nul\0bell\u{7}", "nulbell"),
            (
                "one\r\ntwo\rthree\u{2028}four\u{85}five",
                "one\ntwo\nthree\nfour\nfive",
            ),
            ("\u{200b} padded \u{a0}", "padded"),
            (
                "L’été «\u{a0}arrive\u{202f}» – déjà…",
                "L'été \" arrive \" - déjà...",
            ),
            ("−5 °", "−5 °"),
            ("−5\u{2009}%", "-5 %"),
        ] {
            let prepared = prepare(text);
            assert_eq!(prepared, expected, "{text:?}");
        }
        let cost = segments(&prepare(&"e\u{301}".repeat(160)));
        assert_eq!((cost.encoding, cost.count), (Encoding::Gsm7, 1));
        let cost = segments(&prepare(&format!(
            "{}\u{200b}{}\u{ad}",
            "a".repeat(80),
            "b".repeat(80)
        )));
        assert_eq!((cost.encoding, cost.count), (Encoding::Gsm7, 1));
    }

    #[test]
    fn invisible_characters_that_carry_meaning_stay() {
        for text in [
            "می\u{200c}خواهم",
            "क\u{94d}\u{200d}ष",
            "👨\u{200d}👩\u{200d}👧 ❤\u{fe0f}",
            "1\u{fe0f}\u{20e3}",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "הזמנה \u{2066}A-1\u{2069} נשלחה\u{200e}!",
        ] {
            assert_eq!(prepare(text), text);
        }
        assert_eq!(prepare("می\u{200b}\u{feff}خواهم\u{202e}"), "میخواهم");
    }

    #[test]
    fn typography_stays_where_the_alphabet_is_left_anyway() {
        for text in ["«Привет» — мир…", "Ça va\u{a0}? – ça va", "“引号” – 好"] {
            assert_eq!(prepare(text), text);
        }
    }
}
