//! Whether any value fits several schemas at once. The answer "none does" is certain. Keywords that are not followed, and
//! questions that would take too much work, count as if some value fitted.
//!
//! A schema is taken apart into the schemas that a value has to fit together ([`Together`]). Each alternative (`anyOf`,
//! `oneOf`, `if`) is followed by itself. For the schemas that remain, each kind of value is decided by itself: by listed
//! values, by bounds, and by the same question for the properties and items that the value must have. A question that
//! comes up again while it is being answered has the answer no, because a JSON value does not contain itself without end.

mod language;
mod members;
mod together;
mod verdict;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
};

use jsonschema::Validator;
use serde_json::{Map, Value};

pub(super) use self::language::Language;
pub use self::language::VISIBLE;
use self::{
    language::kinds,
    together::{Node, Question, Together},
};
pub use super::vocabulary::SOME;
use super::{facts::Part, ranges};

/// The most steps of one question, and of all questions about a schema.
const STEPS: u64 = 20_000;
const ALL_STEPS: u64 = 400_000;
/// The steps of compiling the constraints of one schema.
const COMPILING: u64 = 100;
/// The deepest nesting of values that is followed.
const MAX_DEPTH: usize = 80;
/// The most values that are listed where each may occur only once, as in a list with unique items.
const MAX_LISTED: usize = 64;

/// Answers whether any value fits several schemas of a document at once.
#[derive(Debug)]
pub struct Possible<'s> {
    root: &'s Value,
    language: Language,
    /// The steps that are left for the present question, and for all.
    steps: Cell<u64>,
    all_steps: Cell<u64>,
    /// The questions that are being answered.
    open: RefCell<Vec<Question>>,
    /// The own constraints of schemas of the document, by the schema's address.
    plain: RefCell<HashMap<usize, Option<Validator>>>,
    patterns: RefCell<HashMap<String, Option<Validator>>>,
}

impl<'s> Possible<'s> {
    /// Prepares for questions about a document, to whose root its references lead.
    #[must_use]
    pub fn new(root: &'s Value) -> Self {
        Self {
            root,
            language: Language::of(root),
            steps: Cell::new(0),
            all_steps: Cell::new(ALL_STEPS),
            open: RefCell::default(),
            plain: RefCell::default(),
            patterns: RefCell::default(),
        }
    }

    /// Whether some value may fit all of these schemas of the document, and all wishes. `false` is certain. Wishes are
    /// schemas of their own, written in draft 2020-12 with [`VISIBLE`] and [`SOME`].
    #[must_use]
    pub fn may_fit<'w>(&self, schemas: &[&'w Value], wishes: &[&'w Value]) -> bool
    where
        's: 'w,
    {
        let steps = STEPS.min(self.all_steps.get());
        self.steps.set(steps);
        self.open.borrow_mut().clear();
        let own = |schema: &&'w Value| Node::new(schema, self.language);
        let wish = |schema: &&'w Value| Node::new(schema, Language::Wish);
        let nodes = schemas.iter().map(own).chain(wishes.iter().map(wish)).collect();
        let answer = self.solve(Together::default(), nodes);
        let used = steps - self.steps.get();
        self.all_steps.set(self.all_steps.get().saturating_sub(used));
        answer
    }

    /// Whether a name matches the regular expression of a schema; `None` if that is not known.
    #[must_use]
    pub fn is_match(&self, pattern: &str, name: &str) -> Option<bool> {
        let left = self.all_steps.get().checked_sub(1)?;
        self.all_steps.set(left);
        let mut known = self.patterns.borrow_mut();
        if !known.contains_key(pattern) {
            let left = left.checked_sub(COMPILING)?;
            self.all_steps.set(left);
            let schema = Map::from_iter([("pattern".to_owned(), pattern.into())]);
            known.insert(pattern.to_owned(), self.language.plain(&schema));
        }
        Some(known.get(pattern)?.as_ref()?.is_valid(&name.into()))
    }

    /// Takes steps; `false` if none are left, so that the answer is "maybe".
    fn pay(&self, steps: u64) -> bool {
        let left = self.steps.get().checked_sub(steps);
        self.steps.set(left.unwrap_or(0));
        left.is_some()
    }

    /// The schema that a reference leads to, within the document.
    fn target(&self, schema: &Map<String, Value>) -> Option<&'s Value> {
        let pointer = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
        let pointer = percent_encoding::percent_decode_str(pointer).decode_utf8().ok()?;
        self.root.pointer(&pointer)
    }

    /// Whether some value may fit these schemas and those with which they are put together.
    fn solve<'w>(&self, mut together: Together<'w>, more: Vec<Node<'w>>) -> bool
    where
        's: 'w,
    {
        if !self.pay(1 + together.len() as u64) {
            return true;
        }
        if !together.add(self, more) {
            return false;
        }
        let question = together.question();
        {
            let mut open = self.open.borrow_mut();
            if open.contains(&question) {
                return false;
            }
            if open.len() >= MAX_DEPTH {
                return true;
            }
            open.push(question);
        }
        let answer = self.answer(&together);
        self.open.borrow_mut().pop();
        answer
    }

    fn answer<'w>(&self, together: &Together<'w>) -> bool
    where
        's: 'w,
    {
        let taken = together.kinds();
        if taken == 0 {
            return false;
        }
        if let Some(values) = together.values() {
            return values.iter().any(|value| self.may_be(value, together));
        }
        if let Some(alternatives) = together.alternatives() {
            let mut all = alternatives.into_iter();
            return all.any(|(together, more)| self.solve(together, more));
        }
        small(taken).iter().any(|value| self.may_be(value, together))
            || (taken & (kinds::INTEGER | kinds::FRACTION) != 0 && has_number(taken, together))
            || (taken & kinds::STRING != 0 && has_text(together))
            || (taken & kinds::ARRAY != 0 && self.has_list(together))
            || (taken & kinds::OBJECT != 0 && self.has_object(together))
    }

    fn may_be<'w>(&self, value: &Value, together: &Together<'w>) -> bool
    where
        's: 'w,
    {
        together.all().all(|node| {
            let verdict = self.verdict(value, node.schema, node.language, 0);
            verdict != Some(node.is_negated)
        })
    }

    /// All values that fit, if there are few.
    fn listed<'w>(&self, mut together: Together<'w>, more: Vec<Node<'w>>, depth: usize) -> Option<Vec<Value>>
    where
        's: 'w,
    {
        if depth == 0 || !self.pay(1) {
            return None;
        }
        if !together.add(self, more) {
            return Some(Vec::new());
        }
        let taken = together.kinds();
        let mut all: Vec<Value> = Vec::new();
        if let Some(values) = together.values() {
            all.extend(values.iter().cloned());
        } else if taken & !(kinds::NULL | kinds::BOOLEAN) == 0 {
            all = small(taken);
        } else {
            for (together, more) in together.alternatives()? {
                all.extend(self.listed(together, more, depth - 1)?);
            }
        }
        all.retain(|value| self.may_be(value, &together));
        let mut distinct: Vec<Value> = Vec::new();
        for value in all {
            if !distinct.contains(&value) {
                distinct.push(value);
            }
        }
        (distinct.len() <= MAX_LISTED).then_some(distinct)
    }
}

/// The values of the kinds that have few.
fn small(taken: u8) -> Vec<Value> {
    let of = |kind: u8, values: &[Value]| {
        if taken & kind == 0 {
            Vec::new()
        } else {
            values.to_vec()
        }
    };
    let mut all = of(kinds::NULL, &[Value::Null]);
    all.extend(of(kinds::BOOLEAN, &[Value::Bool(false), Value::Bool(true)]));
    all
}

fn has_number(taken: u8, together: &Together<'_>) -> bool {
    let only = if taken & kinds::FRACTION == 0 {
        "integer"
    } else {
        "number"
    };
    ranges::of(&parts(together), Some(&[only])).is_empty()
}

fn has_text(together: &Together<'_>) -> bool {
    let lengths = together.positive();
    let lengths = lengths.filter_map(|node| length_of(node.get("format")?.as_str()?, node.language));
    let lengths: Vec<(u64, u64)> = lengths.collect();
    let least = lengths.iter().map(|(least, _)| *least).max().unwrap_or(0);
    let most = lengths.iter().map(|(_, most)| *most).min().unwrap_or(u64::MAX);
    let bound = |keyword: &str| {
        let all = together.positive().filter_map(move |node| node.get(keyword));
        all.filter_map(Value::as_u64).collect::<Vec<_>>()
    };
    least <= most
        && bound("maxLength").iter().all(|bound| *bound >= least)
        && bound("minLength").iter().all(|bound| *bound <= most)
        && ranges::of(&parts(together), Some(&["string"])).is_empty()
}

fn parts<'w>(together: &Together<'w>) -> Vec<Part<'w>> {
    let all = together.positive().map(|node| Part {
        schema: node.entries,
        at: String::new(),
    });
    all.collect()
}

/// The least and most characters of a text of a format, if the format has a length.
fn length_of(format: &str, language: Language) -> Option<(u64, u64)> {
    Some(match format {
        "date" => (10, 10),
        "date-time" => (20, u64::MAX),
        "uuid" if language >= Language::Draft2019 => (36, 36),
        "ipv4" => (7, 15),
        "email" => (5, u64::MAX),
        _ => return None,
    })
}

#[cfg(test)]
mod sound;
#[cfg(test)]
mod tests;
