//! The work of a check, estimated from the schema and the size of the data. A unit is about the time in which one
//! subschema is applied to one byte of a list of numbers.
//!
//! The units of subschemas are added up at the place of the data to which they apply. A place inside a list or map
//! counts once for each member. A member takes at least one byte, so the number of members is at most that of bytes.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::pattern::Matching;

/// Units of an `unevaluated…` for each pair of a subschema beside it and a member: the validator may evaluate every
/// such subschema for every member.
const UNEVALUATED: u64 = 4;
/// Units for each comparison of a pattern with a name.
const NAME_PATTERN: u64 = 6;
/// Units for each byte of a text with a format.
const FORMAT: u64 = 16;
/// Units for each byte of a list with unique items.
const UNIQUE: u64 = 8;

/// The part of a value to which a subschema applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Field(String),
    /// Fields whose names match.
    Matching,
    /// Fields that the same schema does not name elsewhere.
    OtherFields,
    Item(usize),
    /// Items after those that the same schema counts.
    OtherItems,
    AnyItem,
}

impl Kind {
    pub(super) fn is_field(&self) -> bool {
        matches!(self, Self::Field(_) | Self::Matching | Self::OtherFields)
    }
}

/// The work of checking data with a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CheckWork {
    /// The units that do not depend on the size of the data.
    once: u64,
    /// The units for each byte of data.
    per_byte: u64,
}

impl CheckWork {
    /// The work for data of this many bytes of JSON.
    pub(crate) fn on(self, bytes: usize) -> u64 {
        self.per_byte
            .saturating_mul(bytes as u64)
            .saturating_add(self.once)
    }

    /// The size of data, in bytes, whose check takes `work` units.
    pub(crate) fn bytes_within(self, work: u64) -> u64 {
        work.saturating_sub(self.once) / self.per_byte.max(1)
    }
}

/// The places of the data to which a schema applies.
#[derive(Debug)]
pub(super) struct SchemaPlaces {
    all: Vec<PlaceCost>,
    /// The path to the place of the present subschema, which is its last element.
    path: Vec<usize>,
}

#[derive(Debug, Default)]
struct PlaceCost {
    /// Whether the place is in a list or map, so that it occurs once for each member.
    is_many: bool,
    /// Units for each value at this place.
    value: u64,
    /// Units in addition to `value`, if this place has only one value.
    whole: u64,
    /// Units for each byte of the value, if this place has only one value.
    byte_of_one: u64,
    /// Units for each byte of the values, if this place has many values.
    byte_of_many: u64,
    fields: HashMap<String, usize>,
    other_fields: Option<usize>,
    items: HashMap<usize, usize>,
    other_items: Option<usize>,
}

impl SchemaPlaces {
    pub(super) fn new() -> Self {
        Self {
            all: vec![PlaceCost::default()],
            path: vec![0],
        }
    }

    fn here(&mut self) -> &mut PlaceCost {
        let at = self.path.last().copied().unwrap_or_default();
        &mut self.all[at]
    }

    /// Enters a part of the present value.
    pub(super) fn enter(&mut self, kind: &Kind) {
        let next = self.all.len();
        let here = self.here();
        let is_many = here.is_many || !matches!(kind, Kind::Field(_) | Kind::Item(_));
        let at = match kind {
            Kind::Field(name) => *here.fields.entry(name.clone()).or_insert(next),
            Kind::Item(index) => *here.items.entry(*index).or_insert(next),
            Kind::Matching | Kind::OtherFields => *here.other_fields.get_or_insert(next),
            Kind::OtherItems | Kind::AnyItem => *here.other_items.get_or_insert(next),
        };
        if at == next {
            self.all.push(PlaceCost {
                is_many,
                ..PlaceCost::default()
            });
        }
        self.path.push(at);
    }

    pub(super) fn leave(&mut self) {
        self.path.pop();
    }

    /// Adds a subschema that applies to the present value.
    pub(super) fn apply(&mut self, schema: &Value) {
        let here = self.here();
        here.value += 1;
        let Value::Object(keywords) = schema else { return };
        for (keyword, value) in keywords {
            let (units, byte) = match keyword.as_str() {
                "properties" | "required" | "dependencies" | "dependentRequired" | "dependentSchemas" => {
                    (members(value), 0)
                }
                "enum" | "const" => (nodes(value), 0),
                "format" => (1, FORMAT),
                "uniqueItems" => (1, UNIQUE),
                "title" | "description" | "examples" | "default" | "$defs" | "definitions" | "$comment" => {
                    (0, 0)
                }
                "minLength" | "maxLength" => (1, 1),
                _ => (1, 0),
            };
            here.value += units;
            here.byte_of_one += byte;
            here.byte_of_many += byte;
        }
    }

    /// Adds a pattern that is compared with the present value.
    pub(super) fn pattern(&mut self, matching: Matching) {
        let (byte, whole) = matching.of_one_text();
        let here = self.here();
        here.byte_of_one = here.byte_of_one.saturating_add(byte);
        here.byte_of_many = here.byte_of_many.saturating_add(matching.per_byte);
        here.whole = here.whole.saturating_add(whole);
    }

    /// Adds a pattern that is compared with the names of the present value's fields.
    pub(super) fn name_pattern(&mut self, matching: Matching) {
        let here = self.here();
        let byte = matching.per_byte.saturating_add(NAME_PATTERN);
        here.byte_of_one = here.byte_of_one.saturating_add(byte);
        here.byte_of_many = here.byte_of_many.saturating_add(byte);
    }

    /// Adds an `unevaluated…` that evaluates this many subschemas for each member of the present value.
    pub(super) fn unevaluated(&mut self, subschemas: usize) {
        let here = self.here();
        let byte = UNEVALUATED.saturating_mul(subschemas as u64);
        here.byte_of_one = here.byte_of_one.saturating_add(byte);
        here.byte_of_many = here.byte_of_many.saturating_add(byte);
    }

    /// The work of the schema. `recursive` is the number of definitions that refer to themselves for a part of their
    /// value. Each of them may apply at any place, in addition to the subschemas of that place.
    pub(super) fn work(&self, recursive: usize) -> CheckWork {
        let is_recursive = recursive > 0;
        let once = self.all.iter().fold(0_u64, |sum, place| {
            sum.saturating_add(place.value).saturating_add(place.whole)
        });
        let per_byte = self.most(0, is_recursive).saturating_mul(1 + recursive as u64);
        CheckWork {
            once,
            // Reading a byte is work too.
            per_byte: per_byte.max(1),
        }
    }

    /// The most units for a byte at a place or below it.
    fn most(&self, at: usize, is_recursive: bool) -> u64 {
        let place = &self.all[at];
        let own = if place.is_many || is_recursive {
            place.value.saturating_add(place.byte_of_many)
        } else {
            place.byte_of_one
        };
        let most = |places: &HashMap<_, usize>| {
            let each = places.values().map(|at| self.most(*at, is_recursive));
            each.max().unwrap_or(0)
        };
        let other = |at: Option<usize>| at.map_or(0, |at| self.most(at, is_recursive));
        let fields = most(&place.fields).saturating_add(other(place.other_fields));
        let each = place.items.values().map(|at| self.most(*at, is_recursive));
        let items = each.max().unwrap_or(0).saturating_add(other(place.other_items));
        own.max(fields).max(items)
    }
}

/// The number of members of a keyword's list or map, those of its own lists included.
fn members(value: &Value) -> u64 {
    let of = |value: &Value| match value {
        Value::Array(list) => list.len() as u64,
        _ => 0,
    };
    match value {
        Value::Array(_) => of(value),
        Value::Object(fields) => fields.len() as u64 + fields.values().map(of).sum::<u64>(),
        _ => 1,
    }
}

/// The number of values in a value, itself included.
fn nodes(value: &Value) -> u64 {
    match value {
        Value::Array(list) => 1 + list.iter().map(nodes).sum::<u64>(),
        Value::Object(fields) => 1 + Map::values(fields).map(nodes).sum::<u64>(),
        _ => 1,
    }
}
