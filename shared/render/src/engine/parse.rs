//! Parsing a template's text to a syntax tree. Parsing, rendering and even dropping a tree are recursive, so that a
//! deeply nested text would end the process. No tree deeper than [`MAX_DEPTH`] therefore leaves this module.

use handlebars::{
    Handlebars, Template,
    template::{HelperTemplate, Parameter, TemplateElement},
};

use super::{
    syntax::{self, ParseError},
    tags,
};
use crate::abandoned::is_abandoned;

/// The longest text of a part, in bytes.
const MAX_SOURCE: usize = 256 * 1024;
/// The deepest nesting of blocks and expressions.
const MAX_DEPTH: usize = 32;
/// The most blocks (and `else`s), and the most parentheses, of a part.
const MAX_COUNT: usize = 1_000;
/// The greatest product of a part's tags and bytes. The parser counts the line and column of each tag from the beginning
/// of the text, so its time grows with this product. At this bound a part takes a tenth of a second.
const MAX_TAGS_TIMES_BYTES: usize = 1 << 27;
/// The stack, in bytes, for a tree of [`MAX_COUNT`] blocks and [`MAX_COUNT`] parentheses inside each other.
const DEEP_STACK: usize = 256 * 1024 * 1024;

/// Parses a text, unless the caller of this work has left.
pub(super) fn parse(source: &str) -> Result<Template, ParseError> {
    if is_abandoned() {
        return Err((None, "the work was abandoned".to_owned()));
    }
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    if source.len() > MAX_SOURCE {
        return Err((None, format!("expected at most {MAX_SOURCE} bytes")));
    }
    let nesting = most_nesting(source);
    if nesting > MAX_COUNT {
        return Err((
            None,
            format!("expected at most {MAX_COUNT} blocks and {MAX_COUNT} parentheses"),
        ));
    }
    tags::check(source)?;
    let tags = source.matches("{{").count();
    if tags.saturating_mul(source.len()) > MAX_TAGS_TIMES_BYTES {
        let most = MAX_TAGS_TIMES_BYTES / source.len();
        return Err((
            None,
            format!("expected at most {most} tags in a text of this length, not {tags}"),
        ));
    }
    if nesting <= MAX_DEPTH {
        return compile(source);
    }
    // The tree may be deep, which only parsing shows. A tree that is too deep is created and dropped on a stack of
    // its own.
    std::thread::scope(|scope| {
        let deep = std::thread::Builder::new()
            .name("deep-template".to_owned())
            .stack_size(DEEP_STACK);
        let parsing = deep.spawn_scoped(scope, || {
            let template = compile(source)?;
            if template_depth(&template) > MAX_DEPTH {
                return Err((
                    None,
                    format!("expected blocks and expressions nested at most {MAX_DEPTH} deep"),
                ));
            }
            Ok(template)
        });
        parsing
            .ok()
            .and_then(|parsing| parsing.join().ok())
            .unwrap_or_else(|| Err((None, "the template is too large to be parsed now".to_owned())))
    })
}

/// An upper bound on the nesting of the text, found without parsing it.
fn most_nesting(source: &str) -> usize {
    let blocks: usize = ["{{#", "{{^", "{{~#", "{{~^", "else"]
        .iter()
        .map(|open| source.matches(open).count())
        .sum();
    blocks.max(source.matches('(').count())
}

fn compile(source: &str) -> Result<Template, ParseError> {
    let mut registry = Handlebars::new();
    // The lines of a partial are not indented by the place that includes it.
    registry.set_prevent_indent(true);
    registry.register_template_string("it", source).map_err(|error| {
        let at = error.pos();
        (
            at.map(|(line, _)| line),
            syntax::sentence(error.reason(), at, source),
        )
    })?;
    let mut template = registry.get_template("it").cloned().unwrap_or_default();
    template.name = None;
    Ok(template)
}

fn template_depth(template: &Template) -> usize {
    template.elements.iter().map(element_depth).max().unwrap_or(0)
}

fn element_depth(element: &TemplateElement) -> usize {
    match element {
        TemplateElement::Expression(call)
        | TemplateElement::HtmlExpression(call)
        | TemplateElement::HelperBlock(call) => call_depth(call),
        TemplateElement::PartialExpression(partial)
        | TemplateElement::PartialBlock(partial)
        | TemplateElement::DecoratorExpression(partial)
        | TemplateElement::DecoratorBlock(partial) => {
            let block = partial.template.as_ref().map_or(0, template_depth);
            1 + block.max(parameters_depth(
                partial.params.iter().chain(partial.hash.values()),
            ))
        }
        _ => 0,
    }
}

fn call_depth(call: &HelperTemplate) -> usize {
    let inner = [&call.template, &call.inverse]
        .into_iter()
        .flatten()
        .map(template_depth)
        .max()
        .unwrap_or(0);
    1 + inner.max(parameters_depth(call.params.iter().chain(call.hash.values())))
}

fn parameters_depth<'a>(parameters: impl Iterator<Item = &'a Parameter>) -> usize {
    let depths = parameters.map(|parameter| match parameter {
        Parameter::Subexpression(inner) => element_depth(inner.as_element()),
        _ => 0,
    });
    depths.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(source: &str) -> String {
        parse(source).unwrap_err().1
    }

    #[test]
    fn a_text_that_would_exhaust_the_stack_is_refused() {
        for count in [MAX_DEPTH + 1, 300, MAX_COUNT] {
            let nested = format!("{}{}", "{{#if a}}".repeat(count), "{{/if}}".repeat(count));
            assert!(refusal(&nested).contains("nested at most"), "{count}");
            let chained = format!("{{{{#if a}}}}{}{{{{/if}}}}", "{{else if a}}".repeat(count - 1));
            assert!(refusal(&chained).contains("nested at most"), "{count}");
            let inner = format!("{{{{t {}x{}}}}}", "(t ".repeat(count), ")".repeat(count));
            assert!(refusal(&inner).contains("nested at most"), "{count}");
        }
        assert!(refusal(&"{{#if a}}".repeat(10_000)).contains("at most 1000 blocks"));
        assert!(refusal(&"(".repeat(10_000)).contains("parentheses"));
        assert!(refusal(&"x".repeat(MAX_SOURCE + 1)).contains("bytes"));
    }

    #[test]
    fn a_long_text_that_is_not_deep_is_accepted() {
        assert!(parse(&"{{#if a}}(x){{/if}}".repeat(MAX_COUNT)).is_ok());
        let deep = format!("{}{}", "{{#if a}}".repeat(MAX_DEPTH), "{{/if}}".repeat(MAX_DEPTH));
        assert!(parse(&deep).is_ok());
    }

    #[test]
    fn a_long_text_has_fewer_tags_than_a_short_one_because_parsing_takes_tags_times_bytes() {
        assert!(parse(&"{{order_id}}".repeat(3_000)).is_ok());
        for text in [
            "{{order_id}}".repeat(20_000),
            format!("{}{}", "x".repeat(200_000), "{{a}}".repeat(1_000)),
        ] {
            assert!(refusal(&text).contains("tags in a text of this length"));
        }
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        let (line, message) = parse("one\ntwo {{#if x}}\nthree {{/each}}").unwrap_err();
        assert_eq!(line, Some(3));
        assert_eq!(
            message,
            "{{#if}} was opened, but {{/each}} closes it: expected {{/if}}"
        );
    }
}
