//! What all templates of a locale share: its messages, helpers and partials.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use handlebars::{Handlebars, Template};

use super::{
    issue::{Place, TemplateIssue},
    parse::parse,
    walk,
};
use crate::{
    PartialDef, helpers,
    locale::Locales,
    messages::{Bundle, Messages},
};

/// How deep partials may include each other.
const MAX_INCLUDES: usize = 8;

/// A locale.
#[derive(Debug)]
pub(super) struct Pack {
    pub(super) tag: Arc<str>,
    /// For HTML parts.
    pub(super) html: Handlebars<'static>,
    /// For all others.
    pub(super) text: Handlebars<'static>,
}

impl Pack {
    pub(super) fn compile(
        locales: &Locales,
        files: &BTreeMap<String, String>,
        partials: &Partials,
        issues: &mut Vec<TemplateIssue>,
    ) -> Vec<Self> {
        let bundles: Vec<Arc<Bundle>> = locales
            .tags()
            .iter()
            .map(|tag| {
                let (bundle, found) = Bundle::read(tag, files.get(&**tag).map_or("", String::as_str));
                let place = Place::new(format!("locales/{tag}"), None, "");
                issues.extend(
                    found
                        .into_iter()
                        .map(|it| place.issue(Some(it.line), "syntax", it.message)),
                );
                Arc::new(bundle)
            })
            .collect();
        locales
            .tags()
            .iter()
            .enumerate()
            .map(|(index, tag)| {
                let chain = locales
                    .chain(index)
                    .into_iter()
                    .map(|index| Arc::clone(&bundles[index]));
                let messages = Messages::new(chain.collect());
                Self {
                    tag: Arc::clone(tag),
                    html: registry(tag, &messages, &partials.html, escape_html),
                    text: registry(tag, &messages, &partials.text, handlebars::no_escape),
                }
            })
            .collect()
    }
}

fn registry(
    tag: &str,
    messages: &Messages,
    partials: &BTreeMap<String, Partial>,
    escape: fn(&str) -> String,
) -> Handlebars<'static> {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.register_escape_fn(escape);
    helpers::register(&mut registry, tag, messages);
    for (name, partial) in partials {
        if let Ok(template) = &partial.template {
            registry.register_template(name, template.clone());
        }
    }
    registry
}

/// Escapes what ends text or a quoted attribute; the publish gate refuses expressions anywhere else in a tag.
fn escape_html(text: &str) -> String {
    let special = |byte: &u8| matches!(byte, b'&' | b'<' | b'>' | b'"' | b'\'');
    let count = text.as_bytes().iter().filter(|byte| special(byte)).count();
    if count == 0 {
        return text.to_owned();
    }
    let mut escaped = String::with_capacity(text.len() + count * 5);
    let mut rest = text;
    while let Some(at) = rest.as_bytes().iter().position(special) {
        escaped.push_str(&rest[..at]);
        escaped.push_str(match rest.as_bytes()[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            _ => "&#39;",
        });
        rest = &rest[at + 1..];
    }
    escaped.push_str(rest);
    escaped
}

/// The partials that can be included.
#[derive(Debug, Default)]
pub(super) struct Partials {
    html: BTreeMap<String, Partial>,
    text: BTreeMap<String, Partial>,
}

#[derive(Debug)]
struct Partial {
    template: Result<Template, String>,
    includes: Vec<String>,
}

impl Partials {
    pub(super) fn compile(defs: &[PartialDef], issues: &mut Vec<TemplateIssue>) -> Self {
        let mut partials = Self::default();
        for def in defs {
            for (part, source) in &def.parts {
                let place = Place::new(format!("partials/{}", def.name), None, part);
                let kind = match part.as_str() {
                    "html" => &mut partials.html,
                    "text" => &mut partials.text,
                    _ => {
                        issues.push(place.issue(None, "unknown-part", "expected html or text"));
                        continue;
                    }
                };
                let template = parse(source).map_err(|(line, message)| {
                    issues.push(place.issue(line, "syntax", message.clone()));
                    message
                });
                let includes = template.as_ref().map_or_else(
                    |_| Vec::new(),
                    |template| {
                        walk::walk(template, false)
                            .partials
                            .into_iter()
                            .map(|(name, _)| name)
                            .collect()
                    },
                );
                kind.insert(def.name.clone(), Partial { template, includes });
            }
        }
        partials
    }

    /// Each partial's name, whether it is HTML, and its compiled form.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, bool, &Template)> {
        self.html
            .iter()
            .map(|entry| (entry, true))
            .chain(self.text.iter().map(|entry| (entry, false)))
            .filter_map(|((name, partial), html)| {
                Some((name.as_str(), html, partial.template.as_ref().ok()?))
            })
    }

    /// Whether a partial and all that it includes are there and end: one that includes itself would never.
    pub(super) fn usable(&self, name: &str, html: bool) -> Result<(), (&'static str, String)> {
        visit(
            name,
            if html { &self.html } else { &self.text },
            &mut BTreeSet::new(),
        )
    }
}

fn visit<'a>(
    name: &'a str,
    kind: &'a BTreeMap<String, Partial>,
    open: &mut BTreeSet<&'a str>,
) -> Result<(), (&'static str, String)> {
    let partial = kind
        .get(name)
        .ok_or_else(|| ("unknown-partial", format!("there is no partial {name}")))?;
    if let Err(why) = &partial.template {
        return Err((
            "unknown-partial",
            format!("the partial {name} cannot be used: {why}"),
        ));
    }
    if !open.insert(name) {
        return Err(("recursive-partial", format!("the partial {name} includes itself")));
    }
    if open.len() > MAX_INCLUDES {
        return Err((
            "recursive-partial",
            format!("expected partials to include each other at most {MAX_INCLUDES} deep"),
        ));
    }
    for inner in &partial.includes {
        visit(inner, kind, open)?;
    }
    open.remove(name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_text_or_an_attribute_is_escaped() {
        assert_eq!(
            escape_html("<b a=\"x\">'&é"),
            "&lt;b a=&quot;x&quot;&gt;&#39;&amp;é"
        );
        assert_eq!(escape_html("plain"), "plain");
    }
}
