//! The publish gate: finds faults of templates that compile.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use carillon_domain::Channel;

use super::{
    Engine, Partials, TemplateIssue, Validation, html,
    issue::IssueSite,
    lower::lower,
    parse::parse,
    walk::{self, Uses},
};
use crate::{TemplateDef, TemplateSet, locale::canonical_name, messages::Messages};

impl Engine {
    /// Checks a whole set: everything compiles, every text key exists in the default locale with the variables that it
    /// needs, no data can become markup, style, script or an unchecked link in HTML, no literal always fails. A text that another locale lacks is
    /// a warning.
    #[must_use]
    pub fn validate(set: &TemplateSet) -> Validation {
        let engine = Self::compile(set);
        let mut validation = engine.judge_with_texts(set);
        let errors = std::mem::take(&mut validation.errors);
        let is_wrong = |def: &TemplateDef| errors.iter().any(|issue| issue.is_of(def));
        let unusable = engine.unusable_parts(set, |_| None, is_wrong);
        validation.errors = errors.into_iter().chain(unusable).collect();
        validation
    }

    /// Checks a set that this engine was compiled from; see [`Self::validate`].
    #[must_use]
    pub fn judge_with_texts(&self, set: &TemplateSet) -> Validation {
        let mut validation = self.judge(set);
        for pack in &self.packs {
            let place = IssueSite::new(format!("locales/{}", pack.tag), None, "");
            let found = pack.messages.issues(&pack.tag).into_iter();
            validation
                .errors
                .extend(found.map(|it| place.issue(Some(it.line), it.code, it.message)));
        }
        for twins in self.locales.twins() {
            let place = IssueSite::new(format!("locales/{}", twins.second), None, "");
            let sentence = format!(
                "expected one spelling of a locale: {} and {} are the same one",
                twins.first, twins.second
            );
            validation
                .errors
                .push(place.issue(None, "duplicate-locale", sentence));
        }
        deduplicate(&mut validation.errors);
        validation
    }

    /// Checks the templates of a set that this engine was compiled from, but not the references and literals of its
    /// files of texts, which no template changes.
    #[must_use]
    pub fn judge(&self, set: &TemplateSet) -> Validation {
        let mut validation = Validation {
            errors: self.issues.clone(),
            warnings: Vec::new(),
        };
        let mut gate = Gate {
            locales: self
                .packs
                .iter()
                .map(|pack| (&*pack.tag, &pack.messages))
                .filter(|(tag, _)| set.locales.contains_key(*tag))
                .collect(),
            needs: BTreeMap::new(),
            default: &set.default_locale,
        };
        // Issues of partials are in the engine's list already.
        let partials = Partials::compile(&set.partials, &mut Vec::new());
        for (name, html, template) in partials.all() {
            let place = IssueSite::new(
                format!("partials/{name}"),
                None,
                if html { "html" } else { "text" },
            );
            gate.check(&place, walk::walk(template, html), &mut validation);
        }
        let [html_partials, _] = &self.partials;
        let html = html::Gate::new(html_partials, &mut validation.errors);
        for def in &set.templates {
            for (part, source) in &def.parts {
                if let Ok(template) = parse(source) {
                    let place = IssueSite::new(def.id(), def.locale.as_deref(), part);
                    let is_html = part == "html";
                    gate.check(&place, walk::walk(&template, is_html), &mut validation);
                    // The errors of a template that cannot be lowered are in the engine's list already.
                    if is_html && let Ok(block) = lower(&template) {
                        html.check(&place, &block, &mut validation.errors);
                    }
                }
            }
        }
        self.find_wrong_literals(set, &mut validation.errors);
        find_twins(set, &mut validation.errors);
        deduplicate(&mut validation.errors);
        deduplicate(&mut validation.warnings);
        validation
    }
}

/// Adds an issue for each template that is for the same locale as another one of its name.
fn find_twins(set: &TemplateSet, errors: &mut Vec<TemplateIssue>) {
    let mut first: HashMap<(&str, Channel, String), &str> = HashMap::new();
    for def in &set.templates {
        let Some(locale) = def.locale.as_deref() else {
            continue;
        };
        let key = (def.event_type.as_str(), def.channel, canonical_name(locale));
        if let Some(first) = first.insert(key, locale) {
            let place = IssueSite::new(def.id(), Some(locale), "");
            let sentence =
                format!("expected one template for a locale: {first} and {locale} are the same locale");
            errors.push(place.issue(None, "duplicate-locale", sentence));
        }
    }
}

/// Removes issues that equal an earlier one, such as those of a key that is used twice in a line.
fn deduplicate(issues: &mut Vec<TemplateIssue>) {
    let mut seen = HashSet::with_capacity(issues.len());
    issues.retain(|issue| seen.insert(issue.clone()));
}

struct Gate<'a> {
    /// Locales that have a file of texts, each with its fallback locales.
    locales: Vec<(&'a str, &'a Messages)>,
    /// The variables that a text needs, by tag and key.
    needs: BTreeMap<(&'a str, String), BTreeSet<String>>,
    default: &'a str,
}

impl Gate<'_> {
    fn check(&mut self, place: &IssueSite, uses: Uses, validation: &mut Validation) {
        for (line, code, message) in uses.findings {
            validation.errors.push(place.issue(line, code, message));
        }
        for call in uses.messages {
            let Some(key) = &call.key else {
                let message = "the key of this text is only known when it is rendered, so it was not checked";
                validation
                    .warnings
                    .push(place.issue(call.line, "dynamic-key", message));
                continue;
            };
            let mut in_default = false;
            for (tag, messages) in &self.locales {
                // A text that cannot be read has an issue of its file already, so it is not reported as missing, too.
                let is_unreadable = messages.is_unreadable(key);
                in_default |= *tag == self.default && (messages.has(key) || is_unreadable);
                if messages.has(key) {
                    let needs = self
                        .needs
                        .entry((tag, key.clone()))
                        .or_insert_with(|| messages.needs(key));
                    for name in needs.iter().filter(|name| !call.args.contains(name)) {
                        let message = format!("the text {key} ({tag}) needs {name}=…");
                        validation
                            .errors
                            .push(place.issue(call.line, "missing-argument", message));
                    }
                } else if *tag != self.default && !tag.contains('-') && !is_unreadable {
                    // Regional files hold only the texts that differ from their language's.
                    let message = format!("the text {key} is not translated to {tag}");
                    validation
                        .warnings
                        .push(place.issue(call.line, "missing-translation", message));
                }
            }
            if !in_default {
                let message = format!("there is no text {key} in the default locale {}", self.default);
                validation
                    .errors
                    .push(place.issue(call.line, "unknown-key", message));
            }
        }
    }
}
