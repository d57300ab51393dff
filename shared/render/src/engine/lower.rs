//! Converts handlebars' syntax tree to a [`Block`]. Constructs that cannot work with any data are errors
//! here, with their line.

use std::collections::HashMap;

use carillon_domain::field_error::echo;
use handlebars::{
    Path as HandlebarsPath, PathSeg, Template,
    template::{BlockParam, DecoratorTemplate, HelperTemplate, Parameter, TemplateElement},
};

use super::program::{Block, Call, Element, ElementLine, Expr, From, Helper, Path};

/// A line, a stable code and a sentence.
pub(super) type Finding = (Option<usize>, &'static str, String);

/// Lowers a template, or returns all of its errors.
pub(super) fn lower(template: &Template) -> Result<Block, Vec<Finding>> {
    let mut lowering = Lowering {
        line: None,
        findings: Vec::new(),
        up: rule("../a"),
        root: rule("@root/a"),
    };
    let block = lowering.block(template);
    if lowering.findings.is_empty() {
        Ok(block)
    } else {
        Err(lowering.findings)
    }
}

struct Lowering {
    line: Option<usize>,
    findings: Vec<Finding>,
    /// The path segments for `../` and `@root`.
    up: Option<PathSeg>,
    root: Option<PathSeg>,
}

impl Lowering {
    fn block(&mut self, template: &Template) -> Block {
        let mut steps = Vec::with_capacity(template.elements.len());
        for (index, element) in template.elements.iter().enumerate() {
            let line = template.mapping.get(index).map(|at| at.0);
            self.line = line.or(self.line);
            let line = self.line;
            if let Some(element) = self.element(element) {
                steps.push(ElementLine { line, element });
            }
        }
        Block(steps)
    }

    fn find<T>(&mut self, code: &'static str, message: impl Into<String>) -> Option<T> {
        self.findings.push((self.line, code, message.into()));
        None
    }

    fn element(&mut self, element: &TemplateElement) -> Option<Element> {
        match element {
            TemplateElement::RawString(text) => Some(Element::Text(text.clone())),
            TemplateElement::Expression(call) | TemplateElement::HtmlExpression(call) => {
                self.expression(call).map(Element::Print)
            }
            TemplateElement::HelperBlock(call) => self.block_call(call),
            TemplateElement::PartialExpression(partial) | TemplateElement::PartialBlock(partial) => {
                self.partial(partial)
            }
            TemplateElement::DecoratorExpression(_) | TemplateElement::DecoratorBlock(_) => self.find(
                "unsupported",
                "expected no decorator: write a partial of its own instead of an inline one",
            ),
            TemplateElement::Comment(_) => None,
            _ => self.find(
                "unsupported",
                "expected text, an expression, a block or a partial",
            ),
        }
    }

    /// `{{name}}` is a variable, `{{name x}}` and `{{name key=x}}` are calls.
    fn expression(&mut self, call: &HelperTemplate) -> Option<Expr> {
        let name = name_of(&call.name).unwrap_or_default();
        if !call.params.is_empty() || !call.hash.is_empty() {
            return self.call(name, call).map(Expr::Call);
        }
        match &call.name {
            Parameter::Name(_) | Parameter::Path(_) if is_helper(name) => self.find(
                "helper-as-variable",
                format!("{name} is a helper; write this.{name} for the variable"),
            ),
            Parameter::Name(_) | Parameter::Path(_) => self.parameter(&call.name),
            _ => self.find("unknown-helper", format!("there is no helper {name}")),
        }
    }

    fn call(&mut self, name: &str, call: &HelperTemplate) -> Option<Call> {
        if BLOCKS.contains(&name) {
            return self.find(
                "misused-helper",
                format!("{name} is a block: expected {{{{#{name} …}}}}"),
            );
        }
        let Ok(helper) = name.parse::<Helper>() else {
            return self.find("unknown-helper", format!("there is no helper {name}"));
        };
        let args = self.parameters(&call.params)?;
        if args.len() < helper.arity() {
            return self.find("misused-helper", takes(name, args.len()));
        }
        self.surplus(name, call, helper.most(), |_| helper == Helper::T)?;
        let named = self.named(&call.hash)?;
        Some(Call { helper, args, named })
    }

    /// Refuses parameters that a helper would ignore.
    fn surplus(
        &mut self,
        name: &str,
        call: &HelperTemplate,
        most: Option<usize>,
        is_named: impl Fn(&str) -> bool,
    ) -> Option<()> {
        if most.is_some_and(|most| call.params.len() > most) {
            return self.find("misused-helper", takes(name, call.params.len()));
        }
        let mut names: Vec<_> = call.hash.keys().filter(|name| !is_named(name)).collect();
        names.sort_unstable();
        match names.first() {
            Some(unknown) => self.find(
                "misused-helper",
                format!("the helper {name} takes no parameter {}=", echo(unknown)),
            ),
            None => Some(()),
        }
    }

    fn block_call(&mut self, call: &HelperTemplate) -> Option<Element> {
        let name = name_of(&call.name).unwrap_or_default();
        let body = call.template.as_ref().map(|inner| self.block(inner));
        let otherwise = call.inverse.as_ref().map(|inner| self.block(inner));
        if name == "raw" {
            self.surplus(name, call, Some(0), |_| false)?;
            // A raw block holds text only.
            return Some(Element::Choose {
                test: Expr::Literal(true.into()),
                include_zero: None,
                branches: [body, None],
            });
        }
        if !BLOCKS.contains(&name) {
            if !is_helper(name) {
                return self.find("unknown-helper", format!("there is no helper {name}"));
            }
            let test = self.call(name, call)?;
            if !test.helper.is_condition() {
                return self.find(
                    "misused-helper",
                    format!("{name} is not a block: expected {{{{{name} …}}}}"),
                );
            }
            return Some(Element::Choose {
                test: Expr::Call(test),
                include_zero: None,
                branches: [body, otherwise],
            });
        }
        let Some(subject) = call.params.first() else {
            return self.find("misused-helper", takes(name, 0));
        };
        let is_named = |key: &str| key == "includeZero" && matches!(name, "if" | "unless");
        self.surplus(name, call, Some(1), is_named)?;
        let subject = self.parameter(subject)?;
        let names = names_of(call.block_param.as_ref());
        let body = body.unwrap_or_default();
        Some(match name {
            "each" => Element::Each {
                list: subject,
                names,
                body,
                otherwise,
            },
            "with" => Element::With {
                value: subject,
                names,
                body,
                otherwise,
            },
            _ => {
                let include_zero = match call.hash.get("includeZero") {
                    Some(parameter) => Some(self.parameter(parameter)?),
                    None => None,
                };
                let branches = if name == "if" {
                    [Some(body), otherwise]
                } else {
                    [otherwise, Some(body)]
                };
                Element::Choose {
                    test: subject,
                    include_zero,
                    branches,
                }
            }
        })
    }

    fn partial(&mut self, partial: &DecoratorTemplate) -> Option<Element> {
        let block = partial.template.as_ref().map(|block| self.block(block));
        match name_of(&partial.name) {
            Some("@partial-block") if !partial.params.is_empty() || !partial.hash.is_empty() => self.find(
                "misused-partial",
                "expected {{> @partial-block}} without parameters: the block has its own place's variables",
            ),
            Some("@partial-block") => Some(Element::PartialBlock(block)),
            Some(name) if partial.params.len() > 1 => self.find(
                "misused-partial",
                format!(
                    "the partial {} takes one value and named ones, such as {{{{> row order size=3}}}}, not {} values",
                    echo(name),
                    partial.params.len()
                ),
            ),
            Some(name) => {
                let value = match partial.params.first() {
                    Some(parameter) => Some(self.parameter(parameter)?),
                    None => None,
                };
                let variables = self.named(&partial.hash)?;
                Some(Element::Partial {
                    name: name.to_owned(),
                    value,
                    variables,
                    block,
                })
            }
            None => self.find("dynamic-partial", "expected a partial's name, not an expression"),
        }
    }

    fn path(&self, path: &HandlebarsPath) -> Path {
        let (segments, raw) = match path {
            HandlebarsPath::Relative((segments, raw)) => (segments, raw),
            // Alone, the parser takes it for a variable of a loop.
            HandlebarsPath::Local((_, name, raw)) if name == "root" => {
                return Path {
                    raw: raw.clone(),
                    from: From::Root,
                    names: Vec::new(),
                };
            }
            HandlebarsPath::Local((level, name, raw)) => {
                return Path {
                    raw: raw.clone(),
                    from: From::Round(*level),
                    names: vec![name.clone()],
                };
            }
        };
        let is = |segment: &PathSeg, rule: &Option<PathSeg>| rule.as_ref() == Some(segment);
        let from = if segments.first().is_some_and(|first| is(first, &self.root)) {
            From::Root
        } else {
            From::Scope(
                segments
                    .iter()
                    .take_while(|segment| is(segment, &self.up))
                    .count(),
            )
        };
        let names = segments.iter().filter_map(|segment| match segment {
            PathSeg::Named(name) => Some(name.clone()),
            _ => None,
        });
        Path {
            raw: raw.clone(),
            from,
            names: names.collect(),
        }
    }

    fn parameters(&mut self, parameters: &[Parameter]) -> Option<Vec<Expr>> {
        parameters
            .iter()
            .map(|parameter| self.parameter(parameter))
            .collect()
    }

    fn named(&mut self, hash: &HashMap<String, Parameter>) -> Option<Vec<(String, Expr)>> {
        let mut names: Vec<_> = hash.iter().collect();
        names.sort_by_key(|(name, _)| *name);
        names
            .into_iter()
            .map(|(name, parameter)| Some((name.clone(), self.parameter(parameter)?)))
            .collect()
    }

    fn parameter(&mut self, parameter: &Parameter) -> Option<Expr> {
        match parameter {
            Parameter::Literal(value) => Some(Expr::Literal(value.clone().into())),
            Parameter::Path(path) => Some(Expr::Path(self.path(path))),
            Parameter::Name(name) => Some(Expr::Path(Path {
                raw: name.clone(),
                from: From::Scope(0),
                names: vec![name.clone()],
            })),
            Parameter::Subexpression(inner) => match inner.as_element() {
                TemplateElement::Expression(call) => {
                    let name = name_of(&call.name).unwrap_or_default();
                    self.call(name, call).map(Expr::Call)
                }
                _ => self.find("unsupported", "expected a helper between parentheses"),
            },
            _ => self.find(
                "unsupported",
                "expected a variable, a literal or a helper between parentheses",
            ),
        }
    }
}

/// The helpers that can only be used as blocks.
const BLOCKS: [&str; 4] = ["if", "unless", "each", "with"];

/// The sentence about a wrong number of parameters.
fn takes(name: &str, given: usize) -> String {
    let (count, usage) = match name {
        "raw" => ("no parameters", "{{{{raw}}}}…{{{{/raw}}}}"),
        "if" => ("1 parameter", "{{#if gift}}…{{/if}}"),
        "unless" => ("1 parameter", "{{#unless gift}}…{{/unless}}"),
        "each" => ("1 parameter", "{{#each items}}…{{/each}}"),
        "with" => ("1 parameter", "{{#with customer}}…{{/with}}"),
        "t" => (
            "1 parameter besides named ones",
            "{{t \"key\" name=customer.name}}",
        ),
        "date" => ("1 or 2 parameters", "{{date at \"long\"}}"),
        "number" => ("1 parameter", "{{number count}}"),
        "money" => ("2 parameters", "{{money total \"EUR\"}}"),
        "url" => ("1 parameter", "{{url link}}"),
        "encode" => ("1 parameter", "{{encode order_id}}"),
        "lookup" => ("2 parameters", "{{lookup items 0}}"),
        "len" => ("1 parameter", "{{len items}}"),
        "not" => ("1 parameter", "{{#if (not gift)}}…{{/if}}"),
        "and" | "or" => ("1 parameter or more", "{{#if (eq gift card)}}…{{/if}}"),
        _ => ("2 parameters", "{{#if (eq a b)}}…{{/if}}"),
    };
    let usage = usage.replacen("(eq ", &format!("({name} "), 1);
    format!("the helper {name} takes {count}, such as {usage}, not {given}")
}

fn is_helper(name: &str) -> bool {
    BLOCKS.contains(&name) || name == "raw" || name.parse::<Helper>().is_ok()
}

pub(super) fn name_of(parameter: &Parameter) -> Option<&str> {
    match parameter {
        Parameter::Name(name) => Some(name),
        Parameter::Path(HandlebarsPath::Relative((_, raw)) | HandlebarsPath::Local((_, _, raw))) => Some(raw),
        Parameter::Literal(literal) => literal.as_str(),
        _ => None,
    }
}

fn names_of(given: Option<&BlockParam>) -> Vec<String> {
    let given = match given {
        Some(BlockParam::Single(one)) => vec![one],
        Some(BlockParam::Pair((one, two))) => vec![one, two],
        _ => return Vec::new(),
    };
    given
        .into_iter()
        .filter_map(name_of)
        .map(ToOwned::to_owned)
        .collect()
}

/// The first segment of a path. It is parsed here because the names of handlebars' grammar rules are private.
fn rule(path: &str) -> Option<PathSeg> {
    match HandlebarsPath::parse(path).ok()? {
        HandlebarsPath::Relative((segments, _)) => segments.into_iter().next(),
        HandlebarsPath::Local(_) => None,
    }
}
