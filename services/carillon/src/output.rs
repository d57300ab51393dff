//! Output of commands. Its text may come from a server or a database, so characters that control a terminal are made
//! visible.

use std::io::{self, Write as _};

use anyhow::Context as _;
use carillon_domain::visible::{visible, visible_json, visible_lines};
use comfy_table::Table;
use serde::Serialize;
use serde_json::Value;

/// Writes bytes to standard output. If its reader has closed it, as `head` does after a few lines, the bytes are dropped
/// and the command goes on: its work and its exit code do not depend on the reader.
pub(crate) fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output takes no text"),
    }
}

fn line(text: &str) -> anyhow::Result<()> {
    write(format!("{text}\n").as_bytes())
}

/// Prints text for people, with a line break at its end.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    line(&visible_lines(text))
}

/// Asks a question on standard error, where the answer is not mistaken for output.
pub(crate) fn ask(question: &str) -> anyhow::Result<()> {
    let mut out = io::stderr().lock();
    out.write_all(visible(question).as_bytes())?;
    out.flush().context("standard error takes no text")
}

/// Prints JSON on one line.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(&visible_json(&serde_json::to_string(value)?))
}

/// Prints JSON for people.
pub(crate) fn pretty(value: &impl Serialize) -> anyhow::Result<()> {
    line(&visible_json(&serde_json::to_string_pretty(value)?))
}

/// Prints a table. Each cell is a single line, so that no cell looks like a row.
pub(crate) fn table<R: AsRef<str>>(
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<R>>,
) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.set_header(header);
    for row in rows {
        table.add_row(row.iter().map(|cell| visible(cell.as_ref())));
    }
    line(&table.to_string())
}

/// A value as the text of a cell.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => visible(text).into_owned(),
        other => visible_json(&other.to_string()).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_one_line_without_a_character_that_steers_the_terminal() {
        assert_eq!(
            cell(&Value::from("a\u{1b}[2J\nb\u{202e}")),
            "a\\u{1b}[2J\\u{a}b\\u{202e}"
        );
        assert_eq!(cell(&serde_json::json!(["\u{9b}"])), r#"["\u009b"]"#);
    }
}
