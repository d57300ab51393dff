//! Whether one value fits a schema.

use serde_json::Value;

use super::{
    COMPILING, MAX_DEPTH, Possible,
    language::Language,
    together::{Keywords, Node},
};

/// A verdict that may be open: `None` is unknown.
type Verdict = Option<bool>;

fn both(one: Verdict, other: Verdict) -> Verdict {
    match (one, other) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn every(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    verdicts.into_iter().fold(Some(true), both)
}

fn any(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    not(every(verdicts.into_iter().map(not)))
}

fn not(verdict: Verdict) -> Verdict {
    verdict.map(|fits| !fits)
}

impl<'s> Possible<'s> {
    /// Whether a value fits a schema; `None` if that is not known.
    pub(super) fn verdict<'w>(
        &self,
        value: &Value,
        schema: &'w Value,
        language: Language,
        depth: usize,
    ) -> Verdict
    where
        's: 'w,
    {
        if depth > MAX_DEPTH || !self.pay(1) {
            return None;
        }
        let keywords = match schema {
            Value::Bool(takes_all) => return Some(*takes_all),
            Value::Object(keywords) => keywords,
            _ => return None,
        };
        let of = |node: Node<'w>| self.verdict(value, node.schema, language, depth + 1);
        let mut verdict = Some(true);
        if keywords.contains_key("$ref") {
            verdict = self
                .target(keywords)
                .and_then(|schema| of(Node::new(schema, language)));
            if !language.reads_beside_reference() {
                return verdict;
            }
        }
        let node = Keywords {
            schema,
            entries: keywords,
            language,
            is_negated: false,
        };
        let below = |schema: &'w Value| of(node.below(schema));
        verdict = both(verdict, self.own_verdict(value, &node));
        verdict = both(verdict, every(node.list("allOf").iter().map(below)));
        if node.get("anyOf").is_some() {
            verdict = both(verdict, any(node.list("anyOf").iter().map(below)));
        }
        if node.get("oneOf").is_some() {
            let all: Vec<Verdict> = node.list("oneOf").iter().map(below).collect();
            let fitting = all.iter().filter(|it| **it == Some(true)).count();
            let open = all.iter().filter(|it| it.is_none()).count();
            verdict = both(
                verdict,
                match (fitting, open) {
                    (2.., _) | (0, 0) => Some(false),
                    (1, 0) => Some(true),
                    _ => None,
                },
            );
        }
        if let Some(schema) = node.get("not") {
            verdict = both(verdict, not(below(schema)));
        }
        if let Some(test) = node.get("if") {
            let branch = |keyword: &str| node.get(keyword).map_or(Some(true), below);
            verdict = both(
                verdict,
                match below(test) {
                    Some(true) => branch("then"),
                    Some(false) => branch("else"),
                    None => any([both(branch("then"), branch("else"))]).filter(|fits| *fits),
                },
            );
        }
        match value {
            Value::Array(items) => both(verdict, self.items_verdict(items, &node, depth)),
            Value::Object(fields) => {
                let each = fields
                    .iter()
                    .map(|(name, value)| match self.field_of(&node, name) {
                        None => Some(false),
                        Some(field) => {
                            let verdicts = field.nodes.into_iter();
                            let known = verdicts
                                .map(|node| self.verdict(value, node.schema, node.language, depth + 1));
                            both(every(known), field.is_whole.then_some(true))
                        }
                    });
                let known = both(verdict, every(each.collect::<Vec<_>>()));
                let open = [
                    "dependentSchemas",
                    "dependencies",
                    "unevaluatedProperties",
                    super::SOME,
                ];
                both(
                    known,
                    Some(true).filter(|_| open.iter().all(|it| node.get(it).is_none())),
                )
            }
            _ => verdict,
        }
    }

    fn items_verdict<'w>(&self, items: &[Value], node: &Keywords<'w>, depth: usize) -> Verdict
    where
        's: 'w,
    {
        let of = |item: &Value, schema: &'w Value| self.verdict(item, schema, node.language, depth + 1);
        let each = items.iter().enumerate().map(|(index, item)| {
            let schema = super::members::item_of(node, index);
            schema.map_or(Some(true), |schema| of(item, schema))
        });
        let each = every(each.collect::<Vec<_>>());
        if let Some(schema) = node.get("contains") {
            let has_bounds = node.get("minContains").is_some() || node.get("maxContains").is_some();
            let found = any(items.iter().map(|item| of(item, schema)).collect::<Vec<_>>());
            return both(each, found.filter(|_| !has_bounds));
        }
        both(
            each,
            Some(true).filter(|_| node.get("unevaluatedItems").is_none()),
        )
    }

    /// Whether a value fits a schema's constraints without subschemas.
    fn own_verdict(&self, value: &Value, node: &Keywords<'_>) -> Verdict {
        // A list of values is compared with the value one by one.
        self.pay(node.list("enum").len() as u64 / 8);
        if node.language == Language::Wish {
            // A wish is not cached by its address: it may be dropped earlier than the cache, and another schema may then
            // have the same address.
            self.pay(COMPILING);
            return node
                .language
                .plain(node.entries)
                .map(|plain| plain.is_valid(value));
        }
        let address = std::ptr::from_ref(node.entries).addr();
        let mut known = self.plain.borrow_mut();
        let plain = known.entry(address).or_insert_with(|| {
            self.pay(COMPILING);
            node.language.plain(node.entries)
        });
        plain.as_ref().map(|plain| plain.is_valid(value))
    }
}
