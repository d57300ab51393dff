//! Regular expressions of schemas: their errors, and the work of matching them.

mod dialect;

use regex_syntax::{
    Error, Parser,
    ast::{ErrorKind, parse},
    hir::{Hir, HirKind, Look},
};

use crate::field_error::quoted;

/// The most memory of one compiled regular expression, in bytes; its size bounds the time per character of data.
pub(super) const MAX_COMPILED: usize = 128 * 1024;
/// Units of work for each position that a character may be compared with, see [`super::cost`].
const POSITION: u64 = 8;
/// Units of work for each character where only few positions are possible at a time.
const CHARACTER: u64 = 4;

/// The work of matching a regular expression, in units of [`super::cost`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Matching {
    /// The work for each byte of any text.
    pub(super) per_byte: u64,
    /// The work for one text of any length, besides `CHARACTER` for each byte; `None` if no such bound is known.
    pub(super) of_one: Option<u64>,
}

impl Matching {
    /// The work for each byte of one text, and for the text as a whole.
    pub(super) fn of_one_text(self) -> (u64, u64) {
        self.of_one.map_or((self.per_byte, 0), |whole| (CHARACTER, whole))
    }
}

/// The cost of matching a pattern. The error is the sentence that refuses the pattern.
pub(super) fn matching(pattern: &str) -> Result<Matching, String> {
    if let Some(why) = dialect::foreign(pattern) {
        let shown = quoted(pattern);
        return Err(format!(
            "expected a regular expression of ECMA-262, not {shown}: {why}"
        ));
    }
    let translated = jsonschema_regex::to_rust_regex(pattern).map_err(|()| untranslatable(pattern))?;
    let parsed = Parser::new().parse(&translated);
    let hir = parsed.map_err(|error| match error {
        Error::Parse(error) => sentence(error.kind(), pattern),
        Error::Translate(error) => format!(
            "expected a regular expression, not {}: {}",
            quoted(pattern),
            error.kind()
        ),
        _ => format!("expected a regular expression, not {}", quoted(pattern)),
    })?;
    let (positions, is_endless) = size(&hir);
    let is_anchored = hir.properties().look_set_prefix().contains(Look::Start);
    // From its fixed beginning, an expression without endless repetition reads no more characters than it has
    // positions.
    let of_one =
        (is_anchored && !is_endless).then(|| positions.saturating_mul(positions).saturating_mul(POSITION));
    Ok(Matching {
        per_byte: positions.saturating_mul(POSITION).max(CHARACTER),
        of_one,
    })
}

/// The sentence about a pattern that the schema's compiler refuses.
pub(super) fn refusal(pattern: &str) -> String {
    match matching(pattern) {
        Err(sentence) => sentence,
        Ok(_) => format!(
            "the pattern compiles to more than {MAX_COMPILED} bytes: expected a regular expression with fewer or smaller \
             repetitions, not {}",
            quoted(pattern)
        ),
    }
}

/// The sentence about a pattern that cannot be translated from ECMA-262.
fn untranslatable(pattern: &str) -> String {
    match parse::Parser::new().parse(pattern) {
        Err(error) => sentence(error.kind(), pattern),
        Ok(_) => format!(
            "expected a regular expression of ECMA-262, not {}",
            quoted(pattern)
        ),
    }
}

fn sentence(kind: &ErrorKind, pattern: &str) -> String {
    let shown = quoted(pattern);
    match kind {
        ErrorKind::UnsupportedLookAround => format!(
            "look-around is not supported: expected a regular expression without (?=…), (?!…), (?<=…) and (?<!…), not {shown}"
        ),
        ErrorKind::UnsupportedBackreference => format!(
            "backreferences are not supported: expected a regular expression without \\1 and \\k<name>, not {shown}"
        ),
        other => format!("expected a regular expression, not {shown}: {other}"),
    }
}

/// The number of positions of an expression, repetitions written out, and whether it may read endless text.
fn size(hir: &Hir) -> (u64, bool) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => (0, false),
        HirKind::Literal(literal) => (literal.0.len() as u64, false),
        HirKind::Class(_) => (1, false),
        HirKind::Capture(capture) => size(&capture.sub),
        HirKind::Repetition(repetition) => {
            let (positions, is_endless) = size(&repetition.sub);
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            (
                positions.saturating_mul(times.into()),
                is_endless || repetition.max.is_none(),
            )
        }
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts
            .iter()
            .map(size)
            .fold((0, false), |(sum, endless), (positions, is_endless)| {
                (sum.saturating_add(positions), endless || is_endless)
            }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repetition_counts_as_often_as_it_may_match() {
        let per_byte = |pattern| matching(pattern).unwrap().per_byte / POSITION;
        for (pattern, positions) in [
            ("[ab]*a[ab]{500}c", 503),
            ("([a-z]{2}x){3,5}", 15),
            (r"^\p{L}+$", 1),
            ("abc|d", 4),
            (r"\cA[^b]\/", 3),
        ] {
            assert_eq!(per_byte(pattern), positions, "{pattern}");
        }
        assert_eq!(matching("^.{1,500}$").unwrap().of_one, Some(500 * 500 * POSITION));
        for pattern in [".{1,500}$", "^.{1,500}x*$"] {
            assert_eq!(matching(pattern).unwrap().of_one, None, "{pattern}");
        }
    }

    #[test]
    fn the_error_of_a_refused_expression_names_the_unsupported_feature() {
        for (pattern, expected) in [
            ("(?=a)b", "look-around"),
            ("(?!a)b", "look-around"),
            ("(?<=a+)b", "look-around"),
            ("(?<!a)b", "look-around"),
            (r"(a)\1", "backreferences"),
            ("(", "unclosed group"),
            ("a{2,1}", "invalid repetition count range"),
        ] {
            let sentence = matching(pattern).unwrap_err();
            assert!(sentence.contains(expected), "{pattern}: {sentence}");
        }
    }
}
