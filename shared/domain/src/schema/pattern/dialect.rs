//! Features that Rust's regular expressions have and those of ECMA-262 lack. JSON Schema means the latter, so a pattern
//! that other validators would refuse or read otherwise is refused.

/// The reason for which a pattern is not one of ECMA-262, if Rust's parser would accept it or misname its fault.
pub(super) fn foreign(pattern: &str) -> Option<String> {
    let mut in_class = false;
    let mut repetition: Option<usize> = None;
    let mut at = 0;
    while let Some(c) = pattern[at..].chars().next() {
        let rest = &pattern[at..];
        let mut length = c.len_utf8();
        let mut repeats = None;
        match c {
            '\\' => {
                let after = &rest[1..];
                if let Some(why) = foreign_escape(after) {
                    return Some(why);
                }
                length += after.chars().next().map_or(0, char::len_utf8);
            }
            ']' => in_class = false,
            _ if in_class => {}
            '[' => {
                if let Some(empty) = ["[]", "[^]"].iter().find(|empty| rest.starts_with(**empty)) {
                    return Some(format!("{empty} is a class without characters; \\] is a bracket"));
                }
                in_class = true;
            }
            '(' if rest.starts_with("(?") => {
                if let Some(group) = foreign_group(rest) {
                    return Some(format!("ECMA-262 has no group {group}"));
                }
                length = 2;
            }
            '*' | '+' | '?' | '{' => {
                if let Some(quantifier) = quantifier(rest) {
                    length = quantifier.len();
                    if let Some(first) = repetition {
                        let both = &pattern[first..at + length];
                        return Some(format!("ECMA-262 has no repetition of a repetition: {both}"));
                    }
                    if quantifier.starts_with("{,") {
                        return Some(format!("ECMA-262 has no repetition {quantifier}"));
                    }
                    repeats = Some(at);
                }
            }
            _ => {}
        }
        repetition = repeats;
        at += length;
    }
    None
}

/// The refusal of an escape, from the character behind its backslash.
fn foreign_escape(after: &str) -> Option<String> {
    let mut characters = after.chars();
    let (letter, next) = (characters.next()?, characters.next());
    let is_foreign = match letter {
        '0' => return Some("\\0 is not supported; \\x00 is the character NUL".to_owned()),
        'A' | 'z' | 'a' | 'U' | '<' | '>' => true,
        'b' | 'B' | 'x' => next == Some('{'),
        'p' | 'P' => next != Some('{'),
        _ => false,
    };
    let brace = if next == Some('{') { "{" } else { "" };
    is_foreign.then(|| format!("ECMA-262 has no escape \\{letter}{brace}"))
}

/// A group that begins with `(?`, if ECMA-262 has none of its kind.
fn foreign_group(rest: &str) -> Option<&str> {
    let kind = &rest[2..];
    if kind.starts_with([':', '=', '!', '<']) {
        return None;
    }
    let end = kind.find([':', ')']).unwrap_or(kind.len());
    let flags = &kind[..end];
    let is_modifier = kind[end..].starts_with(':') && flags.chars().all(|flag| "ims-".contains(flag));
    let end = rest.len().min(2 + end + 1);
    (!is_modifier).then(|| &rest[..end])
}

/// The quantifier at the beginning of a text, with the `?` that makes it lazy. A brace that begins none is left to the
/// parser.
fn quantifier(rest: &str) -> Option<&str> {
    let end = match rest.strip_prefix('{') {
        None => 1,
        Some(counts) => {
            let (counts, _) = counts.split_once('}')?;
            let is_count = |c: char| c.is_ascii_digit() || c == ',';
            (!counts.is_empty() && counts.chars().all(is_count)).then_some(counts.len() + 2)?
        }
    };
    let end = if rest[end..].starts_with('?') {
        end + 1
    } else {
        end
    };
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_that_only_rust_has_is_refused_with_the_reason() {
        for (pattern, reason) in [
            ("(?x)a b", "no group (?x)"),
            ("(?i)a", "no group (?i)"),
            ("(?P<n>a)", "no group (?P<n>a)"),
            ("(?>a)b", "no group (?>a)"),
            ("(?R:a)", "no group (?R:"),
            ("(?", "no group (?"),
            ("a++", "no repetition of a repetition: ++"),
            ("a{2}*", "no repetition of a repetition: {2}*"),
            ("a*??", "no repetition of a repetition: *??"),
            ("a{,5}", "no repetition {,5}"),
            (r"\Aa\z", r"no escape \A"),
            (r"a\z", r"no escape \z"),
            (r"\<a", r"no escape \<"),
            (r"\x{41}", r"no escape \x{"),
            (r"\pL", r"no escape \p"),
            (r"\b{start}", r"no escape \b{"),
            ("[]a]", "a class without characters"),
            ("[^]a]", "a class without characters"),
            (r"\0", r"\x00 is the character NUL"),
            (r"[\0]", r"\x00 is the character NUL"),
        ] {
            let why = foreign(pattern).unwrap_or_else(|| panic!("{pattern} is accepted"));
            assert!(why.contains(reason), "{pattern}: {why}");
        }
    }

    #[test]
    fn patterns_of_ecma_262_are_accepted() {
        for pattern in [
            "^(?:a|b)+?$",
            "(?<name>a)",
            "(?i:a)",
            "(?im-s:a)",
            "a??b*?c{2}?d{2,}?e{2,3}",
            "[+*?{(]+",
            r"\+\+",
            r"\\++".trim_end_matches('+'),
            r"[\w-.]+@",
            "[a-z]{2}[0-9]{3}",
            r"\x00\u0041",
            r"\p{L}+",
            r"\(?a",
            "(a+)+",
            "a{",
            "é+",
        ] {
            assert_eq!(foreign(pattern), None, "{pattern}");
        }
    }
}
