//! Text that parsers can read: UTF-8, with a bounded nesting. The check is one pass over the bytes, so that text which
//! is nested deeply costs no more than other text of its length.

use super::place::{place, utf8_fault};

/// The most levels of lists and objects that parsers follow.
pub const MAX_LEVELS: usize = 127;

/// Refuses bytes that are not UTF-8, and text that is nested deeper than [`MAX_LEVELS`]. The error is the end of a
/// sentence, as of [`fault`](super::fault()).
pub fn readable(json: &[u8]) -> Result<(), String> {
    if let Some(fault) = utf8_fault(json, 1) {
        return Err(fault);
    }
    match level_beyond(json, MAX_LEVELS) {
        None => Ok(()),
        Some(at) => {
            let at = place(json, at, 1);
            Err(format!(
                "the text is nested deeper than {MAX_LEVELS} levels, at {at}"
            ))
        }
    }
}

/// Whether lists and objects in a text are nested more than `levels` deep.
pub(crate) fn is_deeper(json: &str, levels: usize) -> bool {
    level_beyond(json.as_bytes(), levels).is_some()
}

/// The index of the bracket that opens the first level beyond `levels`.
fn level_beyond(json: &[u8], levels: usize) -> Option<usize> {
    let mut level = 0_usize;
    let mut is_string = false;
    let mut is_escaped = false;
    for (at, byte) in json.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            _ if is_string => {}
            b'[' | b'{' if level == levels => return Some(at),
            b'[' | b'{' => level += 1,
            b']' | b'}' => level = level.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_utf_8_are_refused_with_their_place() {
        for (json, expected) in [
            (
                &b"{\"email\":\"\xff\"}"[..],
                "the text is not UTF-8 at line 1, column 11",
            ),
            (b"{\n\"a\":\"\xc3\"}", "the text is not UTF-8 at line 2, column 6"),
            (b"\xe2\x82", "the text is not UTF-8 at line 1, column 1"),
        ] {
            assert_eq!(readable(json).unwrap_err(), expected);
        }
        assert_eq!(readable("{\"a\":\"ü€🔔\"}".as_bytes()), Ok(()));
    }

    #[test]
    fn levels_are_counted_as_parsers_count_them() {
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        for levels in [1, 126, 127, 128, 129, 120_000] {
            for json in [deep(levels), format!("{{\"[[\\\"{{\":{}}}", deep(levels - 1))] {
                let is_parsed = serde_json::from_str::<serde_json::Value>(&json).is_ok();
                assert_eq!(readable(json.as_bytes()).is_ok(), is_parsed, "{levels}");
            }
        }
        let flat = format!("[{}[]]", "[[]],".repeat(1_000));
        assert_eq!(readable(flat.as_bytes()), Ok(()));
        assert_eq!(readable(format!("\"{}\"", "[".repeat(200)).as_bytes()), Ok(()));
        assert_eq!(
            readable(format!("[\n{}", "[".repeat(127)).as_bytes()).unwrap_err(),
            "the text is nested deeper than 127 levels, at line 2, column 127"
        );
    }
}
