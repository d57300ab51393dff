//! Finds the tenant's locale that serves a reader, by CLDR's aliases, likely subtags and parents.

use std::{collections::HashMap, sync::Arc};

use carillon_domain::locale;
use icu_locale::{
    LanguageIdentifier, Locale, LocaleCanonicalizer, LocaleExpander, fallback::LocaleFallbackConfig,
    fallback::LocaleFallbacker,
};
use parking_lot::RwLock;

use crate::{TemplateSet, helpers::Conventions};

/// The most cached results of negotiation. Readers use few tags. A tag that does not fit into the full cache is
/// negotiated at each use.
const REMEMBERED: usize = 1_024;

/// A language tag in BCP 47's own spelling: `fr-CA` for `fr_ca`. `None` if the text is no tag that Fluent can read;
/// the names of files and templates must be such tags.
#[must_use]
pub fn canonical_locale(text: &str) -> Option<String> {
    let id = text.parse::<unic_langid::LanguageIdentifier>().ok()?;
    Some(id.to_string())
}

/// CLDR's name of a locale, which is the same for all tags of it: `he` for `he` and `iw`.
pub(crate) fn canonical_name(tag: &str) -> String {
    let mut names = Line::of(tag).names;
    if names.is_empty() {
        tag.to_owned()
    } else {
        names.swap_remove(0)
    }
}

/// The number of the locale that serves a reader, and the reader's own conventions if they may differ.
pub(crate) type Served = (usize, Option<Arc<Conventions>>);

/// The tenant's locales, numbered from 0.
#[derive(Debug)]
pub(crate) struct Locales {
    tags: Vec<Arc<str>>,
    lines: Vec<Line>,
    /// Locales by the tag as the tenant writes it.
    by_tag: HashMap<String, usize>,
    /// Locales by the first name of their line.
    by_name: HashMap<String, usize>,
    default: usize,
    twins: Vec<Twins>,
    remembered: RwLock<HashMap<Box<str>, Served>>,
}

/// Two tags of files of texts that are the same locale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Twins {
    pub(crate) first: String,
    pub(crate) second: String,
}

/// A locale and its ancestors, nearest first, each in CLDR's own spelling: `pt-AO`, `pt-PT`, `pt`. A language
/// is not an ancestor of its locales in another script: the ancestor of `zh-TW` is `zh-Hant`, not `zh`, which
/// is Simplified.
#[derive(Debug)]
struct Line {
    names: Vec<String>,
    /// The locale with its likely script and region: `zh-Hant-TW`.
    full: Option<LanguageIdentifier>,
}

impl Line {
    fn of(tag: &str) -> Self {
        let Ok(id) = locale::parse(tag) else {
            return Self {
                names: vec![tag.to_ascii_lowercase()],
                full: None,
            };
        };
        let mut canonical = Locale::from(id);
        LocaleCanonicalizer::new_extended().canonicalize(&mut canonical);
        let mut id = canonical.id;
        let mut full = id.clone();
        LocaleExpander::new_extended().maximize(&mut full);
        if id.language.is_unknown() {
            id = full.clone();
        }
        let mut names = Vec::with_capacity(4);
        let config = LocaleFallbackConfig::default();
        let mut steps = LocaleFallbacker::new()
            .for_config(config)
            .fallback_for((&id).into());
        while !steps.get().is_unknown() {
            names.push(steps.get().to_string());
            steps.step();
        }
        if id.variants.len() > 1 {
            // CLDR's inheritance handles one variant only.
            names.insert(0, id.to_string());
        }
        Self {
            names,
            full: (!full.language.is_unknown()).then_some(full),
        }
    }

    /// The number of generations between a locale and its ancestor.
    fn generations(&self, ancestor: &str) -> Option<usize> {
        self.names.iter().position(|name| name == ancestor)
    }
}

impl Locales {
    /// Numbers the tags in their order; the default one is added if it is not among them.
    pub(crate) fn new<'a>(tags: impl Iterator<Item = &'a str>, default: &str) -> Self {
        let mut locales = Self {
            tags: Vec::new(),
            lines: Vec::new(),
            by_tag: HashMap::new(),
            by_name: HashMap::new(),
            default: 0,
            twins: Vec::new(),
            remembered: RwLock::default(),
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
        let mut locales = Self::new(texts.clone().chain(own), &set.default_locale);
        let mut first: HashMap<usize, &str> = HashMap::new();
        for tag in texts {
            let Some(index) = locales.by_tag.get(tag) else {
                continue;
            };
            if let Some(first) = first.insert(*index, tag) {
                locales.twins.push(Twins {
                    first: first.to_owned(),
                    second: tag.to_owned(),
                });
            }
        }
        locales
    }

    /// The tags of files of texts that are the same locale, so that one of the files would be ignored.
    pub(crate) fn twins(&self) -> &[Twins] {
        &self.twins
    }

    fn add(&mut self, tag: &str) -> usize {
        let line = Line::of(tag);
        let known = line.names.first().and_then(|name| self.by_name.get(name));
        let index = known.copied().unwrap_or(self.tags.len());
        self.by_tag.insert(tag.to_owned(), index);
        if index == self.tags.len() {
            if let Some(name) = line.names.first() {
                self.by_name.insert(name.clone(), index);
            }
            self.tags.push(Arc::from(tag));
            self.lines.push(line);
        }
        index
    }

    pub(crate) fn tags(&self) -> &[Arc<str>] {
        &self.tags
    }

    /// The best locale for a reader's tag.
    pub(crate) fn negotiate(&self, wanted: Option<&str>) -> usize {
        self.serve(wanted).0
    }

    /// The best locale for a reader's tag, and the conventions of the reader's region if they may differ from those of
    /// the locale: a reader in `en-GB` has the texts of `en`, and the dates of the United Kingdom.
    pub(crate) fn serve(&self, wanted: Option<&str>) -> Served {
        let Some(wanted) = wanted else {
            return (self.default, None);
        };
        if let Some(index) = self.by_tag.get(wanted) {
            return (*index, None);
        }
        if let Some(served) = self.remembered.read().get(wanted) {
            return served.clone();
        }
        let line = Line::of(wanted);
        let index = self.nearest(&line).unwrap_or(self.default);
        let served = (index, self.of_region(wanted, &line, index));
        let mut remembered = self.remembered.write();
        if remembered.len() < REMEMBERED {
            remembered.insert(wanted.into(), served.clone());
        }
        served
    }

    /// The conventions of a reader's region. `None` if the tag names no region, or if the locale that serves the reader
    /// is another language or another script.
    fn of_region(&self, wanted: &str, line: &Line, index: usize) -> Option<Arc<Conventions>> {
        locale::parse(wanted).ok()?.region?;
        let (own, texts) = (line.full.as_ref()?, self.lines[index].full.as_ref()?);
        let is_readable = (own.language, own.script) == (texts.language, texts.script);
        is_readable.then(|| Arc::new(Conventions::of(wanted)))
    }

    /// The locale itself, or else its nearest relative: the locale with the nearest common ancestor (`en-001`
    /// for `en-AU` and `en-GB`), and among several the one nearest to that ancestor. The last resort is the
    /// language in another script.
    fn nearest(&self, wanted: &Line) -> Option<usize> {
        let relative = |ancestor: &String| {
            if let Some(index) = self.by_name.get(ancestor) {
                return Some(*index);
            }
            let likely = Line::of(ancestor).full;
            let relatives = self.lines.iter().enumerate().filter_map(|(index, line)| {
                let is_likely = line.full == likely;
                Some((line.generations(ancestor)?, !is_likely, index))
            });
            relatives.min().map(|(.., index)| index)
        };
        wanted.names.iter().find_map(relative).or_else(|| {
            let language = wanted.full.as_ref()?.language;
            let is_same = |line: &Line| line.full.as_ref().is_some_and(|full| full.language == language);
            self.lines.iter().position(is_same)
        })
    }

    /// The locales in which a locale's texts are looked up, in order: itself, its ancestors, the default.
    pub(crate) fn chain(&self, index: usize) -> Vec<usize> {
        let mut chain: Vec<usize> = self.ancestors(&self.lines[index]).collect();
        if !chain.contains(&index) {
            chain.insert(0, index);
        }
        if !chain.contains(&self.default) {
            chain.push(self.default);
        }
        chain
    }

    /// Whether a locale is another one or below it, as `fr-CA` is below `fr`.
    pub(crate) fn is_below(&self, index: usize, other: &str) -> bool {
        let other = self.by_tag.get(other);
        Some(&index) == other
            || self
                .ancestors(&self.lines[index])
                .any(|ancestor| Some(&ancestor) == other)
    }

    /// The tenant's locales on a line.
    fn ancestors<'a>(&'a self, line: &'a Line) -> impl Iterator<Item = usize> + 'a {
        line.names
            .iter()
            .filter_map(|name| self.by_name.get(name).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(wanted: &str, tags: &[&str]) -> String {
        let locales = Locales::new(tags.iter().copied(), "en");
        // The second answer comes from the cache.
        assert_eq!(locales.negotiate(Some(wanted)), locales.negotiate(Some(wanted)));
        locales.tags()[locales.negotiate(Some(wanted))].to_string()
    }

    #[test]
    fn a_locale_falls_back_to_its_language_and_then_to_the_default() {
        let tags = ["de", "fr", "pt-BR", "zh-Hant"];
        for (wanted, expected) in [
            ("fr-CA", "fr"),
            ("FR_ca", "fr"),
            ("zh-Hant-TW", "zh-Hant"),
            ("pt-PT", "pt-BR"),
            ("ja", "en"),
            ("nonsense!", "en"),
            ("x-private", "en"),
            ("und", "en"),
        ] {
            assert_eq!(best(wanted, &tags), expected, "{wanted}");
        }
        assert_eq!(Locales::new(tags.into_iter(), "en").negotiate(None), 4);
    }

    #[test]
    fn a_reader_of_traditional_chinese_is_not_given_simplified_if_there_is_traditional() {
        for wanted in [
            "zh-TW",
            "zh-HK",
            "zh-MO",
            "zh-Hant",
            "zh_Hant_TW",
            "zh-hant-hk",
            "und-TW",
            "cmn-Hant",
        ] {
            assert_eq!(best(wanted, &["zh", "zh-Hant"]), "zh-Hant", "{wanted}");
            assert_eq!(best(wanted, &["zh-CN", "zh-TW"]), "zh-TW", "{wanted}");
        }
        for wanted in ["zh", "zh-CN", "zh-SG", "zh-Hans", "zh-cmn-Hans-CN"] {
            assert_eq!(best(wanted, &["zh-Hant", "zh"]), "zh", "{wanted}");
            assert_eq!(best(wanted, &["zh-Hant", "zh-Hans"]), "zh-Hans", "{wanted}");
        }
        assert_eq!(
            best("zh-TW", &["zh"]),
            "zh",
            "another script is better than another language"
        );
    }

    #[test]
    fn a_region_falls_back_to_the_parent_that_cldr_names() {
        for (wanted, tags, expected) in [
            ("pt-AO", &["pt", "pt-PT"][..], "pt-PT"),
            ("pt-AO", &["pt-BR", "pt-PT"], "pt-PT"),
            ("pt-AO", &["pt-BR"], "pt-BR"),
            ("pt", &["pt-PT", "pt-BR"], "pt-BR"),
            ("es-MX", &["es", "es-419"], "es-419"),
            ("es-MX", &["es", "es-ES"], "es"),
            ("es-MX", &["es-ES", "es-AR"], "es-AR"),
            ("en-AU", &["en-US", "en-001"], "en-001"),
            ("en-AU", &["en-US", "en-GB"], "en-GB"),
            ("en-NZ", &["en", "en-001"], "en-001"),
            ("en-PH", &["en-GB", "en-US"], "en"),
            ("nb", &["no"], "no"),
            ("no", &["nb"], "nb"),
            ("nb-NO", &["da", "no"], "no"),
            ("nn", &["nb"], "nb"),
            ("no", &["nn", "nb"], "nn"),
            ("sr-Latn", &["sr", "sr-Latn"], "sr-Latn"),
            ("sr-ME", &["sr", "sr-Latn"], "sr-Latn"),
            ("sr-RS", &["sr-Latn", "sr"], "sr"),
            ("sh", &["sr", "sr-Latn"], "sr-Latn"),
            ("iw", &["he"], "he"),
            ("he-IL", &["iw"], "iw"),
            ("tl-PH", &["fil"], "fil"),
            ("de-DE-u-co-phonebk", &["de"], "de"),
            ("de-AT-1996", &["de", "de-AT"], "de-AT"),
            ("de-1996", &["de", "de-1996"], "de-1996"),
            ("en-US-x-foo", &["en-GB", "en-US"], "en-US"),
            ("i-klingon", &["tlh"], "tlh"),
            ("zh-min-nan", &["nan", "zh"], "nan"),
            ("fr-BE", &["fr-CA", "fr-FR"], "fr-FR"),
        ] {
            assert_eq!(best(wanted, tags), expected, "{wanted} of {tags:?}");
        }
    }

    #[test]
    fn texts_are_looked_for_in_the_locale_then_its_parents_then_the_default() {
        let locales = Locales::new(["de", "de-AT", "en"].into_iter(), "en");
        assert_eq!(locales.chain(1), [1, 0, 2]);
        assert_eq!(locales.chain(2), [2]);
        let locales = Locales::new(
            ["zh", "zh-TW", "zh-Hant", "pt", "pt-PT", "pt-AO"].into_iter(),
            "en",
        );
        assert_eq!(
            locales.chain(1),
            [1, 2, 6],
            "Simplified is no parent of Traditional"
        );
        assert_eq!(locales.chain(5), [5, 4, 3, 6]);
        assert!(locales.is_below(1, "zh-Hant") && !locales.is_below(1, "zh"));
    }

    #[test]
    fn two_spellings_of_a_tag_are_one_locale() {
        let locales = Locales::new(["de-AT", "DE_at", "zh-TW", "zh-Hant-TW"].into_iter(), "de-at");
        assert_eq!(locales.tags().len(), 2);
        assert_eq!(locales.negotiate(Some("de-AT")), locales.negotiate(None));
    }
}
