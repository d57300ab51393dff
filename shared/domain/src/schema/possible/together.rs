//! The schemas that a value has to fit together.

use serde_json::{Map, Value};

use super::{
    Possible,
    language::{Language, constraints, kinds},
};

/// A schema that a value has to fit, or must not fit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'w> {
    pub(super) schema: &'w Value,
    pub(super) language: Language,
    pub(super) is_negated: bool,
}

/// A schema with keywords that a value has to fit, or must not fit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keywords<'w> {
    pub(super) schema: &'w Value,
    pub(super) entries: &'w Map<String, Value>,
    pub(super) language: Language,
    pub(super) is_negated: bool,
}

impl<'w> Node<'w> {
    pub(super) fn new(schema: &'w Value, language: Language) -> Self {
        Self {
            schema,
            language,
            is_negated: false,
        }
    }
}

impl<'w> Keywords<'w> {
    /// The value of a keyword that counts.
    pub(super) fn get(&self, keyword: &str) -> Option<&'w Value> {
        self.entries.get(keyword).filter(|_| self.language.has(keyword))
    }

    pub(super) fn list(&self, keyword: &str) -> &'w [Value] {
        self.get(keyword)
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }

    pub(super) fn map(&self, keyword: &str) -> Option<&'w Map<String, Value>> {
        self.get(keyword).and_then(Value::as_object)
    }

    /// A subschema in the same language.
    pub(super) fn below(&self, schema: &'w Value) -> Node<'w> {
        Node::new(schema, self.language)
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self.entries).addr()
    }

    /// The only constraint of a schema.
    fn only(&self) -> Option<(&'w str, &'w Value)> {
        let mut all = constraints(self.entries);
        let one = all.next()?;
        all.next().is_none().then_some(one)
    }
}

/// A question by the addresses of its schemas, with those that the value must not fit, and of the alternatives that were
/// chosen.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    schemas: Vec<(usize, bool)>,
    chosen: Vec<(usize, &'static str)>,
}

/// The schemas that a value has to fit together, taken apart.
#[derive(Debug, Clone, Default)]
pub(super) struct Together<'w> {
    nodes: Vec<Keywords<'w>>,
    /// The alternatives that were chosen already: the schema's address and the keyword.
    chosen: Vec<(usize, &'static str)>,
}

impl<'w> Together<'w> {
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Keywords<'w>> {
        self.nodes.iter()
    }

    /// Notes that a schema beside a property was added. `false` if it was added before.
    pub(super) fn choose(&mut self, schema: &Value) -> bool {
        let choice = (std::ptr::from_ref(schema).addr(), "dependentSchemas");
        let is_new = !self.chosen.contains(&choice);
        if is_new {
            self.chosen.push(choice);
        }
        is_new
    }

    /// The schemas that the value has to fit.
    pub(super) fn positive(&self) -> impl Iterator<Item = &Keywords<'w>> {
        self.nodes.iter().filter(|node| !node.is_negated)
    }

    /// The schemas with one constraint that the value must not fit, with this constraint.
    pub(super) fn negative(&self) -> impl Iterator<Item = (&'w str, &'w Value)> {
        let negated = self.nodes.iter().filter(|node| node.is_negated);
        negated.filter_map(Keywords::only)
    }

    pub(super) fn question(&self) -> Question {
        let sign = |node: &Keywords<'w>| (node.address(), node.is_negated);
        let mut schemas: Vec<_> = self.nodes.iter().map(sign).collect();
        schemas.sort_unstable();
        let mut chosen = self.chosen.clone();
        chosen.sort_unstable();
        Question { schemas, chosen }
    }

    /// Adds schemas with those that apply beside them. `false` if they contradict each other.
    pub(super) fn add<'s>(&mut self, possible: &Possible<'s>, more: Vec<Node<'w>>) -> bool
    where
        's: 'w,
    {
        let mut open = more;
        while let Some(Node {
            schema,
            language,
            is_negated,
        }) = open.pop()
        {
            let keywords = match schema {
                Value::Bool(takes_all) if *takes_all == is_negated => return false,
                Value::Object(keywords) => keywords,
                _ => continue,
            };
            // Each schema is compared with those that are known.
            if !possible.pay(1 + self.nodes.len() as u64 / 16) {
                return true;
            }
            let node = Keywords {
                schema,
                entries: keywords,
                language,
                is_negated,
            };
            let known = self.nodes.iter().find(|known| known.address() == node.address());
            match known {
                Some(known) if known.is_negated == is_negated => continue,
                Some(_) => return false,
                None => {}
            }
            let target = possible.target(keywords);
            let target = target.map(|schema| Node {
                schema,
                language,
                is_negated,
            });
            let has_reference = keywords.contains_key("$ref");
            if has_reference && !language.reads_beside_reference() {
                open.extend(target);
                continue;
            }
            if is_negated {
                let below = |schema: &'w Value, is_negated: bool| Node {
                    schema,
                    language,
                    is_negated,
                };
                match node.only() {
                    None if constraints(keywords).next().is_none() => return false,
                    Some(("$ref", _)) => open.extend(target),
                    Some(("not", schema)) => open.push(below(schema, false)),
                    Some(("anyOf", schemas)) => {
                        let all = schemas.as_array().into_iter().flatten();
                        open.extend(all.map(|schema| below(schema, true)));
                    }
                    _ => {}
                }
            } else {
                open.extend(target);
                open.extend(node.list("allOf").iter().map(|schema| node.below(schema)));
                open.extend(node.get("not").map(|schema| Node {
                    is_negated: true,
                    ..node.below(schema)
                }));
            }
            self.nodes.push(node);
        }
        let negated = self.nodes.iter().filter(|node| node.is_negated);
        !{ negated }.any(|node| self.positive().any(|other| other.schema == node.schema))
    }

    /// The kinds of values that may fit.
    pub(super) fn kinds(&self) -> u8 {
        let taken = self.positive().filter_map(|node| node.get("type"));
        let taken = taken
            .map(kinds::of_type)
            .fold(kinds::ALL, |all, kinds| all & kinds);
        self.negative().fold(taken, |taken, negated| match negated {
            ("type", types) => taken & !kinds::of_type(types),
            ("required" | "properties" | "minProperties" | "maxProperties", _) => taken & kinds::OBJECT,
            ("items" | "minItems" | "maxItems" | "contains", _) => taken & kinds::ARRAY,
            ("minLength" | "maxLength" | "pattern", _) => taken & kinds::STRING,
            _ => taken,
        })
    }

    /// The only admitted values, if the schemas list them.
    pub(super) fn values(&self) -> Option<&'w [Value]> {
        let listed = self.positive().filter_map(|node| {
            let constant = node.get("const").map(std::slice::from_ref);
            constant.or_else(|| node.get("enum")?.as_array().map(Vec::as_slice))
        });
        listed.min_by_key(|values| values.len())
    }

    /// The alternatives of the first keyword that has some: for each, the schemas so far and those to be added.
    pub(super) fn alternatives(&self) -> Option<Vec<(Self, Vec<Node<'w>>)>> {
        for node in &self.nodes {
            for keyword in ["anyOf", "oneOf", "if", "allOf"] {
                if self.chosen.contains(&(node.address(), keyword)) {
                    continue;
                }
                let Some(ways) = ways(node, keyword) else {
                    continue;
                };
                let mut chosen = self.clone();
                chosen.chosen.push((node.address(), keyword));
                return Some(ways.into_iter().map(|way| (chosen.clone(), way)).collect());
            }
        }
        None
    }
}

/// The ways to fit a keyword, or not to fit it, each as the schemas that it adds.
fn ways<'w>(node: &Keywords<'w>, keyword: &'static str) -> Option<Vec<Vec<Node<'w>>>> {
    let negated = |schema: &'w Value| Node {
        is_negated: true,
        ..node.below(schema)
    };
    if node.is_negated {
        let ("allOf", schemas) = node.only().filter(|(only, _)| *only == keyword)? else {
            return None;
        };
        return Some(
            schemas
                .as_array()?
                .iter()
                .map(|schema| vec![negated(schema)])
                .collect(),
        );
    }
    match keyword {
        "anyOf" => {
            let branches = node.get("anyOf")?.as_array()?;
            Some(branches.iter().map(|schema| vec![node.below(schema)]).collect())
        }
        "oneOf" => {
            let branches = node.get("oneOf")?.as_array()?;
            let way = |index: usize| {
                let all = branches.iter().enumerate();
                let sign = |(at, schema)| {
                    if at == index {
                        node.below(schema)
                    } else {
                        negated(schema)
                    }
                };
                all.map(sign).collect()
            };
            Some((0..branches.len()).map(way).collect())
        }
        "if" => {
            let test = node.get("if")?;
            let (yes, no) = (node.get("then"), node.get("else"));
            if yes.is_none() && no.is_none() {
                return None;
            }
            let yes = std::iter::once(node.below(test)).chain(yes.map(|schema| node.below(schema)));
            let no = std::iter::once(negated(test)).chain(no.map(|schema| node.below(schema)));
            Some(vec![yes.collect(), no.collect()])
        }
        _ => None,
    }
}
