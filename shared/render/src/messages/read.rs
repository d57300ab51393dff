//! Reads a file of messages. Parsing is recursive, so a deeply nested file could overflow the stack and end
//! the process. A file that may be deep is therefore parsed on a stack of its own, and trees deeper than
//! [`MAX_DEPTH`] are refused.

use std::{collections::BTreeSet, fmt::Display};

use fluent_syntax::{
    ast::{self, Entry, PatternElement},
    unicode::unescape_unicode_to_string,
};

use super::{
    MessageIssue,
    functions::Function,
    syntax,
    tree::{Expr, Pattern, Piece, Text, Texts, VariantKey},
};

/// The maximum size of a file, in bytes.
const MAX_SOURCE: usize = 1024 * 1024;
/// The maximum nesting of expressions.
const MAX_DEPTH: usize = 16;
/// The maximum number of `{` and `(` in one message, its attributes included.
const MAX_OPEN: usize = 2_000;
/// The deepest nesting that is parsed on the caller's stack.
const SHALLOW: usize = 16;
/// Stack for one level of nesting, in bytes, with room to spare.
const STACK_PER_LEVEL: usize = 64 * 1024;

/// A file of messages, as it was read.
#[derive(Debug, Default)]
pub(super) struct MessagesFile {
    pub(super) texts: Texts,
    /// The keys of messages, terms and attributes that the file defines and that cannot be read. An issue names
    /// each of them.
    pub(super) unreadable: BTreeSet<String>,
    /// Whether a part of the file, or all of it, cannot be read, so that not all of its keys are known.
    pub(super) is_incomplete: bool,
    pub(super) issues: Vec<MessageIssue>,
}

/// Reads a file. Readable messages are kept; an issue names each of the others.
pub(super) fn read(source: &str) -> MessagesFile {
    let refuse = |message: String| MessagesFile {
        issues: vec![MessageIssue {
            line: 1,
            code: "syntax",
            message,
        }],
        is_incomplete: true,
        ..MessagesFile::default()
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

fn parse(source: &str) -> MessagesFile {
    let mut reader = Reader {
        reading: MessagesFile::default(),
        line: 1,
        depth: 0,
    };
    let mut lines = Lines::of(source);
    let resource = fluent_syntax::parser::parse(source).unwrap_or_else(|(resource, errors)| {
        for error in errors {
            let at = error.slice.as_ref().map_or(error.pos.start, |slice| slice.start);
            reader.line = lines.at(at);
            let entry = error.slice.as_ref().and_then(|slice| source.get(slice.clone()));
            reader.find(
                "syntax",
                &syntax::sentence(&error.kind, entry.unwrap_or_default()),
            );
        }
        resource
    });
    let mut lines = Lines::of(source);
    for entry in &resource.body {
        let (sign, id, value, attributes) = match entry {
            Entry::Message(message) => ("", message.id.name, message.value.as_ref(), &message.attributes),
            Entry::Term(term) => ("-", term.id.name, Some(&term.value), &term.attributes),
            Entry::Junk { content } => {
                // An entry that does not begin with a key and = may hold any key, or many.
                let first = content.lines().find(|line| !line.trim().is_empty());
                reader.reading.is_incomplete |= !first.is_some_and(begins_message);
                reader
                    .reading
                    .unreadable
                    .extend(defined(content).map(ToOwned::to_owned));
                continue;
            }
            _ => continue,
        };
        reader.line = lines.of_slice(id);
        let id = format!("{sign}{id}");
        if let Some(value) = value {
            reader.text(id.clone(), value);
        }
        for attribute in attributes {
            reader.text(format!("{id}.{}", attribute.id.name), &attribute.value);
        }
    }
    reader.reading
}

/// The first escape of a literal that stands for no Unicode character: half a surrogate pair, or a number beyond the last
/// character. The parser has checked the number of its digits.
fn no_character(literal: &str) -> Option<&str> {
    let mut rest = literal;
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at..];
        let digits = match escape.as_bytes().get(1) {
            Some(b'u') => 4,
            Some(b'U') => 6,
            _ => 0,
        };
        // An escaped backslash or quote has two bytes, and all of these characters have one.
        let end = 2 + digits;
        if digits > 0 {
            let number = escape
                .get(2..end)
                .and_then(|hex| u32::from_str_radix(hex, 16).ok());
            if number.is_none_or(|number| char::from_u32(number).is_none()) {
                return Some(escape.get(..end).unwrap_or(escape));
            }
        }
        rest = escape.get(end..).unwrap_or_default();
    }
    None
}

/// The name that an unreadable entry defines: that of a message, or a term's with its hyphen.
fn defined(entry: &str) -> Option<&str> {
    let bare = entry.strip_prefix('-').unwrap_or(entry);
    let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !bare.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let end = bare.find(|c| !is_inside(c)).unwrap_or(bare.len());
    Some(&entry[..entry.len() - bare.len() + end])
}

/// Finds the lines of positions. Positions are asked for in the order of the source, so each byte is read once.
struct Lines<'s> {
    source: &'s str,
    at: usize,
    line: usize,
}

impl<'s> Lines<'s> {
    fn of(source: &'s str) -> Self {
        Self {
            source,
            at: 0,
            line: 1,
        }
    }

    /// The line, from 1, of a byte.
    fn at(&mut self, at: usize) -> usize {
        if let Some(passed) = self.source.get(self.at..at) {
            self.line += passed.matches('\n').count();
            self.at = at;
        }
        self.line
    }

    /// The line of a part of the source.
    fn of_slice(&mut self, part: &str) -> usize {
        self.at(part.as_ptr().addr().saturating_sub(self.source.as_ptr().addr()))
    }
}

struct Reader {
    reading: MessagesFile,
    line: usize,
    depth: usize,
}

impl Reader {
    fn find(&mut self, code: &'static str, message: &dyn Display) {
        self.reading.issues.push(MessageIssue {
            line: self.line,
            code,
            message: message.to_string(),
        });
    }

    fn text(&mut self, key: String, pattern: &ast::Pattern<&str>) {
        let line = self.line;
        if self.reading.texts.contains_key(&key) {
            self.find("duplicate-key", &format_args!("expected the key {key} once"));
            return;
        }
        match self.pattern(pattern) {
            Some(pattern) => {
                self.reading.texts.insert(key, Text { line, pattern });
            }
            // An issue names the fault already.
            None => {
                self.reading.unreadable.insert(key);
            }
        }
    }

    fn pattern(&mut self, pattern: &ast::Pattern<&str>) -> Option<Pattern> {
        pattern
            .elements
            .iter()
            .map(|element| match element {
                PatternElement::TextElement { value } => Some(Piece::Text((*value).to_owned())),
                PatternElement::Placeable { expression } => self.expression(expression).map(Piece::Placeable),
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
                if let Some(escape) = no_character(value) {
                    let message = format!(
                        "expected an escape of a Unicode character, \\u0000 to \\uFFFF or \\U000000 to \\U10FFFF without the \
                         surrogates D800 to DFFF, not {escape}"
                    );
                    self.find("syntax", &message);
                    return None;
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_that_is_no_character_is_refused_with_its_line_and_others_are_read() {
        let file = read(
            "a = { \"\\u00e9\\\\uD800\\U01F600\" }\nb = x\n    .c = { \"\\uD800\" }\nd = { \"ok \\U110000\" }\ne = { \"\\\"\\uDFFF\" }\n",
        );
        let found: Vec<(usize, &str)> = file
            .issues
            .iter()
            .map(|issue| (issue.line, issue.message.rsplit("not ").next().unwrap()))
            .collect();
        assert_eq!(found, [(2, "\\uD800"), (4, "\\U110000"), (5, "\\uDFFF")]);
        assert_eq!(
            file.unreadable,
            BTreeSet::from(["b.c", "d", "e"].map(str::to_owned))
        );
        let Some(Piece::Placeable(Expr::Literal(text))) =
            file.texts.get("a").and_then(|text| text.pattern.first())
        else {
            panic!("{:?}", file.texts.get("a"))
        };
        assert_eq!(text, "é\\uD800😀");
    }
}
