//! Errors of templates, comparisons in their conditions, and lines that data cannot imitate.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod blanks;
mod comparisons;
mod edges;
mod errors;
mod formats;
mod kinds;
mod lines;
mod literals;
mod ruled_out;
mod sentences;
mod sound;
#[path = "../support/mod.rs"]
mod support;
mod texts;
mod unfit;
mod values;

use carillon_domain::Channel;
use carillon_render::{
    Content, Engine, PartialDef, Parts, RenderError, TemplateDef, TemplateIssue, TemplateSet,
};
use serde_json::Value;
use support::request;

/// A set of one template.
fn set(channel: Channel, parts: &[(&str, &str)]) -> TemplateSet {
    let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    TemplateSet {
        templates: vec![TemplateDef {
            event_type: "A".to_owned(),
            channel,
            locale: None,
            version: 1,
            parts: parts.iter().map(own).collect(),
        }],
        ..TemplateSet::default()
    }
}

fn render(set: &TemplateSet, json: &str) -> Result<Content, RenderError> {
    let request = request(set.templates[0].channel, json);
    Engine::compile(set)
        .render(&request)
        .map(|rendered| rendered.content)
}

/// The text of a text message.
fn sms(template: &str, data: &Value) -> Result<String, RenderError> {
    match render(&set(Channel::Sms, &[("text", template)]), &data.to_string())? {
        Content::Sms { text } => Ok(text),
        other => panic!("{other:?}"),
    }
}

/// A set of one text message, with texts by locale.
fn with_texts(template: &str, locales: &[(&str, &str)]) -> TemplateSet {
    let owned = |(tag, text): &(&str, &str)| ((*tag).to_owned(), (*text).to_owned());
    TemplateSet {
        locales: locales.iter().map(owned).collect(),
        ..set(Channel::Sms, &[("text", template)])
    }
}

/// The refusals of a set by the publish gate.
fn refusals(set: &TemplateSet) -> Vec<TemplateIssue> {
    Engine::validate(set).errors
}
