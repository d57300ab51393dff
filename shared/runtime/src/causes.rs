//! An error with its causes as text for people. The operating system's errors are translated here: their own text has
//! numbers and terms of the C library.

use std::{
    borrow::Cow,
    error::Error,
    io::{self, ErrorKind},
};

/// Beginnings of libraries' texts. They are removed, because the text of the cause follows.
const WRAPPERS: [&str; 3] = [
    "error communicating with database: ",
    "error returned from database: ",
    "failed to lookup address information: ",
];

/// Causes whose errors are sentences of Carillon's that say the same.
const KNOWN: [&str; 1] = ["pool timed out while waiting for an open connection"];

/// An error and its causes, from the outermost one to the innermost, each said once.
#[must_use]
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error
        .downcast_ref::<io::Error>()
        .map_or_else(|| error.to_string(), os_sentence);
    let mut next = error.source();
    while let Some(cause) = next {
        let own = cause.to_string();
        let plain = cause
            .downcast_ref::<io::Error>()
            .map_or_else(|| own.clone(), os_sentence);
        if text.contains(&own) {
            text = text.replace(&own, &plain);
        } else if !text.contains(&plain) && !KNOWN.contains(&&*plain) {
            text = format!("{text}: {plain}");
        }
        next = cause.source();
    }
    for wrapper in WRAPPERS {
        text = text.replace(wrapper, "");
    }
    without_numbers(&without_numbers(&text, " (os error ", ")"), "(code: ", ") ").into_owned()
}

/// The sentence of an error of the operating system.
#[must_use]
pub fn os_sentence(error: &io::Error) -> String {
    let sentence = match error.kind() {
        ErrorKind::NotFound => "there is no such file or folder",
        ErrorKind::PermissionDenied => "this user is not permitted to do that",
        ErrorKind::AlreadyExists => "it exists already",
        ErrorKind::IsADirectory => "it is a folder, and a file is expected",
        ErrorKind::NotADirectory => "a part of the path is a file, and a folder is expected",
        ErrorKind::StorageFull => "the disk is full",
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only",
        ErrorKind::ConnectionRefused => "it refuses the connection",
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => "the connection was broken",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "the network does not reach it",
        ErrorKind::TimedOut => "it did not answer in time",
        ErrorKind::AddrInUse => "the address is in use by another process",
        ErrorKind::AddrNotAvailable => "it is not an address of this machine",
        ErrorKind::InvalidData if error.raw_os_error().is_none() => "it is not a text in UTF-8",
        _ => {
            let text = error.to_string();
            let text = WRAPPERS
                .iter()
                .fold(text, |text, wrapper| text.replace(wrapper, ""));
            let text = without_numbers(&text, " (os error ", ")").into_owned();
            let mut letters = text.chars();
            return match letters.next() {
                Some(first) => first.to_lowercase().chain(letters).collect(),
                None => "the operating system gives no reason".to_owned(),
            };
        }
    };
    sentence.to_owned()
}

/// The text without the numbers of errors, such as ` (os error 2)` or SQLite's `(code: 14) `.
fn without_numbers<'a>(text: &'a str, begin: &str, end: &str) -> Cow<'a, str> {
    let Some((before, after)) = text.split_once(begin) else {
        return Cow::Borrowed(text);
    };
    match after.split_once(end) {
        Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            Cow::Owned(format!("{before}{}", without_numbers(rest, begin, end)))
        }
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Outer {
        text: String,
        source: io::Error,
    }

    fn outer(text: &str, code: i32) -> String {
        causes(&Outer {
            text: text.to_owned(),
            source: io::Error::from_raw_os_error(code),
        })
    }

    #[test]
    fn a_cause_is_said_once_in_plain_words() {
        assert_eq!(outer("a.toml", 2), "a.toml: there is no such file or folder");
        assert_eq!(
            outer("a.toml: No such file or directory (os error 2)", 2),
            "a.toml: there is no such file or folder"
        );
        assert_eq!(
            outer(
                "error communicating with database: Connection refused (os error 111)",
                111
            ),
            "it refuses the connection"
        );
        assert_eq!(
            causes(&io::Error::from_raw_os_error(21)),
            "it is a folder, and a file is expected"
        );
        let lookup = io::Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(causes(&lookup), "name or service not known");
        let utf8 = io::Error::from(io::ErrorKind::InvalidData);
        assert_eq!(os_sentence(&utf8), "it is not a text in UTF-8");
    }

    #[test]
    fn no_number_of_the_operating_system_is_shown() {
        for code in 1..=133 {
            let said = os_sentence(&io::Error::from_raw_os_error(code));
            assert!(!said.contains("os error") && !said.is_empty(), "{code}: {said}");
        }
        let plain = |text: &'static str| without_numbers(text, " (os error ", ")");
        assert_eq!(plain("a (os error 2): b (os error 111)"), "a: b");
        assert_eq!(plain("a (os error x)"), "a (os error x)");
        assert_eq!(
            outer(
                "error returned from database: (code: 14) unable to open database file",
                5
            ),
            "unable to open database file: input/output error"
        );
    }
}
