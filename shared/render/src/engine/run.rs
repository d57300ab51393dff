//! Rendering one message.

use std::sync::Arc;

use carillon_domain::status::TemplateRef;
use handlebars::{Context, Handlebars, RenderContext, RenderErrorReason, Renderable as _};

use super::{
    compile::{Compiled, CompiledParts, Part},
    context,
    output::Capped,
    pack::Pack,
};
use crate::{Content, RenderError, RenderRequest, Rendered, helpers::HelperError, limits};

/// Renders a template in a locale.
pub(super) fn render(
    template: &Compiled,
    pack: &Pack,
    request: &RenderRequest,
) -> Result<Rendered, RenderError> {
    let variables = context::build(request, template.mentions, &template.id, &pack.tag)?;
    let run = Run {
        template,
        context: &variables,
    };
    let content = match &template.parts {
        CompiledParts::Email { subject, text, html } => Content::Email {
            subject: run.subject(subject, &pack.text)?,
            text: tidy(run.part(text, &pack.text)?),
            html: html.as_ref().map(|html| run.part(html, &pack.html)).transpose()?,
        },
        CompiledParts::Sms { text } => Content::Sms {
            text: run.sms(text, &pack.text)?,
        },
        CompiledParts::Push { title, body, data } => run.push(title, body, data, &pack.text)?,
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

/// Template files end with a line break that no message needs.
fn tidy(mut text: String) -> String {
    text.truncate(text.trim_end().len());
    text
}

struct Run<'a> {
    template: &'a Compiled,
    context: &'a Context,
}

impl Run<'_> {
    fn part(&self, part: &Part, registry: &Handlebars<'static>) -> Result<String, RenderError> {
        let mut output = Capped::new(limits::PART_BYTES, part.hint());
        let result = part
            .template
            .render(registry, self.context, &mut RenderContext::new(None), &mut output);
        match result {
            Ok(()) => {
                part.wrote(output.text.len());
                Ok(output.text)
            }
            Err(_) if output.overflown => {
                Err(self.too_long(&part.name, limits::PART_BYTES, limits::PART_BYTES + 1, "bytes"))
            }
            Err(error) => Err(self.error(&error, &part.name)),
        }
    }

    fn subject(&self, part: &Part, registry: &Handlebars<'static>) -> Result<String, RenderError> {
        let subject = limits::one_line(&self.part(part, registry)?);
        if subject.len() > limits::SUBJECT_BYTES {
            return Err(self.too_long("subject", limits::SUBJECT_BYTES, subject.len(), "bytes"));
        }
        Ok(subject)
    }

    fn sms(&self, part: &Part, registry: &Handlebars<'static>) -> Result<String, RenderError> {
        let text = limits::plain_punctuation(self.part(part, registry)?.trim());
        let length = text.chars().count();
        if length > limits::SMS_CHARACTERS {
            return Err(self.too_long("text", limits::SMS_CHARACTERS, length, "characters"));
        }
        Ok(text)
    }

    fn push(
        &self,
        title: &Part,
        body: &Part,
        data: &[(String, Part)],
        registry: &Handlebars<'static>,
    ) -> Result<Content, RenderError> {
        let title = limits::one_line(&self.part(title, registry)?);
        let body = tidy(self.part(body, registry)?);
        let mut values = std::collections::BTreeMap::new();
        for (key, part) in data {
            let value = self.part(part, registry)?;
            // A value that is empty, because what it depends on is not there, is no value.
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
        })
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

    fn error(&self, error: &handlebars::RenderError, part: &str) -> RenderError {
        let template = self.template.id.to_string();
        let line = error
            .line_no
            .map_or_else(String::new, |line| format!(" line {line}"));
        match error.reason() {
            RenderErrorReason::MissingVariable(Some(variable)) => RenderError::MissingVariable {
                template,
                variable: variable.clone(),
            },
            RenderErrorReason::NestedError(nested) => match nested.downcast_ref() {
                Some(HelperError::BadValue { variable, expected }) => RenderError::BadValue {
                    template,
                    variable: variable.clone(),
                    expected: (*expected).to_owned(),
                },
                _ => RenderError::Invalid {
                    template,
                    detail: format!("{part}{line}: {nested}"),
                },
            },
            reason => RenderError::Invalid {
                template,
                detail: format!("{part}{line}: {reason}"),
            },
        }
    }
}

/// How many bytes a text takes as a JSON string, quotes and a separator included.
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
