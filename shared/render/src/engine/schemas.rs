//! The value of a variable as far as the schema of an event type determines it, before there is data.

mod kinds;

use std::sync::LazyLock;

use carillon_domain::{field_error::echo, possible::Possible};
use serde_json::{Map, Value, json};

pub(super) use self::kinds::shown;
use super::made::{is_never_set, is_own, made, of_kinds};

/// The most field names that a sentence lists.
const MAX_LISTED: usize = 12;

/// The schema of the data of a type that has none: an object of which nothing else is known.
pub(super) static ANY: LazyLock<Value> = LazyLock::new(|| json!({"type": "object"}));

/// The values that a variable may have, inferred from the schema.
#[derive(Debug, Clone)]
pub(super) enum Inferred<'s> {
    /// It may be anything, or absent.
    Unknown,
    /// It is absent, or fits this schema.
    Fits(&'s Value),
    /// No data gives it a value.
    Never(Never),
}

/// The reason for which a variable never has a value.
#[derive(Debug, Clone)]
pub(super) struct Never {
    /// The reason, as the end of a sentence.
    pub(super) why: String,
    /// Whether the variable belongs to Carillon, so that no data and no schema gives it a value.
    pub(super) is_own: bool,
    /// Whether a condition may nevertheless ask for the variable.
    pub(super) may_be_asked: bool,
}

impl Inferred<'static> {
    /// A value that a helper or a loop makes.
    pub(super) fn made(name: &str) -> Self {
        made(name).map_or(Self::Unknown, Self::Fits)
    }
}

impl<'s> Inferred<'s> {
    pub(super) fn schema(&self) -> Option<&'s Value> {
        match self {
            Self::Fits(schema) => Some(schema),
            Self::Unknown | Self::Never(_) => None,
        }
    }
}

/// The schema of an event type's data.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schema<'e> {
    pub(super) root: &'e Value,
    /// The same schema once more. It stands for the variable `data`, which does not have Carillon's own variables.
    pub(super) data: &'e Value,
    /// The schemas of Carillon's own variables.
    pub(super) own: &'e Value,
    /// Answers questions about the event type's schema.
    pub(super) possible: &'e Possible<'e>,
    /// The event type that has a schema, for sentences.
    pub(super) event_type: Option<&'e str>,
}

impl<'e> Schema<'e> {
    /// A variable of the whole data, where Carillon's own variables come first.
    pub(super) fn of_root(self, names: &[String]) -> Inferred<'e> {
        match names.split_first() {
            Some((first, rest)) if first == "data" => self.dig(Inferred::Fits(self.data), "data", rest),
            Some((first, [])) if is_never_set(first) => Inferred::Never(Never {
                why: "no message has one at present; ask for it with {{#if unsubscribe_url}}".to_owned(),
                is_own: true,
                may_be_asked: true,
            }),
            Some((first, rest)) => match self.own.get(first) {
                Some(own) => match self.dig(Inferred::Fits(own), first, rest) {
                    Inferred::Never(never) => Inferred::Never(Never {
                        why: format!(
                            "{}; write data.{} for a field of the event's data",
                            never.why,
                            echo(&names.join("."))
                        ),
                        ..never
                    }),
                    seen => seen,
                },
                None => self.dig(Inferred::Fits(self.root), "the event's data", names),
            },
            None => Inferred::Fits(self.root),
        }
    }

    /// The variable that these names lead to, from a holder with this name.
    pub(super) fn dig<'s>(self, holder: Inferred<'s>, label: &str, names: &[String]) -> Inferred<'s>
    where
        'e: 's,
    {
        let mut seen = holder;
        for (index, name) in names.iter().enumerate() {
            let Inferred::Fits(schema) = seen else {
                return seen;
            };
            let holder = || match (index, label) {
                (0, _) => echo(label),
                (_, "the event's data") => echo(&names[..index].join(".")),
                _ => echo(&format!("{label}.{}", names[..index].join("."))),
            };
            seen = self.field(schema, name, holder);
        }
        seen
    }

    /// A field of an object, or an item of a list by its number.
    fn field<'s>(self, schema: &'s Value, name: &str, holder: impl Fn() -> String) -> Inferred<'s>
    where
        'e: 's,
    {
        let kinds = self.kinds(schema);
        let may_be = |kind: &str| kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind));
        if let Ok(index) = name.parse::<usize>()
            && may_be("array")
        {
            if may_be("object") {
                return Inferred::Unknown;
            }
            return self.numbered(schema, index, holder);
        }
        if !may_be("object") {
            let kinds = kinds.unwrap_or_default();
            return never(
                schema,
                format!(
                    "{} is {}, which has no field {}",
                    holder(),
                    shown(&kinds),
                    echo(&name)
                ),
            );
        }
        let mut found = Inferred::Unknown;
        for part in self.conjuncts(schema) {
            match (self.own_field(part, name, &holder), &found) {
                (Inferred::Never(why), _) => return Inferred::Never(why),
                (seen, Inferred::Unknown) => found = seen,
                _ => {}
            }
        }
        self.ruled_out(schema, &json!({"type": "object", "required": [name]}), || {
            format!("no data with a field {} in {} fits it", echo(&name), holder())
        })
        .unwrap_or(found)
    }

    /// A value that no data has, because no data with it fits the schema. This contradiction has no sentence of its
    /// own.
    fn ruled_out<'s>(self, schema: &Value, wish: &Value, why: impl Fn() -> String) -> Option<Inferred<'s>> {
        let is_of_type = !is_own(schema) && self.event_type.is_some();
        let is_out = is_of_type && !self.possible.may_fit(&[schema], &[wish]);
        is_out.then(|| never(schema, why()))
    }

    /// Whether no value of these kinds fits a schema of the event's data.
    pub(super) fn rules_out_kinds(self, schema: &Value, kinds: &[&str]) -> bool {
        let is_of_type = !is_own(schema) && self.event_type.is_some();
        is_of_type && !self.possible.may_fit(&[schema], &[&json!({ "type": kinds })])
    }

    /// A field, as one object's schema has it, without the schemas beside it.
    fn own_field<'s>(self, schema: &'s Value, name: &str, holder: impl Fn() -> String) -> Inferred<'s> {
        let fields = schema.get("properties").and_then(Value::as_object);
        if let Some(field) = fields.and_then(|fields| fields.get(name)) {
            return match field {
                Value::Bool(false) => never(schema, format!("{} has no field {}", holder(), echo(name))),
                field => Inferred::Fits(field),
            };
        }
        let patterns = schema.get("patternProperties").and_then(Value::as_object);
        for (pattern, field) in patterns.into_iter().flatten() {
            match self.possible.is_match(pattern, name) {
                Some(false) => {}
                Some(true) if *field == Value::Bool(false) => {
                    let why = format!("{} has no field {}", holder(), echo(&name));
                    return never(schema, why);
                }
                Some(true) => return Inferred::Fits(field),
                None => return Inferred::Unknown,
            }
        }
        match schema.get("additionalProperties") {
            Some(Value::Bool(false)) => {
                let names: Vec<&str> = fields
                    .into_iter()
                    .flatten()
                    .filter(|(_, field)| **field != Value::Bool(false))
                    .map(|(name, _)| name.as_str())
                    .collect();
                let patterns: Vec<&str> = patterns
                    .into_iter()
                    .flatten()
                    .map(|(it, _)| it.as_str())
                    .collect();
                let why = match (names.as_slice(), patterns.as_slice()) {
                    ([], []) => format!("{} has no fields", holder()),
                    ([], patterns) => format!("{} has only fields that match {}", holder(), listed(patterns)),
                    (names, []) => format!("{} has only the fields {}", holder(), listed(names)),
                    (names, patterns) => format!(
                        "{} has only the fields {} and those that match {}",
                        holder(),
                        listed(names),
                        listed(patterns)
                    ),
                };
                never(schema, why)
            }
            Some(other @ Value::Object(_)) => Inferred::Fits(other),
            _ => Inferred::Unknown,
        }
    }

    /// An item of a list by its number, from 0.
    fn numbered<'s>(self, list: &'s Value, index: usize, holder: impl Fn() -> String) -> Inferred<'s>
    where
        'e: 's,
    {
        let mut found = Inferred::Unknown;
        for list in self.conjuncts(list) {
            let most = list.get("maxItems").and_then(Value::as_u64);
            let first = list
                .get("prefixItems")
                .or_else(|| list.get("items").filter(|items| items.is_array()));
            let first = first.and_then(Value::as_array);
            let rest = list.get("items").filter(|items| !items.is_array());
            let rest = rest.or_else(|| list.get("additionalItems").filter(|_| first.is_some()));
            let most = match (rest, first) {
                (Some(Value::Bool(false)), first) => Some(first.map_or(0, Vec::len) as u64),
                _ => most,
            };
            if let Some(most) = most.filter(|most| index as u64 >= *most) {
                return never(list, format!("{} has at most {most} items", holder()));
            }
            let item = first.and_then(|first| first.get(index)).or(rest);
            if let (Some(item), Inferred::Unknown) = (item, &found) {
                found = Inferred::Fits(item);
            }
        }
        let least = (index as u64).saturating_add(1);
        self.ruled_out(list, &json!({"type": "array", "minItems": least}), || {
            format!("no {} with {least} items fits it", holder())
        })
        .unwrap_or(found)
    }

    /// The value that `lookup` finds in a holder by a key. `by_name` is whether the key may be a name, `by_index` whether
    /// it may be the number of an item. `key` is the key's value, if that is known.
    pub(super) fn looked_up<'s>(
        self,
        holder: &'s Value,
        label: &str,
        key: Option<&carillon_domain::json::Value>,
        (by_name, by_index): (bool, bool),
    ) -> Inferred<'s>
    where
        'e: 's,
    {
        let kinds = self.kinds(holder);
        let may_be = |kind: &str| kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind));
        let (in_object, in_list) = (may_be("object") && by_name, may_be("array") && by_index);
        if !in_object && !in_list {
            let shown = shown(&kinds.unwrap_or_default());
            let why = match (by_name, by_index) {
                (true, false) => format!("{label} is {shown}, which has no fields by name"),
                (false, true) => format!("{label} is {shown}, which has no items by number"),
                (true, true) => format!("{label} is {shown}, which has neither fields nor items"),
                (false, false) => "its key is neither a name nor the number of an item".to_owned(),
            };
            return never(holder, why);
        }
        let Some(key) = key else { return Inferred::Unknown };
        match (key.as_str(), key.as_u64()) {
            (Some(name), _) if name.parse::<usize>().is_err() || !may_be("array") => {
                self.field(holder, name, || label.to_owned())
            }
            (None, Some(index)) => usize::try_from(index).map_or(Inferred::Unknown, |index| {
                self.numbered(holder, index, || label.to_owned())
            }),
            _ => Inferred::Unknown,
        }
    }

    /// An item of a list, or the value of a field of an object.
    pub(super) fn item<'s>(self, list: &'s Value) -> Option<&'s Value>
    where
        'e: 's,
    {
        if std::ptr::eq(list, self.root) {
            // The whole data has Carillon's own variables, too.
            return None;
        }
        let kinds = self.kinds(list);
        let may_be = |kind: &str| kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind));
        let all = self.conjuncts(list);
        let mut members: Vec<&Value> = Vec::new();
        for (kind, first) in [
            ("array", ["prefixItems", "items"]),
            ("object", ["properties", "patternProperties"]),
        ] {
            if !may_be(kind) {
                continue;
            }
            let mut is_known = false;
            for part in &all {
                let others = match (kind, part.get("items")) {
                    ("array", Some(Value::Array(_))) => part.get("additionalItems"),
                    ("array", items) => items,
                    _ => part.get("additionalProperties"),
                };
                let Some(others) = others else { continue };
                is_known = true;
                members.push(others);
                let first = first.iter().filter_map(|keyword| part.get(keyword));
                for listed in first {
                    members.extend(listed.as_array().into_iter().flatten());
                    members.extend(
                        listed
                            .as_object()
                            .filter(|_| kind == "object")
                            .into_iter()
                            .flat_map(Map::values),
                    );
                }
            }
            // Without a schema for all other members, these may be anything.
            if !is_known {
                return None;
            }
        }
        members.retain(|member| **member != Value::Bool(false));
        match members.as_slice() {
            [] => None,
            [only] => Some(only),
            members => {
                let mut kinds = Vec::new();
                for member in members {
                    kinds.extend(self.kinds(member)?);
                }
                of_kinds(&kinds, all.iter().any(|part| is_own(part)))
            }
        }
    }
}

/// A variable that no data gives a value, below a holder with this schema.
fn never<'s>(holder: &Value, why: String) -> Inferred<'s> {
    let is_own = is_own(holder);
    Inferred::Never(Never {
        why,
        is_own,
        may_be_asked: !is_own,
    })
}

fn listed(names: &[&str]) -> String {
    let first: Vec<String> = names.iter().take(MAX_LISTED).map(echo).collect();
    match names.len().saturating_sub(MAX_LISTED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
