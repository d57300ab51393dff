//! Which of the tenant's locales serves a recipient.

use std::{collections::HashMap, sync::Arc};

use unic_langid::LanguageIdentifier;

use crate::TemplateSet;

/// Whether the text is a BCP 47 language tag.
#[must_use]
pub fn is_locale(text: &str) -> bool {
    text.parse::<LanguageIdentifier>().is_ok()
}

/// The tenant's locales, numbered from 0.
#[derive(Debug)]
pub(crate) struct Locales {
    tags: Vec<Arc<str>>,
    by_tag: HashMap<String, usize>,
    /// The first locale of each language, for recipients who name no region, or another one.
    by_language: HashMap<String, usize>,
    default: usize,
}

impl Locales {
    /// Numbers the tags in their order; the default one is added if it is not among them.
    pub(crate) fn new<'a>(tags: impl Iterator<Item = &'a str>, default: &str) -> Self {
        let mut locales = Self {
            tags: Vec::new(),
            by_tag: HashMap::new(),
            by_language: HashMap::new(),
            default: 0,
        };
        for tag in tags {
            locales.add(tag);
        }
        locales.default = locales.add(default);
        locales
    }

    /// The locales of a set: those that have texts, and those that have templates of their own.
    pub(crate) fn of(set: &TemplateSet) -> Self {
        let texts = set.locales.keys().map(String::as_str);
        let own = set.templates.iter().filter_map(|def| def.locale.as_deref());
        Self::new(texts.chain(own), &set.default_locale)
    }

    fn add(&mut self, tag: &str) -> usize {
        let key = tag.to_ascii_lowercase();
        if let Some(index) = self.by_tag.get(&key) {
            return *index;
        }
        let index = self.tags.len();
        self.tags.push(Arc::from(tag));
        self.by_language.entry(language(&key).to_owned()).or_insert(index);
        self.by_tag.insert(key, index);
        index
    }

    pub(crate) fn tags(&self) -> &[Arc<str>] {
        &self.tags
    }

    /// The best locale for a wanted one: itself, then without its last subtags (`fr-CA` → `fr`), then another region of
    /// its language, then the default.
    pub(crate) fn negotiate(&self, wanted: Option<&str>) -> usize {
        let Some(wanted) = wanted else { return self.default };
        if let Some(index) = self.by_tag.get(wanted) {
            return *index;
        }
        let wanted = wanted.to_ascii_lowercase().replace('_', "-");
        self.ancestors(&wanted)
            .next()
            .or_else(|| self.by_language.get(language(&wanted)).copied())
            .unwrap_or(self.default)
    }

    /// Where a locale's texts are looked for, in order: itself, its parents, the default.
    pub(crate) fn chain(&self, index: usize) -> Vec<usize> {
        let tag = self.tags[index].to_ascii_lowercase();
        let mut chain: Vec<usize> = self.ancestors(&tag).collect();
        if !chain.contains(&self.default) {
            chain.push(self.default);
        }
        chain
    }

    /// Whether a locale is another one or below it, as `fr-CA` is below `fr`.
    pub(crate) fn is_below(&self, index: usize, other: &str) -> bool {
        let other = self.by_tag.get(&other.to_ascii_lowercase());
        let tag = self.tags[index].to_ascii_lowercase();
        self.ancestors(&tag).any(|ancestor| Some(&ancestor) == other)
    }

    fn ancestors<'a>(&'a self, tag: &'a str) -> impl Iterator<Item = usize> + 'a {
        std::iter::successors(Some(tag), |tag| tag.rsplit_once('-').map(|(parent, _)| parent))
            .filter_map(|tag| self.by_tag.get(tag).copied())
    }
}

fn language(tag: &str) -> &str {
    tag.split('-').next().unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(wanted: Option<&str>) -> String {
        let locales = Locales::new(["de", "fr", "pt-BR", "zh-Hant"].into_iter(), "en");
        locales.tags()[locales.negotiate(wanted)].to_string()
    }

    #[test]
    fn a_locale_falls_back_to_its_language_and_then_to_the_default() {
        assert_eq!(found(Some("fr-CA")), "fr");
        assert_eq!(found(Some("FR_ca")), "fr");
        assert_eq!(found(Some("zh-Hant-TW")), "zh-Hant");
        assert_eq!(found(Some("pt-PT")), "pt-BR");
        assert_eq!(found(Some("ja")), "en");
        assert_eq!(found(None), "en");
    }

    #[test]
    fn texts_are_looked_for_in_the_locale_then_its_parents_then_the_default() {
        let locales = Locales::new(["de", "de-AT", "en"].into_iter(), "en");
        assert_eq!(locales.chain(1), [1, 0, 2]);
        assert_eq!(locales.chain(2), [2]);
    }
}
