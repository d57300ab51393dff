//! How many SMS a text needs: GSM 03.38 where its alphabet does, else UCS-2.

/// The basic alphabet, one septet each.
const GSM_BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ\
                         ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// The extension table, two septets each.
const GSM_EXTENDED: &str = "^{}\\[~]|€\u{c}";

/// Segments of a text; an empty one still takes one.
pub(super) fn count(text: &str) -> usize {
    let (units, single, multi) = match septets(text) {
        Some(septets) => (septets, 160, 153),
        None => (text.encode_utf16().count(), 70, 67),
    };
    if units <= single { 1 } else { units.div_ceil(multi) }
}

fn septets(text: &str) -> Option<usize> {
    text.chars()
        .map(|character| match character {
            basic if GSM_BASIC.contains(basic) => Some(1),
            extended if GSM_EXTENDED.contains(extended) => Some(2),
            _ => None,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gsm_text_fits_160_alone_and_153_a_part() {
        assert_eq!(count(""), 1);
        assert_eq!(count(&"ä".repeat(160)), 1);
        assert_eq!(count(&"a".repeat(161)), 2);
        assert_eq!(count(&"a".repeat(307)), 3);
    }

    #[test]
    fn a_euro_sign_takes_two_places() {
        assert_eq!(count(&"€".repeat(80)), 1);
        assert_eq!(count(&"€".repeat(81)), 2);
    }

    #[test]
    fn one_emoji_makes_the_whole_text_ucs2() {
        assert_eq!(count(&format!("{}🚚", "a".repeat(68))), 1);
        assert_eq!(count(&format!("{}🚚", "a".repeat(69))), 2);
    }
}
