//! The messages, helpers and partials that all templates of a locale share.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use handlebars::Template;

use super::{
    issue::{IssueSite, TemplateIssue, UNUSABLE_PARTIAL},
    lower::lower,
    parse::parse,
    program::Block,
    walk,
};
use crate::{
    PartialDef,
    helpers::{Conventions, LocalReader},
    locale::Locales,
    messages::{Bundle, Messages},
};

/// The maximum depth of partials that include each other.
const MAX_INCLUDES: usize = 8;

/// A locale.
#[derive(Debug)]
pub(super) struct Pack {
    pub(super) tag: Arc<str>,
    /// The conventions of the locale itself, which its readers in other regions may not share.
    pub(super) conventions: Arc<Conventions>,
    pub(super) messages: Messages,
}

impl Pack {
    /// A reader of the locale itself, whose clock is UTC.
    pub(super) fn texts_reader(&self) -> LocalReader<'_> {
        LocalReader {
            conventions: &self.conventions,
            timezone: None,
        }
    }

    pub(super) fn compile(
        locales: &Locales,
        files: &BTreeMap<String, String>,
        former: &[Self],
        issues: &mut Vec<TemplateIssue>,
    ) -> Vec<Self> {
        let tags = locales.tags().iter();
        tags.zip(messages(locales, files, former, issues))
            .map(|(tag, messages)| Self {
                tag: Arc::clone(tag),
                conventions: Arc::new(Conventions::of(tag)),
                messages,
            })
            .collect()
    }
}

/// The messages of each locale, with those of its fallback locales. A file that a former pack of the locale was
/// read from is not read again.
fn messages(
    locales: &Locales,
    files: &BTreeMap<String, String>,
    former: &[Pack],
    issues: &mut Vec<TemplateIssue>,
) -> Vec<Messages> {
    let bundles: Vec<Arc<Bundle>> = locales
        .tags()
        .iter()
        .map(|tag| {
            let ftl = files.get(&**tag).map_or("", String::as_str);
            let same = former.iter().find(|pack| pack.tag == *tag);
            let same = same.and_then(|pack| pack.messages.own_if_of(ftl));
            let bundle = same.map_or_else(|| Arc::new(Bundle::read(tag, ftl)), Arc::clone);
            let place = IssueSite::new(format!("locales/{tag}"), None, "");
            let found = bundle.issues().iter();
            issues.extend(found.map(|it| place.issue(Some(it.line), it.code, it.message.clone())));
            bundle
        })
        .collect();
    let chain = |index| {
        let chain = locales.chain(index).into_iter();
        Messages::new(chain.map(|index| Arc::clone(&bundles[index])).collect())
    };
    (0..bundles.len()).map(chain).collect()
}

/// The partials that can be included.
#[derive(Debug, Default)]
pub(super) struct Partials {
    html: BTreeMap<String, Partial>,
    text: BTreeMap<String, Partial>,
    html_verdicts: Verdicts,
    text_verdicts: Verdicts,
}

#[derive(Debug)]
struct Partial {
    template: Option<Template>,
    block: Result<Block, String>,
    includes: Vec<String>,
}

impl Partials {
    pub(super) fn compile(defs: &[PartialDef], issues: &mut Vec<TemplateIssue>) -> Self {
        let mut partials = Self::default();
        for def in defs {
            for (part, source) in &def.parts {
                let place = IssueSite::new(format!("partials/{}", def.name), None, part);
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
                let block = template.as_ref().map_err(Clone::clone).and_then(|template| {
                    lower(template).map_err(|found| {
                        let first = found.first().map_or_else(String::new, |(_, _, it)| it.clone());
                        issues.extend(
                            found
                                .into_iter()
                                .map(|(line, code, it)| place.issue(line, code, it)),
                        );
                        first
                    })
                });
                let template = template.ok();
                let partial = Partial {
                    template,
                    block,
                    includes,
                };
                kind.insert(def.name.clone(), partial);
            }
        }
        partials.html_verdicts = judge(&partials.html);
        partials.text_verdicts = judge(&partials.text);
        partials
    }

    /// Each partial's name, whether it is HTML, and its compiled form.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, bool, &Template)> {
        self.html
            .iter()
            .map(|entry| (entry, true))
            .chain(self.text.iter().map(|entry| (entry, false)))
            .filter_map(|((name, partial), html)| Some((name.as_str(), html, partial.template.as_ref()?)))
    }

    /// The compiled partials by name: those for HTML parts, then those for all other parts.
    pub(super) fn into_blocks(self) -> [BTreeMap<String, Block>; 2] {
        [self.html, self.text].map(|partials| {
            partials
                .into_iter()
                .filter_map(|(name, partial)| Some((name, partial.block.ok()?)))
                .collect()
        })
    }

    /// Checks that a partial and all that it includes exist, and that none of them includes itself.
    pub(super) fn usable(&self, name: &str, html: bool) -> Result<(), UnusablePack> {
        let verdicts = if html {
            &self.html_verdicts
        } else {
            &self.text_verdicts
        };
        match verdicts.get(name) {
            Some(verdict) => verdict.clone().map(|_| ()),
            None => Err(("unknown-partial", format!("there is no partial {name}"))),
        }
    }
}

/// A code and a sentence that say why a partial cannot be used.
type UnusablePack = (&'static str, String);

/// The levels of partials that each partial includes, itself counted, or the reason why it cannot be used.
type Verdicts = BTreeMap<String, Result<usize, UnusablePack>>;

fn judge(kind: &BTreeMap<String, Partial>) -> Verdicts {
    let mut known = BTreeMap::new();
    let verdicts = kind.keys().map(|name| {
        let verdict = visit(name, kind, &mut BTreeSet::new(), &mut known);
        (name.clone(), verdict)
    });
    verdicts.collect()
}

/// The levels of one partial. Each usable partial is examined once, even if it is included several times.
fn visit<'a>(
    name: &'a str,
    kind: &'a BTreeMap<String, Partial>,
    open: &mut BTreeSet<&'a str>,
    known: &mut BTreeMap<&'a str, usize>,
) -> Result<usize, UnusablePack> {
    let too_deep = || {
        let sentence = format!("expected partials to include each other at most {MAX_INCLUDES} deep");
        ("recursive-partial", sentence)
    };
    if let Some(levels) = known.get(name) {
        return if open.len() + levels > MAX_INCLUDES {
            Err(too_deep())
        } else {
            Ok(*levels)
        };
    }
    let partial = kind
        .get(name)
        .ok_or_else(|| ("unknown-partial", format!("there is no partial {name}")))?;
    if let Err(why) = &partial.block {
        return Err((
            UNUSABLE_PARTIAL,
            format!("the partial {name} cannot be used: {why}"),
        ));
    }
    if !open.insert(name) {
        return Err(("recursive-partial", format!("the partial {name} includes itself")));
    }
    if open.len() > MAX_INCLUDES {
        return Err(too_deep());
    }
    let mut levels = 1;
    for inner in &partial.includes {
        levels = levels.max(1 + visit(inner, kind, open, known)?);
    }
    open.remove(name);
    known.insert(name, levels);
    Ok(levels)
}
