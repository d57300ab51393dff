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

/// Walks over a template; in HTML, it also finds output that is not escaped.
pub(super) fn walk(template: &Template, html: bool) -> Uses {
    let mut walker = Walker {
        uses: Uses::default(),
        html,
        line: None,
    };
    walker.template(template);
    walker.uses
}

struct Walker {
    uses: Uses,
    html: bool,
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
            TemplateElement::HtmlExpression(call) => {
                if self.html {
                    self.find("unescaped", "expected {{…}}: {{{…}}} would let data become HTML");
                }
                self.call(call);
            }
            TemplateElement::Expression(call) => self.call(call),
            TemplateElement::HelperBlock(call) => {
                self.call(call);
                for inner in [&call.template, &call.inverse].into_iter().flatten() {
                    self.template(inner);
                }
            }
            TemplateElement::PartialExpression(partial) | TemplateElement::PartialBlock(partial) => {
                self.partial(partial);
            }
            // Text, comments, and elements that the engine does not support.
            _ => {}
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
