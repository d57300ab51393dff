//! Visible and invisible characters of a text.

use icu_properties::{CodePointSetData, props::DefaultIgnorableCodePoint};

/// Whether the character is drawn as nothing: Unicode's `Default_Ignorable_Code_Point` (U+200B, U+00AD,
/// U+FEFF, variation selectors, bidi controls, fillers). Control characters and white space are not included.
#[must_use]
pub fn is_ignorable(c: char) -> bool {
    !c.is_ascii() && CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_as_nothing_is_ignorable() {
        for c in "\u{200b}\u{ad}\u{feff}\u{200e}\u{202e}\u{2066}\u{200d}\u{fe0f}\u{3164}\u{e0041}".chars() {
            assert!(is_ignorable(c), "{c:?}");
        }
        for c in "a é\u{301}\u{a0}\n😀".chars() {
            assert!(!is_ignorable(c), "{c:?}");
        }
    }
}
