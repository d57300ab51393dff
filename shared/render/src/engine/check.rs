//! The publish gate: what compiles may still be wrong.

use std::collections::BTreeMap;

use super::{
    Engine, Partials, TemplateIssue, Validation,
    issue::Place,
    parse::parse,
    walk::{self, Uses},
};
use crate::{TemplateSet, messages::Bundle};

impl Engine {
    /// Checks a whole set: everything compiles, every text key exists in the default locale with the variables that it
    /// needs, no data can become HTML or a script's link. A text that another locale lacks is a warning.
    #[must_use]
    pub fn validate(set: &TemplateSet) -> Validation {
        let mut validation = Validation {
            errors: Self::compile(set).issues,
            warnings: Vec::new(),
        };
        let gate = Gate {
            bundles: set
                .locales
                .iter()
                .map(|(tag, ftl)| (tag.as_str(), Bundle::read(tag, ftl).0))
                .collect(),
            default: &set.default_locale,
        };
        // Issues of partials are in the engine's list already.
        let partials = Partials::compile(&set.partials, &mut Vec::new());
        for (name, html, template) in partials.all() {
            let place = Place::new(
                format!("partials/{name}"),
                None,
                if html { "html" } else { "text" },
            );
            gate.check(&place, walk::walk(template, html), &mut validation);
        }
        for def in &set.templates {
            for (part, source) in &def.parts {
                if let Ok(template) = parse(source) {
                    let place = Place::new(def.id(), def.locale.as_deref(), part);
                    gate.check(&place, walk::walk(&template, part == "html"), &mut validation);
                }
            }
        }
        deduplicate(&mut validation.errors);
        deduplicate(&mut validation.warnings);
        validation
    }
}

/// One key may be used in several places; it is named once for each.
fn deduplicate(issues: &mut Vec<TemplateIssue>) {
    let mut seen: Vec<TemplateIssue> = Vec::with_capacity(issues.len());
    for issue in issues.drain(..) {
        if !seen.contains(&issue) {
            seen.push(issue);
        }
    }
    *issues = seen;
}

struct Gate<'a> {
    bundles: BTreeMap<&'a str, Bundle>,
    default: &'a str,
}

impl Gate<'_> {
    fn check(&self, place: &Place, uses: Uses, validation: &mut Validation) {
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
            for (tag, bundle) in &self.bundles {
                match bundle.keys.get(key) {
                    Some(needs) => {
                        for name in needs.iter().filter(|name| !call.args.contains(name)) {
                            let message = format!("the text {key} ({tag}) needs {name}=…");
                            validation
                                .errors
                                .push(place.issue(call.line, "missing-argument", message));
                        }
                    }
                    // Regional files hold only what differs from their language's.
                    None if *tag != self.default && !tag.contains('-') => {
                        let message = format!("the text {key} is not translated to {tag}");
                        validation
                            .warnings
                            .push(place.issue(call.line, "missing-translation", message));
                    }
                    None => {}
                }
            }
            if !self
                .bundles
                .get(self.default)
                .is_some_and(|bundle| bundle.keys.contains_key(key))
            {
                let message = format!("there is no text {key} in the default locale {}", self.default);
                validation
                    .errors
                    .push(place.issue(call.line, "unknown-key", message));
            }
        }
    }
}
