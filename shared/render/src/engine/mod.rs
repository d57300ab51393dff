//! A tenant's templates, compiled: an immutable snapshot that renders without locks.

mod check;
mod compare;
mod compile;
mod context;
mod default_body;
mod eval;
mod exec;
mod html;
mod issue;
mod lack;
mod literals;
mod lower;
mod made;
mod output;
mod pack;
mod parse;
mod places;
mod program;
mod readings;
mod run;
mod schemas;
mod scope;
mod shapes;
mod shows;
mod syntax;
mod tags;
mod unusable;
mod walk;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use carillon_domain::Channel;

pub use self::issue::{TemplateIssue, Validation};
pub(crate) use self::readings::Reading;
use self::{
    compile::{Compiled, compile_template},
    context::Mentions,
    pack::{Pack, Partials},
    program::Block,
};
use crate::{
    RenderError, RenderRequest, Rendered, TemplateDef, TemplateSet, budget, helpers::LocalReader,
    locale::Locales,
};

/// A tenant's templates, compiled.
#[derive(Debug)]
pub struct Engine {
    revision: i64,
    locales: Locales,
    /// The compiled locales by their number.
    packs: Vec<Pack>,
    /// The partials for HTML parts, then those for all other parts.
    partials: [BTreeMap<String, Block>; 2],
    types: HashMap<String, [Option<Family>; Channel::ALL.len()]>,
    issues: Vec<TemplateIssue>,
}

/// The templates of one type on one channel: the one that serves each locale.
#[derive(Debug)]
struct Family {
    by_locale: Vec<Option<Arc<Slot>>>,
}

/// A template, or the reason why it cannot be used.
type Slot = Result<Compiled, RenderError>;

impl Engine {
    /// Compiles everything. A faulty template does not affect the others: its faults stand in [`Engine::issues`], and
    /// rendering it is [`RenderError::Invalid`].
    #[must_use]
    pub fn compile(set: &TemplateSet) -> Self {
        Self::compile_beside(set, None)
    }

    /// Like [`Self::compile`], but takes over the files of texts that `former` was compiled from, without reading
    /// them again.
    #[must_use]
    pub fn compile_beside(set: &TemplateSet, former: Option<&Self>) -> Self {
        let locales = Locales::of(set);
        let mut issues = Vec::new();
        let partials = Partials::compile(&set.partials, &mut issues);
        let former = former.map_or(&[][..], |former| &former.packs);
        let packs = Pack::compile(&locales, &set.locales, former, &mut issues);
        let shared = Mentions::of(set.partials.iter().flat_map(|partial| partial.parts.values()));
        let mut types: HashMap<String, [Option<Family>; Channel::ALL.len()]> = HashMap::new();
        // Templates for single locales come last, the most specific at the end, so that they replace the general ones
        // there.
        let (mut own, general): (Vec<_>, Vec<_>) = set.templates.iter().partition(|def| def.locale.is_some());
        own.sort_by_key(|def| def.locale.as_ref().map_or(0, |tag| tag.split('-').count()));
        for def in general.into_iter().chain(own) {
            let mut found = Vec::new();
            let slot =
                compile_template(def, &partials, shared, &mut found).map_err(|()| RenderError::Invalid {
                    template: def.id(),
                    detail: found.first().map_or_else(String::new, ToString::to_string),
                    pointer: found
                        .first()
                        .map(TemplateIssue::pointer)
                        .unwrap_or_default()
                        .into(),
                });
            issues.append(&mut found);
            let slot = Arc::new(slot);
            let family = types.entry(def.event_type.clone()).or_default()[channel_index(def.channel)]
                .get_or_insert_with(|| Family {
                    by_locale: vec![None; packs.len()],
                });
            for (index, place) in family.by_locale.iter_mut().enumerate() {
                if def
                    .locale
                    .as_deref()
                    .is_none_or(|own| locales.is_below(index, own))
                {
                    *place = Some(Arc::clone(&slot));
                }
            }
        }
        Self {
            revision: set.revision,
            locales,
            packs,
            partials: partials.into_blocks(),
            types,
            issues,
        }
    }

    /// The revision of the set that was compiled.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The faults that keep templates from being used.
    #[must_use]
    pub fn issues(&self) -> &[TemplateIssue] {
        &self.issues
    }

    /// The locales that have texts.
    pub fn locales(&self) -> impl Iterator<Item = &str> {
        self.locales.tags().iter().map(AsRef::as_ref)
    }

    /// Renders one message. A message that takes more work than the budget fails with [`RenderError::Budget`].
    pub fn render(&self, request: &RenderRequest) -> Result<Rendered, RenderError> {
        self.render_within(request, budget::STEPS)
    }

    /// Renders one message in at most `steps` steps.
    pub(crate) fn render_within(&self, request: &RenderRequest, steps: u64) -> Result<Rendered, RenderError> {
        let missing = || RenderError::MissingTemplate {
            template: format!("{}/{}", request.event_type, request.channel),
        };
        let family = self
            .types
            .get(&*request.event_type)
            .and_then(|channels| channels[channel_index(request.channel)].as_ref());
        let (locale, conventions) = self.locales.serve(request.locale.as_deref());
        let slot = family.and_then(|family| family.by_locale[locale].as_deref());
        // An endpoint that no template serves gets the event.
        if slot.is_none() && request.channel == Channel::Webhook {
            return default_body::rendered(request, &self.packs[locale].tag);
        }
        let slot = slot.ok_or_else(missing)?;
        let template = slot.as_ref().map_err(RenderError::clone)?;
        let pack = &self.packs[locale];
        let reader = LocalReader {
            conventions: conventions.as_deref().unwrap_or(&pack.conventions),
            timezone: request.timezone.as_deref(),
        };
        run::render(template, pack, &self.partials, request, reader, steps)
    }
}

impl Engine {
    /// The locale of the template that serves a request's reader: `Some(None)` for the one that serves all locales
    /// without a template of their own. `None` if no template serves the reader, or a faulty one.
    #[must_use]
    pub fn serving(&self, request: &RenderRequest) -> Option<Option<&str>> {
        let channels = self.types.get(&*request.event_type)?;
        let family = channels[channel_index(request.channel)].as_ref()?;
        let locale = self.locales.negotiate(request.locale.as_deref());
        let template = (**family.by_locale[locale].as_ref()?).as_ref().ok()?;
        Some(template.locale.as_deref())
    }

    /// The locales that a template serves, each with its compiled form.
    fn served_by<'e>(&'e self, def: &'e TemplateDef) -> impl Iterator<Item = (&'e Pack, &'e Compiled)> {
        let family = self.types.get(&def.event_type);
        let family = family.and_then(|channels| channels[channel_index(def.channel)].as_ref());
        let slots = family.map_or(&[][..], |family| &family.by_locale);
        self.packs
            .iter()
            .zip(slots)
            .filter_map(|(pack, slot)| match slot.as_deref() {
                Some(Ok(template)) if template.locale == def.locale => Some((pack, template)),
                _ => None,
            })
    }
}

fn channel_index(channel: Channel) -> usize {
    match channel {
        Channel::Push => 0,
        Channel::Email => 1,
        Channel::Sms => 2,
        Channel::Webhook => 3,
    }
}
