//! The items of lists and the properties of objects that several schemas ask for.

use std::{collections::BTreeSet, sync::LazyLock};

use serde_json::{Map, Value, json};

use super::{
    MAX_DEPTH, MAX_LISTED, Possible, SOME,
    language::Language,
    together::{Keywords, Node, Together},
};

static AN_OBJECT: LazyLock<Value> = LazyLock::new(|| json!({"type": "object"}));

/// The schemas of one property.
pub(super) struct Field<'w> {
    pub(super) nodes: Vec<Node<'w>>,
    /// Whether these are all of its schemas.
    pub(super) is_whole: bool,
}

/// The schemas that stand for single items, before the one for all others.
fn first_items<'w>(node: &Keywords<'w>) -> &'w [Value] {
    if node.language >= Language::Draft2020 {
        node.list("prefixItems")
    } else {
        node.list("items")
    }
}

/// The schema of an item of a list.
pub(super) fn item_of<'w>(node: &Keywords<'w>, index: usize) -> Option<&'w Value> {
    if let Some(item) = first_items(node).get(index) {
        return Some(item);
    }
    match node.get("items") {
        Some(Value::Array(_)) => node.get("additionalItems"),
        rest => rest,
    }
}

impl<'s> Possible<'s> {
    /// Whether some list may fit.
    pub(super) fn has_list<'w>(&self, together: &Together<'w>) -> bool
    where
        's: 'w,
    {
        let number = |node: &Keywords<'w>, keyword: &str| node.get(keyword).and_then(Value::as_u64);
        let least = together.positive().filter_map(|node| number(node, "minItems"));
        let least = least.max().unwrap_or(0);
        let most = together.positive().filter_map(|node| number(node, "maxItems"));
        let mut most = most.min().unwrap_or(u64::MAX);
        let contains: Vec<_> = together
            .positive()
            .filter_map(|node| Some((node, node.get("contains")?)))
            .map(|(node, schema)| {
                let times = number(node, "minContains").unwrap_or(1);
                (node.below(schema), times, number(node, "maxContains"))
            })
            .filter(|(_, times, _)| *times > 0)
            .collect();
        let least = contains.iter().map(|(_, times, _)| *times).fold(least, u64::max);
        let must_differ = together
            .positive()
            .any(|node| node.get("uniqueItems") == Some(&Value::Bool(true)));
        let item = |index: usize| -> Vec<Node<'w>> {
            let all = together
                .positive()
                .filter_map(|node| Some(node.below(item_of(node, index)?)));
            all.collect()
        };
        let firsts = together.positive().map(|node| first_items(node).len());
        let firsts = firsts.max().unwrap_or(0);
        // Behind the items with schemas of their own, all are alike.
        let needed = if contains.is_empty() {
            usize::try_from(least).unwrap_or(usize::MAX).min(firsts + 1)
        } else {
            firsts + 1
        };
        for index in 0..needed {
            if index as u64 >= most {
                break;
            }
            if !self.solve(Together::default(), item(index)) {
                most = index as u64;
                break;
            }
        }
        if least > most {
            return false;
        }
        let has = |schema: &Node<'w>| {
            (0..=firsts)
                .take_while(|index| (*index as u64) < most)
                .any(|index| {
                    let mut both = item(index);
                    both.push(*schema);
                    self.solve(Together::default(), both)
                })
        };
        if contains
            .iter()
            .any(|(schema, times, at_most)| at_most.is_some_and(|most| most < *times) || !has(schema))
        {
            return false;
        }
        if must_differ
            && least > firsts as u64
            && let Some(values) = self.listed(Together::default(), item(firsts), MAX_DEPTH)
        {
            return least <= (firsts + values.len()) as u64;
        }
        true
    }

    /// Whether some object may fit.
    pub(super) fn has_object<'w>(&self, together: &Together<'w>) -> bool
    where
        's: 'w,
    {
        let required = required(together);
        // Schemas that apply beside a property that is there.
        let mut with_dependent = together.clone();
        let mut more: Vec<Node<'w>> = Vec::new();
        for node in together.positive() {
            for keyword in ["dependentSchemas", "dependencies"] {
                for (name, schema) in node.map(keyword).into_iter().flatten() {
                    if required.contains(name.as_str()) && !schema.is_array() && with_dependent.choose(schema)
                    {
                        more.push(node.below(schema));
                    }
                }
            }
        }
        if !more.is_empty() {
            more.push(Node::new(&AN_OBJECT, Language::Wish));
            return self.solve(with_dependent, more);
        }
        let number = |keyword: &str| {
            let all = together.positive().filter_map(move |node| node.get(keyword));
            all.filter_map(Value::as_u64).collect::<Vec<_>>()
        };
        let least = number("minProperties").into_iter().max().unwrap_or(0);
        let most = number("maxProperties").into_iter().min().unwrap_or(u64::MAX);
        let least = least.max(required.len() as u64);
        let field = |name: &str| self.field(together, name);
        let may_be = |name: &str| field(name).is_some_and(|nodes| self.solve(Together::default(), nodes));
        if least > most || !required.iter().all(|name| may_be(name)) {
            return false;
        }
        if least > required.len() as u64 {
            let closed = together
                .positive()
                .filter_map(only_names)
                .min_by_key(|names| names.len());
            if let Some(names) = closed {
                let fitting = names.keys().filter(|name| may_be(name)).take(MAX_LISTED);
                let enough = usize::try_from(least).unwrap_or(usize::MAX);
                if names.len() < enough || (names.len() <= MAX_LISTED && fitting.count() < enough) {
                    return false;
                }
            }
            let mut names: Vec<Node<'w>> = together
                .positive()
                .filter_map(|node| Some(node.below(node.get("propertyNames")?)))
                .collect();
            names.push(Node::new(&A_TEXT, Language::Wish));
            if !self.solve(Together::default(), names) {
                return false;
            }
        }
        let wished = together
            .positive()
            .filter_map(|node| Some(node.below(node.get(SOME)?)));
        wished.collect::<Vec<_>>().into_iter().all(|wish| {
            let fields = together.positive().filter_map(|node| node.map("properties"));
            let mut names = fields.flat_map(Map::keys).map(String::as_str).chain([OTHER]);
            most > 0
                && (together
                    .positive()
                    .any(|node| node.get("patternProperties").is_some())
                    || names.any(|name| {
                        field(name).is_some_and(|mut nodes| {
                            nodes.push(wish);
                            self.solve(Together::default(), nodes)
                        })
                    }))
        })
    }

    /// The schemas of a property of an object that fits all; `None` if such an object does not have it.
    fn field<'w>(&self, together: &Together<'w>, name: &str) -> Option<Vec<Node<'w>>>
    where
        's: 'w,
    {
        let is_forbidden = |(keyword, names): (&str, &Value)| {
            let names = names.as_array().map_or(&[][..], Vec::as_slice);
            keyword == "required" && names.len() == 1 && names[0].as_str() == Some(name)
        };
        if together.negative().any(is_forbidden) {
            return None;
        }
        let mut all = Vec::new();
        for node in together.positive() {
            all.extend(self.field_of(node, name)?.nodes);
            let unevaluated = node.get("unevaluatedProperties");
            if let Some(unevaluated) = unevaluated
                && !self.may_evaluate(node, name, 0)
            {
                all.push(node.below(unevaluated));
            }
        }
        Some(all)
    }

    /// The schemas that one schema has for a property, without `unevaluatedProperties`; `None` if the property cannot have
    /// this name.
    pub(super) fn field_of<'w>(&self, node: &Keywords<'w>, name: &str) -> Option<Field<'w>>
    where
        's: 'w,
    {
        let mut field = Field {
            nodes: Vec::new(),
            is_whole: true,
        };
        if let Some(names) = node.get("propertyNames") {
            let verdict = match name {
                OTHER => None,
                name => self.verdict(&name.into(), names, node.language, 0),
            };
            match verdict {
                Some(false) => return None,
                Some(true) => {}
                None => field.is_whole = false,
            }
        }
        let own = node.map("properties").and_then(|fields| fields.get(name));
        field.nodes.extend(own.map(|schema| node.below(schema)));
        let mut is_named = own.is_some();
        for (pattern, schema) in node.map("patternProperties").into_iter().flatten() {
            match self.matches(pattern, name) {
                Some(true) => {
                    field.nodes.push(node.below(schema));
                    is_named = true;
                }
                Some(false) => {}
                None => {
                    field.is_whole = false;
                    is_named = true;
                }
            }
        }
        if !is_named {
            let other = node.get("additionalProperties");
            field.nodes.extend(other.map(|schema| node.below(schema)));
        }
        Some(field)
    }

    fn matches(&self, pattern: &str, name: &str) -> Option<bool> {
        if name == OTHER || !self.pay(1) {
            return None;
        }
        self.is_match(pattern, name)
    }

    /// Whether a keyword beside `unevaluatedProperties` may evaluate a property.
    fn may_evaluate<'w>(&self, node: &Keywords<'w>, name: &str, depth: usize) -> bool
    where
        's: 'w,
    {
        if depth > MAX_DEPTH || !self.pay(1) {
            return true;
        }
        let is_named = |keyword: &str| node.map(keyword).is_some_and(|fields| fields.contains_key(name));
        let patterns = node.map("patternProperties").into_iter().flatten();
        if is_named("properties")
            || node.get("additionalProperties").is_some()
            || (depth > 0 && node.get("unevaluatedProperties").is_some())
            || { patterns }.any(|(pattern, _)| self.matches(pattern, name) != Some(false))
        {
            return true;
        }
        let lists = ["allOf", "anyOf", "oneOf"]
            .into_iter()
            .flat_map(|it| node.list(it));
        let single = ["if", "then", "else"].into_iter().filter_map(|it| node.get(it));
        let beside = node.map("dependentSchemas").into_iter().flat_map(Map::values);
        let target: Option<&'w Value> = self.target(node.entries);
        { lists.chain(single).chain(beside).chain(target) }.any(|schema| match schema {
            Value::Object(keywords) => {
                let inner = Keywords {
                    schema,
                    entries: keywords,
                    ..*node
                };
                self.may_evaluate(&inner, name, depth + 1)
            }
            _ => false,
        })
    }
}

static A_TEXT: LazyLock<Value> = LazyLock::new(|| json!({"type": "string"}));

/// Stands for a property that no schema names. No name contains it, because events have no such character in names.
const OTHER: &str = "\u{0}";

/// The properties of a schema that permits no others.
fn only_names<'w>(node: &Keywords<'w>) -> Option<&'w Map<String, Value>> {
    static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    let has_patterns = node
        .map("patternProperties")
        .is_some_and(|patterns| !patterns.is_empty());
    let is_closed = node.get("additionalProperties") == Some(&Value::Bool(false)) && !has_patterns;
    is_closed.then(|| node.map("properties").unwrap_or(&NONE))
}

/// The properties that an object must have.
fn required<'w>(together: &Together<'w>) -> BTreeSet<&'w str> {
    let listed = |names: &'w Value| names.as_array().into_iter().flatten().filter_map(Value::as_str);
    let own = together.positive().filter_map(|node| node.get("required"));
    let mut all: BTreeSet<&str> = own.flat_map(listed).collect();
    loop {
        let before = all.len();
        for node in together.positive() {
            for keyword in ["dependentRequired", "dependencies"] {
                let lists = node.map(keyword).into_iter().flatten();
                let lists = lists.filter(|(name, _)| all.contains(name.as_str()));
                let more: Vec<&str> = lists.flat_map(|(_, names)| listed(names)).collect();
                all.extend(more);
            }
        }
        if all.len() == before {
            return all;
        }
    }
}
