//! Texts in people's languages: Fluent messages.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fluent_bundle::{
    FluentArgs, FluentError, FluentResource,
    concurrent::FluentBundle,
    resolver::{ResolverError, errors::ReferenceKind},
};
use fluent_syntax::ast::{CallArguments, Entry, Expression, InlineExpression, Pattern, PatternElement};

/// One locale's messages.
pub(crate) struct Bundle {
    fluent: FluentBundle<FluentResource>,
    /// The variables that each message needs, by key (`message` or `message.attribute`).
    pub(crate) keys: BTreeMap<String, BTreeSet<String>>,
}

/// What is wrong with a file of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageIssue {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) message: String,
}

impl Bundle {
    /// Reads a file of messages. What can be read is kept; the rest is named.
    pub(crate) fn read(tag: &str, ftl: &str) -> (Self, Vec<MessageIssue>) {
        let mut issues = Vec::new();
        let resource = FluentResource::try_new(ftl.to_owned()).unwrap_or_else(|(resource, errors)| {
            issues.extend(errors.iter().map(|error| MessageIssue {
                line: line_of(
                    ftl,
                    error.slice.as_ref().map_or(error.pos.start, |slice| slice.start),
                ),
                message: error.to_string(),
            }));
            resource
        });
        let keys = keys(&resource);
        let mut fluent = FluentBundle::new_concurrent(tag.parse().into_iter().collect());
        // Marks that isolate directions are noise in subjects and cost text messages their segments.
        fluent.set_use_isolating(false);
        if let Err(errors) = fluent.add_resource(resource) {
            issues.extend(errors.into_iter().map(|error| match error {
                FluentError::Overriding { id, .. } => {
                    let line = ftl
                        .lines()
                        .position(|line| line.starts_with(&id))
                        .map_or(1, |line| line + 1);
                    MessageIssue {
                        line,
                        message: format!("{id} is defined twice"),
                    }
                }
                other => MessageIssue {
                    line: 1,
                    message: other.to_string(),
                },
            }));
        }
        (Self { fluent, keys }, issues)
    }
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle")
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

/// Why a message has no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MessageError {
    /// No locale of the chain has it.
    UnknownKey,
    /// It needs a variable that was not passed.
    MissingArgument(String),
    /// It refers to something that is not there, or to itself.
    Broken(String),
}

/// The messages of a locale, and of those that stand in for it.
#[derive(Debug, Clone)]
pub(crate) struct Messages(Vec<Arc<Bundle>>);

impl Messages {
    pub(crate) fn new(chain: Vec<Arc<Bundle>>) -> Self {
        Self(chain)
    }

    /// The text of a message, or of an attribute of one (`order-shipped.subject`).
    pub(crate) fn format(&self, key: &str, args: &FluentArgs<'_>) -> Result<String, MessageError> {
        let (id, attribute) = key
            .split_once('.')
            .map_or((key, None), |(id, attribute)| (id, Some(attribute)));
        let found = self.0.iter().find_map(|bundle| {
            let message = bundle.fluent.get_message(id)?;
            let pattern = match attribute {
                None => message.value()?,
                Some(attribute) => message.get_attribute(attribute)?.value(),
            };
            Some((bundle, pattern))
        });
        let (bundle, pattern) = found.ok_or(MessageError::UnknownKey)?;
        let mut errors = Vec::new();
        let text = bundle.fluent.format_pattern(pattern, Some(args), &mut errors);
        match errors.into_iter().next() {
            None => Ok(text.into_owned()),
            Some(FluentError::ResolverError(ResolverError::Reference(ReferenceKind::Variable { id }))) => {
                Err(MessageError::MissingArgument(id))
            }
            Some(error) => Err(MessageError::Broken(error.to_string())),
        }
    }
}

fn line_of(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|byte| *byte == b'\n').count() + 1
}

/// What a pattern needs: variables, and other messages whose variables it then needs too.
#[derive(Default)]
struct Needs {
    variables: BTreeSet<String>,
    messages: BTreeSet<String>,
}

fn keys(resource: &FluentResource) -> BTreeMap<String, BTreeSet<String>> {
    let mut needs: BTreeMap<String, Needs> = BTreeMap::new();
    for entry in resource.entries() {
        let Entry::Message(message) = entry else { continue };
        if let Some(value) = &message.value {
            needs.insert(message.id.name.to_owned(), needs_of(value));
        }
        for attribute in &message.attributes {
            needs.insert(
                format!("{}.{}", message.id.name, attribute.id.name),
                needs_of(&attribute.value),
            );
        }
    }
    needs
        .keys()
        .map(|key| {
            let mut variables = BTreeSet::new();
            let mut open = vec![key];
            let mut seen = BTreeSet::new();
            while let Some(key) = open.pop() {
                if let Some(found) = needs.get(key).filter(|_| seen.insert(key)) {
                    variables.extend(found.variables.iter().cloned());
                    open.extend(&found.messages);
                }
            }
            (key.clone(), variables)
        })
        .collect()
}

fn needs_of(pattern: &Pattern<&str>) -> Needs {
    let mut needs = Needs::default();
    walk_pattern(pattern, &mut needs);
    needs
}

fn walk_pattern(pattern: &Pattern<&str>, needs: &mut Needs) {
    for element in &pattern.elements {
        if let PatternElement::Placeable { expression } = element {
            walk_expression(expression, needs);
        }
    }
}

fn walk_expression(expression: &Expression<&str>, needs: &mut Needs) {
    match expression {
        Expression::Inline(inline) => walk_inline(inline, needs),
        Expression::Select { selector, variants } => {
            walk_inline(selector, needs);
            for variant in variants {
                walk_pattern(&variant.value, needs);
            }
        }
    }
}

fn walk_inline(inline: &InlineExpression<&str>, needs: &mut Needs) {
    match inline {
        InlineExpression::VariableReference { id } => {
            needs.variables.insert(id.name.to_owned());
        }
        InlineExpression::MessageReference { id, attribute } => {
            needs.messages.insert(match attribute {
                None => id.name.to_owned(),
                Some(attribute) => format!("{}.{}", id.name, attribute.name),
            });
        }
        InlineExpression::FunctionReference { arguments, .. } => walk_arguments(arguments, needs),
        // A term sees only the arguments that are passed to it.
        InlineExpression::TermReference { arguments, .. } => {
            if let Some(arguments) = arguments {
                walk_arguments(arguments, needs);
            }
        }
        InlineExpression::Placeable { expression } => walk_expression(expression, needs),
        InlineExpression::StringLiteral { .. } | InlineExpression::NumberLiteral { .. } => {}
    }
}

fn walk_arguments(arguments: &CallArguments<&str>, needs: &mut Needs) {
    for argument in &arguments.positional {
        walk_inline(argument, needs);
    }
    for argument in &arguments.named {
        walk_inline(&argument.value, needs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FTL: &str = "\
brand = Shop
hello = Hello { $name } from { brand }
letter =
    .subject = { $count ->
        [one] One parcel
       *[other] { $count } parcels
    } for { $name }
nested = { hello }!
";

    fn messages(ftl: &str) -> Messages {
        Messages::new(vec![Arc::new(Bundle::read("en", ftl).0)])
    }

    #[test]
    fn a_message_and_an_attribute_are_formatted_with_plurals() {
        let messages = messages(FTL);
        let mut args = FluentArgs::new();
        args.set("name", "Ada");
        args.set("count", 1);
        assert_eq!(messages.format("hello", &args).unwrap(), "Hello Ada from Shop");
        assert_eq!(
            messages.format("letter.subject", &args).unwrap(),
            "One parcel for Ada"
        );
        args.set("count", 3);
        assert_eq!(
            messages.format("letter.subject", &args).unwrap(),
            "3 parcels for Ada"
        );
    }

    #[test]
    fn what_a_message_needs_is_known_before_it_is_formatted() {
        let (bundle, issues) = Bundle::read("en", FTL);
        assert_eq!(issues, []);
        let needs = |key: &str| bundle.keys[key].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(needs("nested"), ["name"]);
        assert_eq!(needs("letter.subject"), ["count", "name"]);
        assert!(needs("brand").is_empty());
    }

    #[test]
    fn an_unknown_key_and_a_missing_argument_are_told_apart() {
        let messages = messages(FTL);
        assert_eq!(
            messages.format("none", &FluentArgs::new()),
            Err(MessageError::UnknownKey)
        );
        assert_eq!(
            messages.format("hello", &FluentArgs::new()),
            Err(MessageError::MissingArgument("name".into()))
        );
    }

    #[test]
    fn a_broken_file_is_named_by_line_and_the_rest_is_kept() {
        let (bundle, issues) = Bundle::read("en", "a = 1\nb = { $x\nc = 3\nc = 4\n");
        assert_eq!(issues.iter().map(|issue| issue.line).collect::<Vec<_>>(), [2, 3]);
        assert!(bundle.keys.contains_key("a"));
        assert!(bundle.keys.contains_key("c"));
    }
}
