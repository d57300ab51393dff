//! Masking e-mail addresses and phone numbers inside text.

use std::borrow::Cow;

use crate::{channel::Channel, contact};

/// The fewest digits of a phone number.
const MIN_DIGITS: usize = 7;

/// The text with all e-mail addresses (`a…@example.com`) and all phone numbers in international form (`+49…78`)
/// masked, percent-encoded ones in links included.
#[must_use]
pub fn mask_addresses(text: &str) -> Cow<'_, str> {
    if !text.contains(['@', '+', '%', '＠']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    let mut done = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find(['@', '+', '%', '＠']) {
        let sign = at + found;
        let hit = email(text, done, sign).or_else(|| phone(text, sign));
        let Some((begin, end, masked)) = hit else {
            at = sign + text[sign..].chars().next().map_or(1, char::len_utf8);
            continue;
        };
        out.push_str(&text[done..begin]);
        out.push_str(&masked);
        done = end;
        at = end;
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[done..]);
    Cow::Owned(out)
}

/// The length of the sign at `at` in the spelling that occurs there.
fn spelled(text: &str, at: usize, spellings: &[&str]) -> Option<usize> {
    spellings
        .iter()
        .find(|spelling| text[at..].starts_with(**spelling))
        .map(|spelling| spelling.len())
}

/// An address with its `@` at `sign` and a local part that does not begin before `floor`.
fn email(text: &str, floor: usize, sign: usize) -> Option<(usize, usize, String)> {
    let is_local = |c: char| c.is_alphanumeric() || "!#$*+-.^_`{|}~'".contains(c);
    let is_domain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
    let after = sign + spelled(text, sign, &["@", "%40", "＠"])?;
    let before = &text[floor..sign];
    let local = match before.strip_suffix('"').and_then(|quoted| quoted.rfind('"')) {
        Some(quote) => &before[quote..],
        None => &before[before.trim_end_matches(is_local).len()..],
    };
    let rest = &text[after..];
    let literal = rest.strip_prefix('[').and_then(|literal| literal.find(']'));
    let domain = if let Some(end) = literal {
        &rest[..end + 2]
    } else {
        let end = rest.find(|c| !is_domain(c)).unwrap_or(rest.len());
        rest[..end].trim_end_matches('.')
    };
    if local.is_empty() || domain.is_empty() {
        return None;
    }
    let masked = contact::mask(Channel::Email, &format!("{local}@{domain}"));
    Some((sign - local.len(), after + domain.len(), masked))
}

/// A phone number with its `+` at `sign`.
fn phone(text: &str, sign: usize) -> Option<(usize, usize, String)> {
    let begin = sign + spelled(text, sign, &["+", "%2B", "%2b"])?;
    let mut digits = String::new();
    let mut end = begin;
    let mut separators = 0;
    for (offset, c) in text[begin..].char_indices() {
        if c.is_ascii_digit() {
            digits.push(c);
            end = begin + offset + 1;
            separators = 0;
        } else if matches!(c, ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}') && separators < 3 {
            separators += 1;
        } else {
            break;
        }
    }
    (digits.len() >= MIN_DIGITS).then(|| (sign, end, contact::mask(Channel::Sms, &format!("+{digits}"))))
}
