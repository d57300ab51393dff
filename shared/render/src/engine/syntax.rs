//! The sentences for texts that are not templates. handlebars' own ones name the rules of its grammar.

use carillon_domain::field_error::echo;
use handlebars::TemplateErrorReason;

/// The error of a text that is not a template, and its line, from 1.
pub(super) type ParseError = (Option<usize>, String);

/// The sentence for a text that handlebars refused at a line and column.
pub(super) fn sentence(reason: &TemplateErrorReason, at: Option<(usize, usize)>, source: &str) -> String {
    match reason {
        TemplateErrorReason::MismatchingClosedHelper(open, close) => mismatch("#", open, close),
        TemplateErrorReason::MismatchingClosedDecorator(open, close) => mismatch("#> ", open, close),
        TemplateErrorReason::InvalidParam(text) => {
            format!(
                "expected a variable, a literal or a helper between parentheses, not {}",
                echo(text)
            )
        }
        TemplateErrorReason::NestedSubexpression => {
            "expected a variable or a literal here, not a helper between parentheses".to_owned()
        }
        _ => at_tag(source, offset(source, at)),
    }
}

fn mismatch(sign: &str, open: &str, close: &str) -> String {
    let (open, close) = (echo(open), echo(close));
    format!("{{{{{sign}{open}}}}} was opened, but {{{{/{close}}}}} closes it: expected {{{{/{open}}}}}")
}

/// The byte at a line and column, both from 1.
fn offset(source: &str, at: Option<(usize, usize)>) -> usize {
    let Some((line, column)) = at else {
        return source.len();
    };
    let start: usize = source
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let within = source[start..].char_indices().nth(column.saturating_sub(1));
    within.map_or(source.len(), |(at, _)| start + at)
}

/// The sentence about the tag in which reading ended.
fn at_tag(source: &str, offset: usize) -> String {
    let line = |at: usize| 1 + source[..at].matches('\n').count();
    // Reading ends at a tag's beginning or within it; two bytes belong to its beginning.
    let end = (offset + 2).min(source.len());
    let end = (end..=source.len())
        .find(|at| source.is_char_boundary(*at))
        .unwrap_or(source.len());
    let Some(start) = source[..end].rfind("{{") else {
        return "expected a template".to_owned();
    };
    let tag = &source[start..];
    let Some(close) = tag.find("}}") else {
        let first = tag.lines().next().unwrap_or_default();
        return format!("expected }}}} at the end of the tag {}", echo(first));
    };
    let tag = &tag[..close + 2];
    if start + tag.len() <= offset.min(source.trim_end().len()) && offset >= source.trim_end().len() {
        let open = open_blocks(source);
        if let Some((at, name)) = open.last() {
            let name = echo(name);
            return format!(
                "expected {{{{/{name}}}}} for the block {{{{#{name}}}}} of line {}",
                line(*at)
            );
        }
    }
    if let Some(name) = tag
        .trim_start_matches('{')
        .trim_start_matches('~')
        .strip_prefix('/')
    {
        let name = name.trim_end_matches(['}', '~']).trim();
        return format!("expected {{{{#{}}}}} before {}", echo(name), echo(tag));
    }
    if tag
        .trim_start_matches(['{', '~'])
        .trim_start()
        .starts_with("else")
    {
        return format!(
            "expected {} only once, and inside of a block such as {{{{#if}}}}",
            echo(tag)
        );
    }
    format!(
        "the tag {} cannot be read: expected a variable, a helper and its parameters, a block or a partial",
        echo(tag)
    )
}

/// The blocks that are open at the end of a text, with the places of their tags.
fn open_blocks(source: &str) -> Vec<(usize, &str)> {
    let mut open = Vec::new();
    for (at, _) in source.match_indices("{{") {
        let tag = source[at + 2..].trim_start_matches('~');
        if tag.starts_with('/') {
            open.pop();
        } else if let Some(tag) = tag.strip_prefix('#') {
            let tag = tag.trim_start_matches(['>', '*', ' ']);
            let end = tag
                .find(|c: char| c.is_whitespace() || matches!(c, '}' | '~' | '('))
                .unwrap_or(tag.len());
            open.push((at, &tag[..end]));
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;

    #[test]
    fn a_text_that_is_no_template_is_refused_in_the_words_of_its_author() {
        for (source, sentence) in [
            ("{{#if a}}x", "expected {{/if}} for the block {{#if}} of line 1"),
            (
                "{{#if a}}\n{{#each b}}\nx\n",
                "expected {{/each}} for the block {{#each}} of line 2",
            ),
            (
                "{{#> layout}}x",
                "expected {{/layout}} for the block {{#layout}} of line 1",
            ),
            ("x {{a", "expected }} at the end of the tag {{a"),
            ("x {{a}", "expected }} at the end of the tag {{a}"),
            ("x {{!-- a", "expected }} at the end of the tag {{!-- a"),
            ("x {{/if}}", "expected {{#if}} before {{/if}}"),
            (
                "x {{else}}",
                "expected {{else}} only once, and inside of a block such as {{#if}}",
            ),
            (
                "x {{}} y",
                "the tag {{}} cannot be read: expected a variable, a helper and its parameters, a block or a partial",
            ),
            (
                "x {{a b=}} y",
                "the tag {{a b=}} cannot be read: expected a variable, a helper and its parameters, a block or a partial",
            ),
            (
                "x {{t (a}} y",
                "the tag {{t (a}} cannot be read: expected a variable, a helper and its parameters, a block or a partial",
            ),
            (
                "{{a b!}} {{c}}",
                "the tag {{a b!}} cannot be read: expected a variable, a helper and its parameters, a block or a partial",
            ),
            (
                "{{#if a}}{{/each}}",
                "{{#if}} was opened, but {{/each}} closes it: expected {{/if}}",
            ),
            (
                "é{{é é=}}",
                "the tag {{é é=}} cannot be read: expected a variable, a helper and its parameters, a block or a partial",
            ),
        ] {
            let (line, message) = parse(source).unwrap_err();
            assert_eq!(message, sentence, "{source:?}");
            assert!(line.is_some(), "{source:?}");
        }
        let long = format!("{{{{a b={}!}}}}", "é".repeat(400));
        assert!(parse(&long).unwrap_err().1.chars().count() < 250);
    }
}
