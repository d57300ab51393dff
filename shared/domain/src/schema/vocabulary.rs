//! The keywords of JSON Schema's drafts, in one list.

use Effect::{Definitions, Plain, Subschemas};
use Use::{Checked, Rare};

/// A keyword of Carillon's own, for the wishes in `possible`. It requires an object with at least one property whose
/// value fits a schema.
pub const SOME: &str = "carillon-some";

/// The effect of a keyword on the values that a schema admits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// It rules out values by itself.
    Plain,
    /// It rules out values together with subschemas, or with keywords beside it.
    Subschemas,
    /// It holds schemas to which references point.
    Definitions,
}

/// Whether an author of a catalog's schema may expect the keyword to be checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// The validator evaluates it in at least one draft.
    Checked,
    /// The validator does not evaluate it, or authors do not use it.
    Rare,
}

/// All keywords that are not annotations.
const KEYWORDS: [(&str, Effect, Use); 50] = [
    ("$ref", Subschemas, Checked),
    ("$dynamicRef", Subschemas, Rare),
    ("$recursiveRef", Subschemas, Rare),
    ("type", Plain, Checked),
    ("enum", Plain, Checked),
    ("const", Plain, Checked),
    ("multipleOf", Plain, Checked),
    ("maximum", Plain, Checked),
    ("exclusiveMaximum", Plain, Checked),
    ("minimum", Plain, Checked),
    ("exclusiveMinimum", Plain, Checked),
    ("maxLength", Plain, Checked),
    ("minLength", Plain, Checked),
    ("pattern", Plain, Checked),
    ("format", Plain, Checked),
    ("contentEncoding", Plain, Rare),
    ("contentMediaType", Plain, Rare),
    ("maxItems", Plain, Checked),
    ("minItems", Plain, Checked),
    ("uniqueItems", Plain, Checked),
    ("contains", Subschemas, Checked),
    ("minContains", Subschemas, Checked),
    ("maxContains", Subschemas, Checked),
    ("maxProperties", Plain, Checked),
    ("minProperties", Plain, Checked),
    ("required", Plain, Checked),
    ("dependentRequired", Plain, Checked),
    ("dependentSchemas", Subschemas, Checked),
    ("dependencies", Subschemas, Checked),
    ("allOf", Subschemas, Checked),
    ("anyOf", Subschemas, Checked),
    ("oneOf", Subschemas, Checked),
    ("not", Subschemas, Checked),
    ("if", Subschemas, Checked),
    ("then", Subschemas, Checked),
    ("else", Subschemas, Checked),
    ("properties", Subschemas, Checked),
    ("patternProperties", Subschemas, Checked),
    ("additionalProperties", Subschemas, Checked),
    ("propertyNames", Subschemas, Checked),
    ("items", Subschemas, Checked),
    ("prefixItems", Subschemas, Checked),
    ("additionalItems", Subschemas, Checked),
    ("unevaluatedItems", Subschemas, Checked),
    ("unevaluatedProperties", Subschemas, Checked),
    ("$defs", Definitions, Checked),
    ("definitions", Definitions, Checked),
    ("extends", Subschemas, Rare),
    ("disallow", Subschemas, Rare),
    (SOME, Subschemas, Rare),
];

fn find(name: &str) -> Option<(Effect, Use)> {
    let found = KEYWORDS.iter().find(|(known, ..)| *known == name);
    found.map(|(_, effect, usage)| (*effect, *usage))
}

/// The keywords that the validator evaluates in at least one draft, and those that hold definitions.
pub(super) fn checked() -> impl Iterator<Item = &'static str> {
    let checked = KEYWORDS.iter().filter(|(.., usage)| *usage == Checked);
    checked.map(|(name, ..)| *name)
}

/// Whether the validator evaluates the keyword in at least one draft, or the keyword holds definitions.
pub(super) fn is_checked(name: &str) -> bool {
    find(name).is_some_and(|(_, usage)| usage == Checked)
}

/// Whether the keyword rules out values. Any other keyword is an annotation, or holds definitions.
pub(super) fn is_constraint(name: &str) -> bool {
    find(name).is_some_and(|(effect, _)| effect != Definitions)
}

/// Whether the keyword rules out values by itself.
pub(super) fn is_plain(name: &str) -> bool {
    find(name).is_some_and(|(effect, _)| effect == Plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_keyword_stands_in_the_list_once() {
        for (place, (name, ..)) in KEYWORDS.iter().enumerate() {
            let first = KEYWORDS.iter().position(|(other, ..)| other == name);
            assert_eq!(first, Some(place), "{name}");
        }
    }

    #[test]
    fn definitions_and_annotations_rule_nothing_out() {
        for name in ["$defs", "definitions", "title", "$schema"] {
            assert!(!is_constraint(name) && !is_plain(name), "{name}");
        }
        assert!(is_checked("$defs") && !is_checked("extends") && is_constraint("extends"));
    }
}
