//! A CSV file in parts of whole records, each with the file's heading.

use std::io::{self, BufRead};

/// The most lines of a part.
const LINES: u64 = 2_000;
/// The size in bytes from which a part ends after the present record.
const SIZE: usize = 4 << 20;

/// A part of a file.
pub(super) struct Part {
    pub(super) body: Vec<u8>,
    /// The number of its first line in the file, from 1.
    pub(super) first_line: u64,
    /// The number to be added to a line's number in the part for its number in the file.
    pub(super) lines_before: i64,
    /// Its size in the file, in bytes.
    pub(super) size: u64,
    /// Whether the part has no record.
    is_blank: bool,
}

/// Reads a file in parts.
pub(super) struct Parts<R> {
    file: R,
    /// The heading, if the file has one.
    heading: Option<Vec<u8>>,
    /// Lines read so far.
    lines: u64,
}

impl<R: BufRead> Parts<R> {
    pub(super) fn of(file: R) -> Self {
        Self {
            file,
            heading: None,
            lines: 0,
        }
    }

    /// Whether the first line, if it was read, names the columns.
    pub(super) fn has_heading(&self) -> bool {
        self.heading.is_some()
    }

    /// The next part that has a record; `None` at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Part>> {
        loop {
            match self.read()? {
                Some(part) if part.is_blank => {}
                part => return Ok(part),
            }
        }
    }

    fn read(&mut self) -> io::Result<Option<Part>> {
        let before = self.lines;
        let mut body = self.heading.clone().unwrap_or_default();
        let (start, mut is_quoted, mut is_blank) = (body.len(), false, true);
        loop {
            let from = body.len();
            if self.file.read_until(b'\n', &mut body)? == 0 {
                break;
            }
            self.lines += 1;
            let line = &body[from..];
            if self.lines == 1 && is_heading(line) {
                self.heading = Some(line.to_vec());
            } else {
                is_blank &= line.trim_ascii().is_empty();
            }
            // A record ends where the quotation marks before it are paired.
            is_quoted ^= line.iter().fold(false, |odd, byte| odd ^ (*byte == b'"'));
            let is_full = self.lines - before >= LINES || body.len() >= SIZE;
            if is_full && (!is_quoted || body.len() >= 2 * SIZE - start) {
                break;
            }
        }
        let size = body.len() - start;
        if size == 0 {
            return Ok(None);
        }
        let has_heading_of_its_own = before > 0 && start > 0;
        Ok(Some(Part {
            body,
            first_line: before + 1,
            lines_before: before.cast_signed() - i64::from(has_heading_of_its_own),
            size: size as u64,
            is_blank,
        }))
    }
}

/// Whether a file's first line names the columns.
fn is_heading(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line).to_ascii_lowercase();
    let mut names = text
        .split(',')
        .map(|name| name.trim().trim_start_matches('\u{feff}').trim_matches('"'));
    names.any(|name| name == "address")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<Part> {
        let mut parts = Parts::of(text.as_bytes());
        std::iter::from_fn(|| parts.next().unwrap()).collect()
    }

    #[test]
    fn each_part_has_the_heading_and_says_which_lines_it_has() {
        let lines = "email,m@example.com\n".repeat(4_500);
        let with = parts(&format!("channel,address\n{lines}"));
        let firsts: Vec<(u64, i64)> = with
            .iter()
            .map(|part| (part.first_line, part.lines_before))
            .collect();
        assert_eq!(firsts, [(1, 0), (2_001, 1_999), (4_001, 3_999)]);
        for part in &with {
            assert!(part.body.starts_with(b"channel,address\nemail,"));
        }
        let sum: u64 = with.iter().map(|part| part.size).sum();
        assert_eq!(sum, lines.len() as u64 + 16);
        let without = parts(&lines);
        let firsts: Vec<(u64, i64)> = without
            .iter()
            .map(|part| (part.first_line, part.lines_before))
            .collect();
        assert_eq!(firsts, [(1, 0), (2_001, 2_000), (4_001, 4_000)]);
    }

    #[test]
    fn a_file_without_records_has_no_parts() {
        for text in ["", "\n\r\n", "channel,address\n", "channel,address\n \n"] {
            assert!(parts(text).is_empty(), "{text:?}");
        }
        let blank = "\n".repeat(2_500);
        let parts = parts(&format!("channel,address\n{blank}email,m@example.com\n{blank}"));
        let firsts: Vec<(u64, i64)> = parts
            .iter()
            .map(|part| (part.first_line, part.lines_before))
            .collect();
        assert_eq!(firsts, [(2_001, 1_999)]);
    }

    #[test]
    fn a_quoted_line_break_is_not_torn() {
        let mut text = "email,m@example.com\n".repeat(1_999);
        text.push_str("email,n@example.com,,,\"two\nlines\"\nemail,o@example.com\n");
        let parts = parts(&text);
        assert!(parts[0].body.ends_with(b"\"two\nlines\"\n"));
        assert_eq!(parts[1].body, b"email,o@example.com\n");
        assert_eq!(parts[1].first_line, 2_002);
    }
}
