//! Reads a file of messages. Parsing is recursive, so a deeply nested file could overflow the stack and end
//! the process. A file that may be deep is therefore parsed on a stack of its own, and trees deeper than
//! [`MAX_DEPTH`] are refused.

use std::fmt::Display;

use fluent_syntax::{
    ast::{self, Entry, PatternElement},
    unicode::unescape_unicode_to_string,
};

use super::{
    MessageIssue,
    functions::Function,
    tree::{Expr, Pattern, Piece, Text, Texts, VariantKey},
};

/// The longest file, in bytes.
const MAX_SOURCE: usize = 1024 * 1024;
/// How deep expressions may be nested.
const MAX_DEPTH: usize = 16;
/// How many `{` and `(` one message may have, its attributes included.
const MAX_OPEN: usize = 2_000;
/// The deepest nesting that is parsed on the caller's stack.
const SHALLOW: usize = 16;
/// Stack for one level of nesting, in bytes, with room to spare.
const STACK_PER_LEVEL: usize = 64 * 1024;

/// Reads a file. Readable messages are kept; an issue names each of the others.
pub(super) fn read(source: &str) -> (Texts, Vec<MessageIssue>) {
    let refuse = |message: String| {
        let issue = MessageIssue {
            line: 1,
            code: "syntax",
            message,
        };
        (Texts::new(), vec![issue])
    };
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    if source.len() > MAX_SOURCE {
        return refuse(format!("expected at most {MAX_SOURCE} bytes"));
    }
    let open = most_nesting(source);
    if open <= SHALLOW {
        return parse(source);
    }
    if open > MAX_OPEN {
        return refuse(format!(
            "expected at most {MAX_OPEN} placeables and parentheses in a message"
        ));
    }
    std::thread::scope(|scope| {
        let deep = std::thread::Builder::new()
            .name("deep-messages".to_owned())
            .stack_size(open * STACK_PER_LEVEL + 1024 * 1024);
        deep.spawn_scoped(scope, || parse(source))
            .ok()
            .and_then(|parsing| parsing.join().ok())
            .unwrap_or_else(|| refuse("the file is too large to be parsed now".to_owned()))
    })
}

/// An upper bound on the nesting of the file, found without parsing it: a placeable ends before the next
/// message begins.
fn most_nesting(source: &str) -> usize {
    let mut most = 0;
    let mut open = 0;
    for line in source.lines() {
        if begins_message(line) {
            open = 0;
        }
        open += line.bytes().filter(|byte| matches!(byte, b'{' | b'(')).count();
        most = most.max(open);
    }
    most
}

/// Whether a line is `name = …` or `-name = …`.
fn begins_message(line: &str) -> bool {
    let line = line.strip_prefix('-').unwrap_or(line);
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    line.starts_with(|c: char| c.is_ascii_alphabetic())
        && line
            .trim_start_matches(name)
            .trim_start_matches(' ')
            .starts_with('=')
}

fn parse(source: &str) -> (Texts, Vec<MessageIssue>) {
    let mut reader = Reader {
        texts: Texts::new(),
        issues: Vec::new(),
        line: 1,
        depth: 0,
    };
    let resource = fluent_syntax::parser::parse(source).unwrap_or_else(|(resource, errors)| {
        for error in errors {
            let at = error.slice.as_ref().map_or(error.pos.start, |slice| slice.start);
            reader.line = source.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
            reader.find("syntax", &error);
        }
        resource
    });
    let mut from = 0;
    for entry in &resource.body {
        let (id, value, attributes) = match entry {
            Entry::Message(message) => (
                message.id.name.to_owned(),
                message.value.as_ref(),
                &message.attributes,
            ),
            Entry::Term(term) => (format!("-{}", term.id.name), Some(&term.value), &term.attributes),
            _ => continue,
        };
        let line = line_of(source, &id, from);
        from = line.unwrap_or(from);
        reader.line = line.unwrap_or(1);
        if let Some(value) = value {
            reader.text(id.clone(), value);
        }
        for attribute in attributes {
            reader.text(format!("{id}.{}", attribute.id.name), &attribute.value);
        }
    }
    (reader.texts, reader.issues)
}

/// The line, from 1, at which a message or term is defined, behind the first `read` lines.
fn line_of(source: &str, id: &str, read: usize) -> Option<usize> {
    let defines = |line: &str| {
        line.strip_prefix(id)
            .is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let found = source.lines().skip(read).position(defines)?;
    Some(read + found + 1)
}

struct Reader {
    texts: Texts,
    issues: Vec<MessageIssue>,
    line: usize,
    depth: usize,
}

impl Reader {
    fn find(&mut self, code: &'static str, message: &dyn Display) {
        self.issues.push(MessageIssue {
            line: self.line,
            code,
            message: message.to_string(),
        });
    }

    fn text(&mut self, key: String, pattern: &ast::Pattern<&str>) {
        let line = self.line;
        if self.texts.contains_key(&key) {
            self.find("syntax", &format_args!("{key} is defined twice"));
            return;
        }
        // An issue names a wrong pattern; its message is then missing.
        if let Some(pattern) = self.pattern(pattern) {
            self.texts.insert(key, Text { line, pattern });
        }
    }

    fn pattern(&mut self, pattern: &ast::Pattern<&str>) -> Option<Pattern> {
        pattern
            .elements
            .iter()
            .map(|element| match element {
                PatternElement::TextElement { value } => Some(Piece::Text((*value).to_owned())),
                PatternElement::Placeable { expression } => self.expression(expression).map(Piece::Place),
            })
            .collect()
    }

    fn expression(&mut self, expression: &ast::Expression<&str>) -> Option<Expr> {
        if self.depth == MAX_DEPTH {
            self.find(
                "syntax",
                &format_args!("expected expressions nested at most {MAX_DEPTH} deep"),
            );
            return None;
        }
        self.depth += 1;
        let lowered = match expression {
            ast::Expression::Inline(inline) => self.inline(inline),
            ast::Expression::Select { selector, variants } => self.select(selector, variants),
        };
        self.depth -= 1;
        lowered
    }

    fn select(
        &mut self,
        selector: &ast::InlineExpression<&str>,
        variants: &[ast::Variant<&str>],
    ) -> Option<Expr> {
        let selector = Box::new(self.inline(selector)?);
        let default = variants.iter().position(|variant| variant.default)?;
        let variants = variants
            .iter()
            .map(|variant| {
                let key = match &variant.key {
                    ast::VariantKey::Identifier { name } => VariantKey::Word((*name).to_owned()),
                    ast::VariantKey::NumberLiteral { value } => VariantKey::Number((*value).to_owned()),
                };
                Some((key, self.pattern(&variant.value)?))
            })
            .collect::<Option<_>>()?;
        Some(Expr::Select {
            selector,
            variants,
            default,
        })
    }

    fn inline(&mut self, inline: &ast::InlineExpression<&str>) -> Option<Expr> {
        let with_attribute = |id: &str, attribute: &Option<ast::Identifier<&str>>| match attribute {
            None => id.to_owned(),
            Some(attribute) => format!("{id}.{}", attribute.name),
        };
        Some(match inline {
            ast::InlineExpression::StringLiteral { value } => {
                Expr::Literal(unescape_unicode_to_string(value).into_owned())
            }
            ast::InlineExpression::NumberLiteral { value } => Expr::Literal((*value).to_owned()),
            ast::InlineExpression::VariableReference { id } => Expr::Variable(id.name.to_owned()),
            ast::InlineExpression::MessageReference { id, attribute } => {
                Expr::Message(with_attribute(id.name, attribute))
            }
            ast::InlineExpression::TermReference {
                id,
                attribute,
                arguments,
            } => {
                let named = arguments.as_ref().map_or(&[][..], |arguments| &arguments.named);
                let args = named
                    .iter()
                    .map(|arg| Some((arg.name.name.to_owned(), self.inline(&arg.value)?)))
                    .collect::<Option<_>>()?;
                Expr::Term {
                    key: with_attribute(&format!("-{}", id.name), attribute),
                    args,
                }
            }
            ast::InlineExpression::FunctionReference { id, arguments } => {
                let function = Function::read(id.name, &arguments.named)
                    .map_err(|(code, message)| self.find(code, &message))
                    .ok()?;
                let [arg] = arguments.positional.as_slice() else {
                    self.find("unknown-function", &format_args!("{} takes one value", id.name));
                    return None;
                };
                if self.depth == MAX_DEPTH {
                    self.find(
                        "syntax",
                        &format_args!("expected expressions nested at most {MAX_DEPTH} deep"),
                    );
                    return None;
                }
                self.depth += 1;
                let arg = self.inline(arg);
                self.depth -= 1;
                Expr::Call {
                    function,
                    arg: Box::new(arg?),
                }
            }
            ast::InlineExpression::Placeable { expression } => return self.expression(expression),
        })
    }
}
