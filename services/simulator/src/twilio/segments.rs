//! The number of SMS segments of a text: in GSM 03.38 if its alphabet suffices, else in UCS-2.

/// The characters of the basic alphabet, one septet each.
const GSM_BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ\
                         ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// The characters of the extension table, two septets each.
const GSM_EXTENDED: &str = "^{}\\[~]|€\u{c}";

/// The number of segments of a text; an empty text takes one. A character of two units is never split over
/// two segments.
pub(super) fn count(text: &str) -> usize {
    let septets: Option<Vec<usize>> = text.chars().map(septets).collect();
    let (characters, single, multi) = match septets {
        Some(septets) => (septets, 160, 153),
        None => (text.chars().map(char::len_utf16).collect(), 70, 67),
    };
    if characters.iter().sum::<usize>() <= single {
        return 1;
    }
    let (mut segments, mut room) = (1, multi);
    for units in characters {
        if units > room {
            segments += 1;
            room = multi;
        }
        room -= units;
    }
    segments
}

fn septets(character: char) -> Option<usize> {
    match character {
        basic if GSM_BASIC.contains(basic) => Some(1),
        extended if GSM_EXTENDED.contains(extended) => Some(2),
        _ => None,
    }
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

    #[test]
    fn a_character_of_two_units_is_not_split() {
        assert_eq!(count(&format!("{}€{}", "a".repeat(152), "b".repeat(152))), 3);
        assert_eq!(count(&format!("{}🔔{}", "ê".repeat(66), "ê".repeat(66))), 3);
        assert_eq!(count(&"🔔".repeat(67)), 3);
    }
}
