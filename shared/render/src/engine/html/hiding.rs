//! Tags that hide their element.

/// The longest text of a tag that is kept, in bytes. Attributes behind it are not looked at.
pub(super) const LONGEST_TAG: usize = 4 * 1024;

/// Whether a tag, in lower case and without its angle brackets, hides its element.
pub(super) fn is_hidden(tag: &str) -> bool {
    let dense: String = tag.chars().filter(|c| !c.is_whitespace()).collect();
    has_attribute(tag, "hidden")
        || ["display:none", "visibility:hidden"]
            .iter()
            .any(|style| dense.contains(style))
        || (tag.starts_with("input") && (dense.contains("type=\"hidden\"") || dense.contains("type=hidden")))
}

/// Whether a tag has an attribute of this name; its value does not matter.
pub(super) fn has_attribute(tag: &str, name: &str) -> bool {
    let mut quote = None;
    let outside: String = tag
        .chars()
        .map(|c| match (quote, c) {
            (None, '"' | '\'') => {
                quote = Some(c);
                ' '
            }
            (Some(open), c) if open == c => {
                quote = None;
                ' '
            }
            (Some(_), _) => '.',
            (None, c) => c,
        })
        .collect();
    let mut names = outside.split(|c: char| c.is_whitespace() || c == '/').skip(1);
    names.any(|attribute| attribute.split('=').next() == Some(name))
}
