//! Compiles the text of a template into the form that is rendered.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    context::Mentions,
    html,
    issue::{IssueSite, TemplateIssue},
    lower::lower,
    pack::Partials,
    parse::parse,
    program::Block,
    walk,
};
use crate::{
    TemplateDef,
    set::{is_part, is_reserved_key, required_parts},
};
use carillon_domain::Channel;

/// A template that can be rendered.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) id: Arc<str>,
    pub(super) version: u32,
    /// The locale that it serves alone.
    pub(super) locale: Option<String>,
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
        collapse: Option<Part>,
    },
    Webhook {
        body: Part,
    },
}

impl CompiledParts {
    pub(super) fn all(&self) -> Vec<&Part> {
        match self {
            Self::Email { subject, text, html } => [subject, text].into_iter().chain(html).collect(),
            Self::Sms { text } => vec![text],
            Self::Webhook { body } => vec![body],
            Self::Push {
                title,
                body,
                data,
                collapse,
            } => {
                let data = data.iter().map(|(_, part)| part);
                [title, body].into_iter().chain(collapse).chain(data).collect()
            }
        }
    }
}

/// One part of a template.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) block: Block,
    /// The bytes that it wrote last, as an estimate of the next output's size.
    last: AtomicUsize,
    /// Whether it shows something as HTML with any data, once that is known.
    always_shows: OnceLock<bool>,
}

impl Part {
    pub(super) fn hint(&self) -> usize {
        self.last.load(Ordering::Relaxed)
    }

    /// Whether its own text, without any variable, makes it visible as HTML.
    pub(super) fn always_shows(&self, partials: &BTreeMap<String, Block>) -> bool {
        *self
            .always_shows
            .get_or_init(|| html::always_shows(&self.block, partials))
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.last.store(bytes + bytes / 8, Ordering::Relaxed);
    }
}

/// Compiles a template. Faults that keep it from being used are added to `issues`.
pub(super) fn compile_template(
    def: &TemplateDef,
    partials: &Partials,
    shared: Mentions,
    issues: &mut Vec<TemplateIssue>,
) -> Result<Compiled, ()> {
    let before = issues.len();
    let place = |part: &str| IssueSite::new(def.id(), def.locale.as_deref(), part);
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
        if let Some(key) = name.strip_prefix("data.").filter(|key| is_reserved_key(key)) {
            let sentence =
                format!("expected another key than {key}, which FCM and Carillon keep for themselves");
            issues.push(place(name).issue(None, "reserved-key", sentence));
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
        match lower(&template) {
            Ok(block) => parts.push(Part {
                name: name.clone(),
                block,
                last: AtomicUsize::new(source.len()),
                always_shows: OnceLock::new(),
            }),
            Err(found) => {
                issues.extend(
                    found
                        .into_iter()
                        .map(|(line, code, it)| place(name).issue(line, code, it)),
                );
            }
        }
    }
    if issues.len() > before {
        return Err(());
    }
    let mentions = Mentions::of(def.parts.values()).or(shared);
    let parts = arrange(def.channel, parts).ok_or(())?;
    Ok(Compiled {
        id: def.id().into(),
        version: def.version,
        locale: def.locale.clone(),
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
        Channel::Webhook => CompiledParts::Webhook { body: take("body")? },
        Channel::Push => CompiledParts::Push {
            title: take("title")?,
            body: take("body")?,
            collapse: take("collapse"),
            data: parts
                .into_iter()
                .filter_map(|part| Some((part.name.strip_prefix("data.")?.to_owned(), part)))
                .collect(),
        },
    })
}
