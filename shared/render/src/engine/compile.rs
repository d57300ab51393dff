//! From a template's text to what renders it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use carillon_domain::Channel;
use handlebars::{Handlebars, Template};

use super::{
    context::Mentions,
    issue::{Place, TemplateIssue},
    pack::Partials,
    walk,
};
use crate::{
    TemplateDef,
    set::{is_part, required_parts},
};

/// The longest text of a part, in bytes.
const MAX_SOURCE: usize = 256 * 1024;
/// How deep blocks and expressions may be nested: parsing and rendering are recursive.
const MAX_DEPTH: usize = 32;

/// A template that can be rendered.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) id: Arc<str>,
    pub(super) version: u32,
    pub(super) parts: CompiledParts,
    pub(super) mentions: Mentions,
}

#[derive(Debug)]
pub(super) enum CompiledParts {
    Email {
        subject: Part,
        text: Part,
        html: Option<Part>,
    },
    Sms {
        text: Part,
    },
    Push {
        title: Part,
        body: Part,
        data: Vec<(String, Part)>,
    },
}

/// One part of a template.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) template: Template,
    /// How many bytes it wrote last: the next one will hardly be longer.
    last: AtomicUsize,
}

impl Part {
    pub(super) fn hint(&self) -> usize {
        self.last.load(Ordering::Relaxed)
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.last.store(bytes + bytes / 8, Ordering::Relaxed);
    }
}

/// Compiles a template; what keeps it from being used is added to `issues`.
pub(super) fn compile_template(
    def: &TemplateDef,
    partials: &Partials,
    shared: Mentions,
    issues: &mut Vec<TemplateIssue>,
) -> Result<Compiled, ()> {
    let before = issues.len();
    let place = |part: &str| Place::new(def.id(), def.locale.as_deref(), part);
    for part in required_parts(def.channel)
        .iter()
        .filter(|part| !def.parts.contains_key(**part))
    {
        issues.push(place(part).issue(None, "required", format!("expected a part {part}")));
    }
    let mut parts = Vec::with_capacity(def.parts.len());
    for (name, source) in &def.parts {
        if !is_part(def.channel, name) {
            issues.push(place(name).issue(None, "unknown-part", format!("{} has no such part", def.channel)));
            continue;
        }
        let template = match parse(source) {
            Ok(template) => template,
            Err((line, message)) => {
                issues.push(place(name).issue(line, "syntax", message));
                continue;
            }
        };
        for (partial, line) in walk::walk(&template, name == "html").partials {
            if let Err((code, message)) = partials.usable(&partial, name == "html") {
                issues.push(place(name).issue(line, code, message));
            }
        }
        parts.push(Part {
            name: name.clone(),
            template,
            last: AtomicUsize::new(source.len()),
        });
    }
    if issues.len() > before {
        return Err(());
    }
    let mentions = Mentions::of(def.parts.values()).or(shared);
    let parts = arrange(def.channel, parts).ok_or(())?;
    Ok(Compiled {
        id: def.id().into(),
        version: def.version,
        parts,
        mentions,
    })
}

fn arrange(channel: Channel, mut parts: Vec<Part>) -> Option<CompiledParts> {
    let mut take = |name: &str| {
        let index = parts.iter().position(|part| part.name == name)?;
        Some(parts.swap_remove(index))
    };
    Some(match channel {
        Channel::Email => CompiledParts::Email {
            subject: take("subject")?,
            text: take("text")?,
            html: take("html"),
        },
        Channel::Sms => CompiledParts::Sms { text: take("text")? },
        Channel::Push => CompiledParts::Push {
            title: take("title")?,
            body: take("body")?,
            data: parts
                .into_iter()
                .filter_map(|part| Some((part.name.strip_prefix("data.")?.to_owned(), part)))
                .collect(),
        },
    })
}

/// Parses a text, or says at which line it is wrong.
pub(super) fn parse(source: &str) -> Result<Template, (Option<usize>, String)> {
    if source.len() > MAX_SOURCE {
        return Err((None, format!("expected at most {MAX_SOURCE} bytes")));
    }
    if depth(source) > MAX_DEPTH {
        return Err((
            None,
            format!("expected blocks and expressions nested at most {MAX_DEPTH} deep"),
        ));
    }
    let mut registry = Handlebars::new();
    // A partial's lines stand as they are written, not indented by the place that includes it.
    registry.set_prevent_indent(true);
    registry.register_template_string("it", source).map_err(|error| {
        let line = error.pos().map(|(line, _)| line);
        (
            line,
            error.reason().to_string().lines().collect::<Vec<_>>().join(" "),
        )
    })?;
    let mut template = registry.get_template("it").cloned().unwrap_or_default();
    template.name = None;
    Ok(template)
}

/// How deep a text nests blocks or parentheses, at most; told without parsing it.
fn depth(source: &str) -> usize {
    let (mut blocks, mut parens, mut deepest) = (0_usize, 0_usize, 0_usize);
    let bytes = source.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'(' => parens += 1,
            b')' => parens = parens.saturating_sub(1),
            b'}' => parens = 0,
            b'#' | b'^' if index > 0 && matches!(bytes[index - 1], b'{' | b'~') => blocks += 1,
            b'/' if index > 0 && matches!(bytes[index - 1], b'{' | b'~') => blocks = blocks.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(blocks).max(parens);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_would_exhaust_the_stack_is_refused_before_it_is_parsed() {
        let blocks = "{{#if a}}".repeat(10_000);
        assert!(parse(&blocks).unwrap_err().1.contains("nested"));
        let parens = format!("{{{{x {}", "(".repeat(10_000));
        assert!(parse(&parens).unwrap_err().1.contains("nested"));
        assert!(parse(&"{{#if a}}x{{/if}}".repeat(1_000)).is_ok());
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        let (line, message) = parse("one\ntwo {{#if x}}\nthree {{/each}}").unwrap_err();
        assert!(line.is_some());
        assert!(!message.is_empty());
    }
}
