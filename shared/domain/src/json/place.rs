//! Places in texts, and the place at which bytes are not UTF-8.

/// The place of a byte in a text whose first line has the number `first_line`. Columns are counted in bytes, from 1.
pub(super) fn place(text: &[u8], at: usize, first_line: usize) -> String {
    let mut line = first_line;
    let mut column = 1;
    for byte in &text[..at] {
        if *byte == b'\n' {
            (line, column) = (line + 1, 1);
        } else {
            column += 1;
        }
    }
    format!("line {line}, column {column}")
}

/// The end of a sentence that says that bytes are not UTF-8; `None` if they are.
pub(super) fn utf8_fault(bytes: &[u8], first_line: usize) -> Option<String> {
    let error = std::str::from_utf8(bytes).err()?;
    let at = place(bytes, error.valid_up_to(), first_line);
    Some(format!("the text is not UTF-8 at {at}"))
}
