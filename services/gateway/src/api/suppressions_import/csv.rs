//! The lines of an imported file, read piece by piece.

mod heading;

use carillon_domain::{
    Channel, FieldError, Moment, Timestamp, contact, field_error::quoted, moment::NoMoment,
    suppression::SuppressionReason,
};
use carillon_store::suppressions::Imported;
use csv_core::{ReadRecordResult, Reader};
use memchr::memchr_iter;
use serde::Serialize;

use crate::api::suppressions;

/// The columns, in the order of a file without a heading.
const COLUMNS: [&str; 5] = ["channel", "address", "reason", "expires_at", "note"];
/// The longest line in bytes.
const MAX_LINE: usize = 8 << 10;
/// The most fields of a line.
const MAX_FIELDS: usize = 16;

/// An error in a line.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Refusal {
    line: u64,
    field: String,
    code: String,
    message: String,
}

/// A line of the file that is not its heading.
#[derive(Debug)]
pub(super) enum Line {
    Entry(Imported),
    Refused(Vec<Refusal>),
}

/// Reads lines from the pieces of a file's text.
pub(super) struct Lines {
    reader: Reader,
    now: Timestamp,
    /// The column of each field; `None` before the first line.
    columns: Option<Vec<usize>>,
    text: Vec<u8>,
    text_len: usize,
    ends: [usize; MAX_FIELDS],
    ends_len: usize,
    /// Whether the present line is longer than is read.
    is_too_long: bool,
    /// The number of the line at which the present record begins.
    begins_at: u64,
    /// The number of quotation marks in the present record.
    quotes: usize,
}

impl Lines {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            reader: Reader::new(),
            now,
            columns: None,
            text: vec![0; MAX_LINE],
            text_len: 0,
            ends: [0; MAX_FIELDS],
            ends_len: 0,
            is_too_long: false,
            begins_at: 1,
            quotes: 0,
        }
    }

    /// The next line of a piece, which is removed from the piece. `None` at the end of the piece. The error is about
    /// the heading.
    pub(super) fn next(&mut self, piece: &mut &[u8], is_end: bool) -> Result<Option<Line>, FieldError> {
        while !piece.is_empty() || is_end {
            if self.text_len == 0 && self.ends_len == 0 && !self.is_too_long {
                self.begins_at = self.reader.line();
            }
            let (result, read, written, ended) = self.reader.read_record(
                piece,
                &mut self.text[self.text_len..],
                &mut self.ends[self.ends_len..],
            );
            let ends_line = read > 0 && piece[read - 1] == b'\n';
            self.quotes += memchr_iter(b'"', &piece[..read]).count();
            *piece = &piece[read..];
            self.text_len += written;
            self.ends_len += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    self.is_too_long = true;
                    (self.text_len, self.ends_len) = (0, 0);
                }
                ReadRecordResult::End => return Ok(None),
                ReadRecordResult::Record => {
                    let text = &self.text[..self.text_len];
                    let breaks = memchr_iter(b'\n', text).count() as u64;
                    let line = if self.is_too_long {
                        self.begins_at
                    } else {
                        self.reader.line() - u64::from(ends_line) - breaks
                    };
                    // The end of the file has ended a quoted field, which may hold the lines after it.
                    let is_open = read == 0 && self.quotes % 2 == 1;
                    let found = if is_open {
                        Ok(Some(whole(
                            self.begins_at,
                            "format",
                            "expected a closing quotation mark",
                        )))
                    } else {
                        self.line(line)
                    };
                    (self.text_len, self.ends_len, self.is_too_long) = (0, 0, false);
                    self.quotes = 0;
                    if let Some(found) = found? {
                        return Ok(Some(found));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The line that was just read; `None` if it is the heading.
    fn line(&mut self, line: u64) -> Result<Option<Line>, FieldError> {
        if self.is_too_long {
            let text = format!(
                "expected a line of at most {MAX_LINE} bytes and {MAX_FIELDS} fields; a quotation mark may be missing"
            );
            return Ok(Some(whole(line, "too-large", text)));
        }
        let Ok(text) = std::str::from_utf8(&self.text[..self.text_len]) else {
            return Ok(Some(whole(
                line,
                "encoding",
                "expected UTF-8, not bytes of another encoding, such as Windows-1252",
            )));
        };
        let mut from = 0;
        let mut fields = Vec::with_capacity(self.ends_len);
        for end in &self.ends[..self.ends_len] {
            // An end is between two characters, because fields are separated by ASCII.
            fields.push(text.get(from..*end).unwrap_or_default().trim());
            from = *end;
        }
        let Some(columns) = &self.columns else {
            let Some(columns) = heading::columns(&fields)? else {
                self.columns = Some((0..COLUMNS.len()).collect());
                return self.line(line);
            };
            self.columns = Some(columns);
            return Ok(None);
        };
        if fields.len() > columns.len() {
            let text = format!("expected at most {} fields, not {}", columns.len(), fields.len());
            return Ok(Some(whole(line, "range", text)));
        }
        let mut values = [""; COLUMNS.len()];
        for (column, field) in columns.iter().zip(&fields) {
            values[*column] = field;
        }
        Ok(Some(entry(line, values, self.now)))
    }
}

/// A line that is wrong as a whole.
fn whole(line: u64, code: &str, message: impl Into<String>) -> Line {
    Line::Refused(vec![Refusal {
        line,
        field: String::new(),
        code: code.to_owned(),
        message: message.into(),
    }])
}

/// The entry of a line, or all that is wrong in it.
fn entry(line: u64, [channel, address, reason, expires_at, note]: [&str; 5], now: Timestamp) -> Line {
    let mut errors = Vec::new();
    let parsed: Option<Channel> = channel.parse().ok();
    if let Some(channel) = parsed {
        contact::check_field(channel, address, "/address", &mut errors);
    } else {
        let text = format!("expected {}, not {}", Channel::names(), quoted(channel));
        errors.push(FieldError::new("/channel", "type", text));
    }
    let given = if reason.is_empty() { "import" } else { reason };
    let reason: Option<SuppressionReason> = given.parse().ok();
    if reason.is_none() {
        let expected = "expected hard_bounce, complaint, opted_out, dead_token, manual, import or nothing";
        errors.push(FieldError::new(
            "/reason",
            "type",
            format!("{expected}, not {}", quoted(given)),
        ));
    }
    let expires_at: Option<Moment> = match expires_at {
        "" => None,
        text => text
            .parse()
            .map_err(|error: NoMoment| {
                errors.push(FieldError::new("/expires_at", "format", error.to_string()));
            })
            .ok(),
    };
    let note = (!note.is_empty()).then_some(note);
    suppressions::check(note, expires_at, now, &mut errors);
    match (parsed, reason) {
        (Some(channel), Some(reason)) if errors.is_empty() => Line::Entry(Imported {
            channel,
            address: address.to_owned(),
            reason,
            note: note.map(str::to_owned),
            expires_at: expires_at.map(|Moment(at)| at),
        }),
        _ => Line::Refused(
            errors
                .into_iter()
                .map(|error| Refusal {
                    line,
                    field: error.pointer.trim_start_matches('/').to_owned(),
                    code: error.code,
                    message: error.message,
                })
                .collect(),
        ),
    }
}
