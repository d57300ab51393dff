//! Finds parts that no data makes usable: they show nothing, or their own text is too long.

use std::collections::BTreeMap;

use carillon_domain::{json::Value, possible::Possible};
use serde_json::json;

use super::{
    Engine,
    compile::{Compiled, CompiledParts, Part},
    exec::Machine,
    issue::{IssueSite, TemplateIssue},
    made::own_variables,
    pack::Pack,
    places::{Places, Spot},
    program::Block,
    run,
    schemas::ANY,
    shows::{Here, Look},
};
use crate::{
    TemplateDef, TemplateSet,
    budget::{Budget, STEPS},
};

impl Engine {
    /// An issue for each template with a part that is always blank or too long. `schema_of` returns the schema of an
    /// event type's data. `is_wrong` tells the templates that have an issue already, because a blank part may be its
    /// consequence.
    pub(super) fn unusable_parts<'s>(
        &self,
        set: &TemplateSet,
        schema_of: impl Fn(&str) -> Option<&'s serde_json::Value>,
        is_wrong: impl Fn(&TemplateDef) -> bool,
    ) -> Vec<TemplateIssue> {
        let mut issues = Vec::new();
        for def in set.templates.iter().filter(|def| !is_wrong(def)) {
            let schema = schema_of(&def.event_type).unwrap_or(&*ANY);
            let served: Vec<_> = self.served_by(def).collect();
            let unusable: Vec<_> = served
                .iter()
                .filter_map(|(pack, template)| {
                    let template = (def.event_type.as_str(), *template);
                    let found = always_unusable(template, pack, &self.partials, schema)?;
                    Some((&pack.tag, found))
                })
                .collect();
            if let Some((tag, found)) = unusable.first() {
                // If only some of its languages are concerned, the sentence names the first one.
                let language = if unusable.len() < served.len() {
                    format!(" in {tag}")
                } else {
                    String::new()
                };
                let place = IssueSite::new(def.id(), def.locale.as_deref(), &found.part);
                let sentence = format!("{}{language}: expected {}", found.fault, found.expected);
                issues.push(place.issue(None, found.code, sentence));
            }
        }
        issues
    }
}

/// A part that can never be sent in a locale.
#[derive(Debug)]
pub(super) struct UnusablePart {
    pub(super) part: String,
    /// A stable code.
    pub(super) code: &'static str,
    /// The fault of the part, as a clause.
    pub(super) fault: String,
    pub(super) expected: String,
}

/// The part of a template that no data makes usable for a reader of this locale. `schema` is the one of the event's data.
pub(super) fn always_unusable(
    (event_type, template): (&str, &Compiled),
    pack: &Pack,
    partials: &[BTreeMap<String, Block>; 2],
    schema: &serde_json::Value,
) -> Option<UnusablePart> {
    let none = &Value::Object(carillon_domain::json::Map::new());
    let [html_partials, texts] = partials;
    let budget = Budget::new(STEPS);
    let machine = |partials| Machine {
        pack,
        partials,
        root: none,
        reader: pack.texts_reader(),
        budget: &budget,
    };
    let (of_text, of_html) = (machine(texts), machine(html_partials));
    let own = json!({"type": "object", "properties": own_variables(event_type)});
    let (data, of_own) = (Possible::new(schema), Possible::new(&own));
    let look = |machine| Look {
        machine,
        places: Places {
            root: schema,
            data: &data,
            own: &own,
            of_own: &of_own,
            machine,
        },
    };
    let (text, html) = (look(&of_text), look(&of_html));
    let spot = Spot::root();
    let here = Here {
        spot: &spot,
        when: None,
        given: None,
    };
    let is_blank = |part: &Part| matches!(text.shows(&part.block, here), Ok(false));
    let html_is_blank = |part: &Part| matches!(html.is_seen(&part.block, here), Ok(false));
    let blank = match &template.parts {
        CompiledParts::Email { subject, .. } if is_blank(subject) => Some((subject, "it is")),
        CompiledParts::Email { text, html: None, .. } | CompiledParts::Sms { text } if is_blank(text) => {
            Some((text, "it is"))
        }
        CompiledParts::Email {
            text,
            html: Some(html),
            ..
        } if html_is_blank(html) => Some(if is_blank(text) {
            (text, "text and html are")
        } else {
            (html, "it is")
        }),
        CompiledParts::Push { title, body, .. } if is_blank(title) && is_blank(body) => {
            Some((body, "title and body are"))
        }
        _ => None,
    };
    if let Some((part, what)) = blank {
        let in_one = if what == "it is" { "" } else { " in one of them" };
        return Some(UnusablePart {
            part: part.name.clone(),
            code: "blank",
            fault: format!("{what} always blank"),
            expected: match part.name.as_str() {
                "html" => "at least one visible character, or an image".to_owned(),
                _ => format!("at least one visible character{in_one}"),
            },
        });
    }
    let least = |part: &Part| text.least(&part.block, here).ok();
    let (part, limit, actual, unit) = run::excess(template, pack, partials, none, least)?;
    let is_constant = |part: &Part| text.is_constant(&part.block).unwrap_or(false);
    let (part, has) = if part == "payload" {
        let all = template.parts.all().into_iter().all(is_constant);
        (
            "body".to_owned(),
            if all {
                "title, body and data always have"
            } else {
                "title, body and data have at least"
            },
        )
    } else {
        let all = template
            .parts
            .all()
            .into_iter()
            .filter(|it| it.name == part)
            .all(is_constant);
        (part, if all { "it always has" } else { "it has at least" })
    };
    Some(UnusablePart {
        part,
        code: "too-long",
        fault: format!("{has} {actual} {unit}"),
        expected: format!("at most {limit}"),
    })
}
