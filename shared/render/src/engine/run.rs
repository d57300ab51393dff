//! Rendering one message.

use std::{collections::BTreeMap, sync::Arc};

use carillon_domain::{json::Value, status::TemplateRef};

use super::{
    compile::{Compiled, CompiledParts, Part},
    context,
    exec::Machine,
    html::shows,
    output::{Escape, Output},
    pack::Pack,
    program::Block,
};
use crate::{
    Content, RenderError, RenderRequest, Rendered,
    budget::{Budget, STEPS},
    fault::{Fault, Stop},
    helpers::LocalReader,
    invisible::{has_controls, is_blank, steady, unturned, without_controls},
    limits, sms,
};

/// Renders a template in a locale, in at most `steps` steps for all its parts together.
pub(super) fn render(
    template: &Compiled,
    pack: &Pack,
    partials: &[BTreeMap<String, Block>; 2],
    request: &RenderRequest,
    reader: LocalReader<'_>,
    steps: u64,
) -> Result<Rendered, RenderError> {
    let variables = context::build(request, template.mentions, &template.id, &pack.tag)?;
    let steady = match &template.parts {
        CompiledParts::Email { .. } | CompiledParts::Push { .. } => steady(&variables),
        CompiledParts::Sms { .. } | CompiledParts::Webhook { .. } => None,
    };
    // Characters that turn text are among those that `steady` finds.
    let unturned = match &template.parts {
        CompiledParts::Email { .. } | CompiledParts::Push { .. } if steady.is_none() => None,
        _ => unturned(&variables),
    };
    let run = Run {
        template,
        pack,
        partials,
        variables: &variables,
        of_lines: steady.as_ref().unwrap_or(&variables),
        of_bodies: unturned.as_ref().unwrap_or(&variables),
        reader,
        budget: &Budget::new(steps),
    };
    let content = match &template.parts {
        CompiledParts::Email { subject, text, html } => run.email(subject, text, html.as_ref())?,
        CompiledParts::Sms { text } => Content::Sms { text: run.sms(text)? },
        CompiledParts::Push {
            title,
            body,
            data,
            collapse,
        } => run.push(title, body, data, collapse.as_ref())?,
        CompiledParts::Webhook { body } => run.webhook(body)?,
    };
    Ok(Rendered {
        template: TemplateRef {
            id: Arc::clone(&template.id),
            version: template.version,
            locale: Arc::clone(&pack.tag),
        },
        content,
    })
}

/// The part of a template whose own text exceeds a limit, with the limit, the text's length, and their unit. `least`
/// returns the shortest text that a part writes.
pub(super) fn excess(
    template: &Compiled,
    pack: &Pack,
    partials: &[BTreeMap<String, Block>; 2],
    none: &Value,
    least: impl Fn(&Part) -> Option<String>,
) -> Option<(String, usize, usize, String)> {
    let run = Run {
        template,
        pack,
        partials,
        variables: none,
        of_lines: none,
        of_bodies: none,
        reader: pack.texts_reader(),
        budget: &Budget::new(STEPS),
    };
    let error = match &template.parts {
        CompiledParts::Email { subject, .. } => run.checked_subject(limits::one_line(&least(subject)?)).err(),
        CompiledParts::Sms { text } => run.checked_sms(&least(text)?).err(),
        CompiledParts::Webhook { .. } => None,
        CompiledParts::Push {
            title,
            body,
            data,
            collapse,
        } => {
            let key = collapse.as_ref().and_then(&least);
            let values = data
                .iter()
                .map(|(key, part)| Ok((key, least(part).unwrap_or_default())));
            key.and_then(|key| run.checked_collapse(&key).err()).or_else(|| {
                let (title, body) = (limits::one_line(&least(title)?), tidy(least(body)?));
                run.checked_push(title, body, values, None).err()
            })
        }
    };
    match error? {
        RenderError::TooLong {
            part,
            limit,
            actual,
            unit,
            ..
        } => Some((part, limit, actual, unit)),
        _ => None,
    }
}

/// Removes white space at the end: template files end with a line break that no message needs.
fn tidy(mut text: String) -> String {
    text.truncate(text.trim_end().len());
    text
}

/// Removes control characters: relays refuse a mail with a bare carriage return or another control character, and devices
/// draw them as boxes.
fn printable(text: String) -> String {
    if has_controls(&text) {
        without_controls(&text)
    } else {
        text
    }
}

struct Run<'a> {
    template: &'a Compiled,
    pack: &'a Pack,
    partials: &'a [BTreeMap<String, Block>; 2],
    variables: &'a Value,
    /// The variables for parts that are one line.
    of_lines: &'a Value,
    /// The variables for parts of several lines that people read.
    of_bodies: &'a Value,
    reader: LocalReader<'a>,
    budget: &'a Budget,
}

impl Run<'_> {
    /// Renders a part that programs read.
    fn part(&self, part: &Part) -> Result<String, RenderError> {
        self.write(part, Escape::None, self.variables)
    }

    /// Renders a part that people read, in which data cannot turn the text around it.
    fn body(&self, part: &Part) -> Result<String, RenderError> {
        Ok(printable(self.write(part, Escape::None, self.of_bodies)?))
    }

    fn html(&self, part: &Part) -> Result<String, RenderError> {
        Ok(printable(self.write(part, Escape::Html, self.of_bodies)?))
    }

    /// Renders a part that is one line, in which data cannot steer the text around it.
    fn line(&self, part: &Part) -> Result<String, RenderError> {
        Ok(limits::one_line(&self.write(
            part,
            Escape::None,
            self.of_lines,
        )?))
    }

    fn write(&self, part: &Part, escape: Escape, root: &Value) -> Result<String, RenderError> {
        let [html_partials, text_partials] = self.partials;
        let machine = Machine {
            pack: self.pack,
            partials: if escape == Escape::Html {
                html_partials
            } else {
                text_partials
            },
            root,
            reader: self.reader,
            budget: self.budget,
        };
        let mut output = Output::new(limits::PART_BYTES, part.hint(), escape, self.budget);
        match machine.run(&part.block, &mut output) {
            Ok(()) => {
                part.wrote(output.text.len());
                Ok(output.text)
            }
            Err(stop) => Err(self.error(*stop, &part.name)),
        }
    }

    fn email(&self, subject: &Part, text: &Part, html: Option<&Part>) -> Result<Content, RenderError> {
        let subject = self.subject(subject)?;
        let text = tidy(self.body(text)?);
        // Beside a text, a blank HTML part would hide it from most readers.
        let html = match html {
            Some(part) => {
                let html = self.html(part)?;
                (part.always_shows(&self.partials[0]) || shows(&html)).then_some(html)
            }
            None => None,
        };
        if is_blank(&text) && html.is_none() {
            return Err(self.blank("text"));
        }
        Ok(Content::Email { subject, text, html })
    }

    fn subject(&self, part: &Part) -> Result<String, RenderError> {
        self.checked_subject(self.line(part)?)
    }

    fn checked_subject(&self, subject: String) -> Result<String, RenderError> {
        if is_blank(&subject) {
            return Err(self.blank("subject"));
        }
        if subject.len() > limits::SUBJECT_BYTES {
            return Err(self.too_long("subject", limits::SUBJECT_BYTES, subject.len(), "bytes"));
        }
        Ok(subject)
    }

    fn sms(&self, part: &Part) -> Result<String, RenderError> {
        self.checked_sms(&self.body(part)?)
    }

    fn checked_sms(&self, text: &str) -> Result<String, RenderError> {
        let text = sms::prepare(text);
        if is_blank(&text) {
            return Err(self.blank("text"));
        }
        let length = text.chars().count();
        if length > limits::SMS_CHARACTERS {
            return Err(self.too_long("text", limits::SMS_CHARACTERS, length, "characters"));
        }
        Ok(text)
    }

    /// The body of a request, which is JSON.
    fn webhook(&self, part: &Part) -> Result<Content, RenderError> {
        let body = tidy(self.write(part, Escape::Json, self.variables)?);
        match serde_json::from_str::<serde::de::IgnoredAny>(&body) {
            Ok(_) => Ok(Content::Webhook { body }),
            Err(error) => Err(RenderError::Invalid {
                template: self.template.id.to_string(),
                detail: format!(
                    "expected the body to be JSON, which it is not: {}",
                    carillon_domain::json::fault(&error)
                ),
                pointer: RenderError::part_pointer(&part.name).into(),
            }),
        }
    }

    fn push(
        &self,
        title: &Part,
        body: &Part,
        data: &[(String, Part)],
        collapse: Option<&Part>,
    ) -> Result<Content, RenderError> {
        let title = self.line(title)?;
        let body = tidy(self.body(body)?);
        if is_blank(&title) && is_blank(&body) {
            return Err(self.blank("body"));
        }
        let values = data.iter().map(|(key, part)| Ok((key, self.part(part)?)));
        self.checked_push(title, body, values, collapse)
    }

    fn checked_push<'k>(
        &self,
        title: String,
        body: String,
        data: impl Iterator<Item = Result<(&'k String, String), RenderError>>,
        collapse: Option<&Part>,
    ) -> Result<Content, RenderError> {
        let mut values = BTreeMap::new();
        for read in data {
            let (key, value) = read?;
            // An empty value, for instance one whose variable is absent, is left out.
            if !value.trim().is_empty() {
                values.insert(key.clone(), value.trim().to_owned());
            }
        }
        let texts = values
            .iter()
            .flat_map(|(key, value)| [key, value])
            .chain([&title, &body]);
        let size = texts.map(|text| json_bytes(text)).sum::<usize>();
        let limit = limits::PUSH_PAYLOAD_BYTES - limits::PUSH_OVERHEAD_BYTES;
        if size > limit {
            return Err(self.too_long("payload", limit, size, "bytes"));
        }
        Ok(Content::Push {
            title,
            body,
            data: values,
            collapse: collapse.map(|part| self.collapse(part)).transpose()?.flatten(),
        })
    }

    /// The key by which a message replaces earlier ones; `None` if the part is empty.
    fn collapse(&self, part: &Part) -> Result<Option<String>, RenderError> {
        self.checked_collapse(&self.part(part)?)
    }

    fn checked_collapse(&self, text: &str) -> Result<Option<String>, RenderError> {
        let key = limits::one_line(text);
        if key.len() > limits::COLLAPSE_BYTES {
            return Err(self.too_long("collapse", limits::COLLAPSE_BYTES, key.len(), "bytes"));
        }
        Ok((!key.is_empty()).then_some(key))
    }

    fn blank(&self, part: &str) -> RenderError {
        RenderError::Blank {
            template: self.template.id.to_string(),
            part: part.to_owned(),
        }
    }

    fn too_long(&self, part: &str, limit: usize, actual: usize, unit: &str) -> RenderError {
        RenderError::TooLong {
            template: self.template.id.to_string(),
            part: part.to_owned(),
            limit,
            actual,
            unit: unit.to_owned(),
        }
    }

    fn error(&self, stop: Stop, part: &str) -> RenderError {
        let template = self.template.id.to_string();
        let of_part = || RenderError::part_pointer(part);
        let file = match &stop.partial {
            None => part.to_owned(),
            Some(partial) => format!("partials/{partial} in {part}"),
        };
        let place = match stop.line {
            None => file,
            Some(line) => format!("{file} line {line}"),
        };
        match stop.fault {
            Fault::Missing { variable, why, at } => RenderError::MissingVariable {
                template,
                place,
                variable,
                why,
                pointer: at.unwrap_or_else(of_part).into(),
            },
            Fault::BadValue {
                variable,
                expected,
                at,
            } => RenderError::BadValue {
                template,
                place,
                variable,
                expected: expected.to_owned(),
                pointer: at.unwrap_or_else(of_part).into(),
            },
            Fault::Misused(why) => RenderError::Invalid {
                template,
                detail: format!("{place}: {why}"),
                pointer: of_part().into(),
            },
            Fault::Exceeded(exceeded) => RenderError::Budget {
                template,
                place,
                limit: exceeded.limit,
                unit: exceeded.unit.to_owned(),
                pointer: of_part().into(),
            },
            Fault::Overflow => self.too_long(part, limits::PART_BYTES, limits::PART_BYTES + 1, "bytes"),
        }
    }
}

/// The bytes that a text takes as a JSON string, including the quotes and a separator.
fn json_bytes(text: &str) -> usize {
    let escapes: usize = text
        .chars()
        .map(|c| match c {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 1,
            c if u32::from(c) < 0x20 => 5,
            _ => 0,
        })
        .sum();
    text.len() + escapes + 3
}
