//! Visible and invisible characters of a text.

use icu_properties::{CodePointSetData, props::DefaultIgnorableCodePoint};

/// Whether the character is drawn as nothing: Unicode's `Default_Ignorable_Code_Point` (U+200B, U+00AD,
/// U+FEFF, variation selectors, bidi controls, fillers). Control characters and white space are not included.
#[must_use]
pub fn is_ignorable(c: char) -> bool {
    !c.is_ascii() && CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// Whether a text has no visible character. U+2800 and U+1D159 are symbols that are drawn as nothing; U+FFF9 to U+FFFB
/// mark annotations.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|c| {
        c.is_whitespace()
            || c.is_control()
            || is_ignorable(c)
            || matches!(c, '\u{2800}' | '\u{1d159}' | '\u{fff9}'..='\u{fffb}')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_are_drawn_as_nothing_are_ignorable() {
        for c in "\u{200b}\u{ad}\u{feff}\u{200e}\u{202e}\u{2066}\u{200d}\u{fe0f}\u{3164}\u{e0041}".chars() {
            assert!(is_ignorable(c), "{c:?}");
        }
        for c in "a é\u{301}\u{a0}\n😀".chars() {
            assert!(!is_ignorable(c), "{c:?}");
        }
    }
}
