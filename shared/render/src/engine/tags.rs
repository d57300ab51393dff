//! Bounds on single tags, checked before a text is parsed: the parser's work grows with the square of a tag's length.

use super::syntax::ParseError;

/// The longest tag, in bytes; comments are not bounded.
const MAX_TAG: usize = 4 * 1024;
/// The largest sum of the squared lengths of a text's tags: eight of the longest tags, or 8,000 of 128 bytes. At this
/// bound the parser takes half a second in a debug build.
const MAX_SQUARES: usize = 8 * MAX_TAG * MAX_TAG;
/// The longest path, in bytes and in names.
const MAX_PATH: usize = 1024;
const MAX_SEGMENTS: usize = 64;

/// Refuses a text with a tag or path that is too long.
pub(super) fn check(source: &str) -> Result<(), ParseError> {
    let mut rest = source;
    let mut squares = 0;
    while let Some(at) = rest.find("{{") {
        let tag = &rest[at..];
        let line = || Some(1 + source[..source.len() - tag.len()].matches('\n').count());
        let inner = tag.trim_start_matches('{');
        if let Some(comment) = inner.strip_prefix('~').unwrap_or(inner).strip_prefix('!') {
            let end = if comment.starts_with("--") { "--" } else { "}}" };
            let body = comment.strip_prefix("--").unwrap_or(comment);
            rest = body.find(end).map_or("", |at| &body[at + 2..]);
            continue;
        }
        let read = read(inner);
        if read.bytes > MAX_TAG {
            let text = format!("expected a tag of at most {MAX_TAG} bytes, not {}", read.bytes);
            return Err((line(), text));
        }
        squares += read.bytes * read.bytes;
        if squares > MAX_SQUARES {
            let text = "expected shorter or fewer tags: a text may have eight tags of 4096 bytes, or 8192 of 128 bytes";
            return Err((line(), text.to_owned()));
        }
        if read.path_bytes > MAX_PATH {
            let text = format!(
                "expected a path of at most {MAX_PATH} bytes, not {}",
                read.path_bytes
            );
            return Err((line(), text));
        }
        if read.segments > MAX_SEGMENTS {
            let text = format!(
                "expected a path of at most {MAX_SEGMENTS} names and steps, such as order/lines and ../order, not {}",
                read.segments
            );
            return Err((line(), text));
        }
        rest = &inner[read.bytes..];
    }
    Ok(())
}

/// The sizes of a tag.
#[derive(Debug, Default)]
struct Tag {
    bytes: usize,
    /// The length of its longest path.
    path_bytes: usize,
    segments: usize,
}

/// Measures a tag up to its `}}`, or to the end of the text. Quoted texts belong to the tag, but not to a path.
fn read(inner: &str) -> Tag {
    let bytes = inner.as_bytes();
    let mut tag = Tag::default();
    let (mut path_bytes, mut segments) = (0, 1);
    let mut at = 0;
    while at < bytes.len() && !bytes[at..].starts_with(b"}}") {
        let quoted = match bytes[at] {
            quote @ (b'"' | b'\'') => closing(&bytes[at + 1..], quote),
            // A name in brackets is one segment, with any content; so is a list.
            b'[' => bytes[at..].iter().position(|byte| *byte == b']'),
            _ => None,
        };
        if let Some(length) = quoted {
            at += length + 1;
            continue;
        }
        match bytes[at] {
            byte if byte.is_ascii_whitespace() || b"()=|,{}~&#^>*".contains(&byte) => {
                (path_bytes, segments) = (0, 1);
            }
            b'/' => {
                path_bytes += 1;
                segments += 1;
            }
            b'.' => {
                path_bytes += 1;
                // A dot separates names; two dots are one step, and dots after them begin others.
                let before = &bytes[..at];
                let separates = !before.ends_with(b".") && !matches!(bytes.get(at + 1), Some(b'.' | b'/'));
                segments += usize::from(separates || before.ends_with(b".."));
            }
            _ => path_bytes += 1,
        }
        tag.path_bytes = tag.path_bytes.max(path_bytes);
        tag.segments = tag.segments.max(segments);
        at += 1;
    }
    tag.bytes = at;
    tag
}

/// The distance from the opening quote to the closing one.
fn closing(text: &[u8], quote: u8) -> Option<usize> {
    let mut is_escaped = false;
    let at = text.iter().position(|byte| {
        let ends = *byte == quote && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    })?;
    Some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(source: &str) -> (Option<usize>, String) {
        check(source).unwrap_err()
    }

    #[test]
    fn a_long_path_is_refused_with_its_line_before_it_is_parsed() {
        for (tag, expected) in [
            (
                format!("{{{{{}a}}}}", "a/".repeat(120_000)),
                "tag of at most 4096 bytes",
            ),
            (
                format!("{{{{{}a}}}}", "../".repeat(80_000)),
                "tag of at most 4096 bytes",
            ),
            (format!("{{{{{}a}}}}", "a/".repeat(64)), "64 names and steps"),
            (format!("{{{{{}a}}}}", "../".repeat(64)), "64 names and steps"),
            (
                format!("{{{{#if x}}}}{{{{t \"k\" v=(date {}a)}}}}", "a.".repeat(70)),
                "64 names and steps",
            ),
            (
                format!("{{{{#each {}a}}}}", "a.".repeat(70)),
                "64 names and steps",
            ),
            (format!("{{{{> {}a}}}}", "a/".repeat(70)), "64 names and steps"),
            (
                format!("{{{{t \"}}}}\" {}a}}}}", "a/".repeat(70)),
                "64 names and steps",
            ),
            (
                format!("{{{{{}}}}}", "a".repeat(1_025)),
                "path of at most 1024 bytes",
            ),
            (
                format!("{{{{t{}}}}}", " a".repeat(100_000)),
                "tag of at most 4096 bytes",
            ),
            (
                format!("{{{{t [1{}]}}}}", ",1".repeat(100_000)),
                "tag of at most 4096 bytes",
            ),
            (
                format!("{{{{t \"{}\"}}}}", "a".repeat(5_000)),
                "tag of at most 4096 bytes",
            ),
        ] {
            let (line, message) = refusal(&format!("one {{{{a}}}}\n\n{tag} more {{{{b}}}}"));
            assert_eq!(line, Some(3), "{message}");
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn many_long_tags_are_refused_because_parsing_takes_the_squares_of_their_lengths() {
        let long = format!("{{{{t \"k\"{}}}}}\n", " a".repeat(2_000));
        assert_eq!(check(&long.repeat(8)), Ok(()));
        let (line, message) = refusal(&long.repeat(60));
        assert_eq!(line, Some(9), "{message}");
        assert!(message.contains("shorter or fewer tags"), "{message}");
        let usual = format!("{{{{t \"k\"{}}}}}\n", " a=b.c".repeat(15));
        assert_eq!(check(&usual.repeat(2_000)), Ok(()));
    }

    #[test]
    fn ordinary_tags_and_long_texts_and_comments_are_accepted() {
        for source in [
            format!("{{{{{}a}}}}", "a/".repeat(63)),
            format!("{{{{{}a}}}}", "../".repeat(63)),
            format!(
                "{{{{t \"order\" url=\"https://a.example/{}\" b=[{}]}}}}",
                "a/".repeat(500),
                "1.5,".repeat(300)
            ),
            format!(
                "{{{{!-- {} }}}} {} --}}}}{{{{a}}}}",
                "a/".repeat(50_000),
                "b.".repeat(50_000)
            ),
            format!("{{{{! {} }}}}{{{{a}}}}", "a/".repeat(50_000)),
            format!("{}{{{{a}}}}{}", "a/".repeat(50_000), "b.".repeat(10_000)),
            format!(
                "{{{{#if a}}}}{{{{lines.[the first].name}}}}{{{{else}}}}{{{{{{b}}}}}}{{{{~/if~}}}}{}",
                "}}".repeat(9)
            ),
        ] {
            assert_eq!(check(&source), Ok(()), "{source:.80}");
        }
    }
}
