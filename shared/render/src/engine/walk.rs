//! A walk over a compiled template, which collects the objects that it uses and the dangers in it.

use handlebars::{
    Template,
    template::{DecoratorTemplate, HelperTemplate, Parameter, TemplateElement},
};

use super::lower::name_of;

/// The messages and partials that a template uses, and its errors.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// Calls of `t`.
    pub(super) messages: Vec<MessageCall>,
    /// Partials by name, with their lines.
    pub(super) partials: Vec<(String, Option<usize>)>,
    /// Forbidden constructs, as line, code and sentence.
    pub(super) findings: Vec<(Option<usize>, &'static str, String)>,
}

/// `{{t "key" name=…}}`.
#[derive(Debug)]
pub(super) struct MessageCall {
    /// The key; `None` if it is known only at rendering.
    pub(super) key: Option<String>,
    pub(super) args: Vec<String>,
    pub(super) line: Option<usize>,
}

/// Walks over a template; in HTML, it also checks escaping and links.
pub(super) fn walk(template: &Template, html: bool) -> Uses {
    let mut walker = Walker {
        uses: Uses::default(),
        html,
        tail: String::new(),
        line: None,
    };
    walker.template(template);
    walker.uses
}

struct Walker {
    uses: Uses,
    html: bool,
    /// The HTML since the last `<`, which shows where in a tag an expression is.
    tail: String,
    line: Option<usize>,
}

impl Walker {
    fn template(&mut self, template: &Template) {
        for (index, element) in template.elements.iter().enumerate() {
            self.line = template.mapping.get(index).map(|at| at.0).or(self.line);
            self.element(element);
        }
    }

    fn find(&mut self, code: &'static str, message: impl Into<String>) {
        self.uses.findings.push((self.line, code, message.into()));
    }

    fn element(&mut self, element: &TemplateElement) {
        match element {
            TemplateElement::RawString(text) => match text.rfind('<') {
                Some(at) => text[at..].clone_into(&mut self.tail),
                None => self.tail.push_str(text),
            },
            TemplateElement::HtmlExpression(call) => {
                if self.html {
                    self.find("unescaped", "expected {{…}}: {{{…}}} would let data become HTML");
                }
                self.expression(call);
            }
            TemplateElement::Expression(call) => self.expression(call),
            TemplateElement::HelperBlock(call) => {
                self.call(call);
                for inner in [&call.template, &call.inverse].into_iter().flatten() {
                    self.template(inner);
                }
            }
            TemplateElement::PartialExpression(partial) | TemplateElement::PartialBlock(partial) => {
                self.partial(partial);
            }
            // Comments, and elements that the engine does not support.
            _ => {}
        }
    }

    fn expression(&mut self, call: &HelperTemplate) {
        if self.html {
            self.place_in_tag(call);
            // A placeholder for the output, so that an attribute with it does not look empty.
            self.tail.push('\u{fffd}');
        }
        self.call(call);
    }

    /// Checks an expression in a tag: in an attribute it must be quoted; in a link it must begin the link with `url`,
    /// or be a piece written by `encode`.
    fn place_in_tag(&mut self, call: &HelperTemplate) {
        if !self.tail.starts_with('<') || self.tail.contains('>') {
            return;
        }
        let name = name_of(&call.name).unwrap_or_default();
        let (attribute, value) = match open_attribute(&self.tail) {
            Attribute::None => return,
            Attribute::Unquoted => {
                self.find("unquoted", "expected quotes around an attribute's value");
                return;
            }
            Attribute::Quoted { name, value } => (name, value),
        };
        if !matches!(
            attribute.as_str(),
            "href" | "src" | "action" | "background" | "formaction" | "poster"
        ) {
            if attribute.starts_with("on") {
                self.find("unsafe-script", "expected no variable in a script");
            }
            return;
        }
        if value.is_empty() && name != "url" {
            self.find(
                "unsafe-link",
                format!("expected {{{{url …}}}} at the beginning of {attribute}"),
            );
        } else if !value.is_empty() && name != "encode" {
            self.find(
                "unsafe-link",
                format!("expected {{{{encode …}}}} inside {attribute}"),
            );
        }
    }

    fn call(&mut self, call: &HelperTemplate) {
        let name = name_of(&call.name).unwrap_or_default();
        let bare = call.params.is_empty() && call.hash.is_empty();
        if name == "t" && !bare {
            self.uses.messages.push(MessageCall {
                key: match call.params.first() {
                    Some(Parameter::Literal(key)) => key.as_str().map(ToOwned::to_owned),
                    _ => None,
                },
                args: call.hash.keys().cloned().collect(),
                line: self.line,
            });
        }
        for parameter in call.params.iter().chain(call.hash.values()) {
            self.parameter(parameter);
        }
    }

    fn parameter(&mut self, parameter: &Parameter) {
        if let Parameter::Subexpression(inner) = parameter
            && let TemplateElement::Expression(call) = inner.as_element()
        {
            self.call(call);
        }
    }

    fn partial(&mut self, partial: &DecoratorTemplate) {
        if let Some(name) = name_of(&partial.name).filter(|name| *name != "@partial-block") {
            self.uses.partials.push((name.to_owned(), self.line));
        }
        for parameter in partial.params.iter().chain(partial.hash.values()) {
            self.parameter(parameter);
        }
        if let Some(block) = &partial.template {
            self.template(block);
        }
    }
}

enum Attribute {
    None,
    Unquoted,
    Quoted { name: String, value: String },
}

/// The attribute whose value is open at the end of a piece of a tag.
fn open_attribute(tag: &str) -> Attribute {
    let mut quote = None;
    let mut name = String::new();
    let mut value = String::new();
    let mut last = ' ';
    for c in tag.chars().skip(1) {
        match quote {
            Some(open) if c == open => {
                quote = None;
                name.clear();
            }
            Some(_) => value.push(c),
            None if matches!(c, '"' | '\'') && last == '=' => {
                quote = Some(c);
                value.clear();
            }
            None if c.is_whitespace() => {
                if last != '=' {
                    name.clear();
                    last = ' ';
                }
                continue;
            }
            None if c == '=' => {}
            None => name.push(c.to_ascii_lowercase()),
        }
        last = c;
    }
    match quote {
        Some(_) => Attribute::Quoted {
            name,
            value: value.trim_start().to_owned(),
        },
        None if last == '=' => Attribute::Unquoted,
        None => Attribute::None,
    }
}
