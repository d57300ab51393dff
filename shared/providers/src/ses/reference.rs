//! The signed reference in the tags of a mail. A tag's value has at most 256 characters, so a longer reference takes several tags.

use std::collections::BTreeMap;

/// The longest value of a tag.
const LONGEST: usize = 256;
/// The tags of a reference, in order. [`crate::Reference`] has at most 582 characters.
const NAMES: [&str; 3] = [
    "carillon_reference",
    "carillon_reference_2",
    "carillon_reference_3",
];

/// A reference as tags.
pub(super) fn tags(reference: &str) -> impl Iterator<Item = (&'static str, String)> {
    // The reference is ASCII, so it can be divided at any byte.
    let parts = reference.as_bytes().chunks(LONGEST);
    let parts = parts.map(|part| String::from_utf8_lossy(part).into_owned());
    NAMES.into_iter().zip(parts)
}

/// The reference in the tags of an event; `None` if there is none.
pub(super) fn joined(tags: &BTreeMap<String, Vec<String>>) -> Option<String> {
    let parts = NAMES.iter().map_while(|name| tags.get(*name)?.first());
    let joined: String = parts.map(String::as_str).collect();
    (!joined.is_empty()).then_some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_of_any_length_comes_back_from_its_tags() {
        for length in [1, 124, 256, 257, 512, 582] {
            let reference: String = ('a'..='z').cycle().take(length).collect();
            let tags: BTreeMap<String, Vec<String>> = tags(&reference)
                .map(|(name, value)| (name.to_owned(), vec![value]))
                .collect();
            assert!(tags.values().flatten().all(|value| value.len() <= LONGEST));
            assert_eq!(joined(&tags), Some(reference));
        }
        assert_eq!(joined(&BTreeMap::new()), None);
    }
}
