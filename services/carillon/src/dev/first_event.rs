//! The lines to paste for a first event.

use std::path::Path;

use super::API_KEY_FILE;

/// The lines to paste for a first event, as the README shows them.
pub(super) fn first_event(url: &str, data_dir: &Path) -> String {
    let key = quoted(&data_dir.join(API_KEY_FILE).display().to_string());
    format!(
        "    KEY=$(cat {key})
    curl {url}/v1/events -H \"Authorization: Bearer $KEY\" -H 'Content-Type: application/json' \\
      -d '{{\"type\":\"OrderShipped\",\"recipients\":[{{\"user_id\":\"u-42\"}}],\"data\":{{\"order_id\":\"1001\",\"carrier\":\"DHL\"}}}}'
"
    )
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-".contains(c);
    if text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_for_a_first_event_are_those_of_the_readme() {
        let readme = include_str!("../../../../README.md");
        let lines = first_event("http://127.0.0.1:8080", Path::new("carillon-data"));
        assert!(readme.contains(&lines), "{lines}");
        let elsewhere = first_event("http://127.0.0.1:8080", Path::new("it's my data"));
        assert!(
            elsewhere.contains(r"KEY=$(cat 'it'\''s my data/api-key')"),
            "{elsewhere}"
        );
    }
}
