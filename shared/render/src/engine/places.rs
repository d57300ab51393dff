//! Where the values of a template come from, and conditions on the data in the words of JSON Schema. With them the gate
//! asks whether any data that fits the schema lets a part of a template show something.

use carillon_domain::{
    json::Value as Json,
    possible::{Possible, SOME, VISIBLE},
};
use serde_json::{Value, json};

use super::{
    exec::Machine,
    made::is_never_set,
    program::{Call, Expr, From, Helper, Path},
    scope::{Scope as Values, Val},
};
use crate::origin::is_own;

/// Where a value comes from.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// All variables: the data and Carillon's own.
    Root,
    /// A part of the data.
    Data(Vec<Step>),
    /// A variable of Carillon's own, or a field of one.
    Own(Vec<Step>),
    /// A literal of the template.
    Literal(Json),
    /// Anywhere else.
    Unknown,
}

/// A step from a value to a part of it.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// The field of this name, or the item with this number.
    Name(String),
    /// Any item of a list, or the value of any field of an object.
    Item,
}

/// A scope of places, the twin of the scope of values.
#[derive(Debug)]
pub(super) struct Spot<'s> {
    pub(super) up: Option<&'s Spot<'s>>,
    pub(super) this: Place,
    pub(super) names: Vec<(&'s str, Place)>,
    pub(super) merged: bool,
}

impl Spot<'_> {
    pub(super) fn root() -> Self {
        Self {
            up: None,
            this: Place::Root,
            names: Vec::new(),
            merged: false,
        }
    }
}

impl Place {
    fn field(&self, names: &[String]) -> Self {
        let steps = names.iter().cloned().map(Step::Name);
        match self {
            place if names.is_empty() => place.clone(),
            Self::Root if names[0] == "data" => Self::Data(steps.skip(1).collect()),
            Self::Root if is_own(&names[0]) => Self::Own(steps.collect()),
            Self::Root => Self::Data(steps.collect()),
            Self::Data(known) => Self::Data(known.iter().cloned().chain(steps).collect()),
            Self::Own(known) => Self::Own(known.iter().cloned().chain(steps).collect()),
            Self::Literal(_) | Self::Unknown => Self::Unknown,
        }
    }

    pub(super) fn item(&self) -> Self {
        let with_item = |known: &[Step]| known.iter().cloned().chain([Step::Item]).collect();
        match self {
            Self::Data(known) => Self::Data(with_item(known)),
            Self::Own(known) => Self::Own(with_item(known)),
            Self::Root | Self::Literal(_) | Self::Unknown => Self::Unknown,
        }
    }
}

/// Data in which the value at a place is there and fits a schema.
fn there(steps: &[Step], fits: Value) -> Value {
    steps.iter().rev().fold(fits, |inner, step| match step {
        Step::Name(name) => {
            let object = json!({"type": "object", "required": [name], "properties": {name: inner}});
            match name.parse::<u64>() {
                Ok(index) => {
                    json!({"anyOf": [object, {"type": "array", "minItems": index.saturating_add(1)}]})
                }
                Err(_) => object,
            }
        }
        Step::Item => {
            json!({"anyOf": [{"type": "array", "contains": inner}, {"type": "object", SOME: inner}]})
        }
    })
}

/// Data in which the value at a place is absent or fits a schema.
fn absent_or(steps: &[Step], fits: Value) -> Value {
    steps.iter().rev().fold(fits, |inner, step| match step {
        Step::Name(name) if name.parse::<u64>().is_err() => json!({"properties": {name: inner}}),
        _ => true.into(),
    })
}

/// The data with which a condition is true, and those with which it is false.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub(super) yes: Value,
    pub(super) no: Value,
}

impl Condition {
    fn of(yes: impl Into<Value>, no: impl Into<Value>) -> Self {
        Self {
            yes: yes.into(),
            no: no.into(),
        }
    }

    fn open() -> Self {
        Self::of(true, true)
    }

    fn reversed(self) -> Self {
        Self {
            yes: self.no,
            no: self.yes,
        }
    }
}

/// Answers questions about the data of an event type.
pub(super) struct Places<'e> {
    pub(super) root: &'e Value,
    pub(super) data: &'e Possible<'e>,
    /// The schema of an object of Carillon's own variables.
    pub(super) own: &'e Value,
    pub(super) of_own: &'e Possible<'e>,
    pub(super) machine: &'e Machine<'e>,
}

impl Places<'_> {
    /// Whether some data may meet all of these conditions.
    pub(super) fn may_be(&self, conditions: &[&Value]) -> bool {
        let is = |flag: bool| move |condition: &&Value| **condition == Value::Bool(flag);
        !conditions.iter().any(is(false))
            && (conditions.iter().all(is(true)) || self.data.may_fit(&[self.root], conditions))
    }

    /// The data with which an expression has a value that fits a schema.
    fn fits(&self, place: &Place, fits: Value) -> Value {
        match place {
            Place::Data(steps) => there(steps, fits),
            Place::Own(steps) => {
                let is_set = !matches!(&steps[..], [Step::Name(name), ..] if is_never_set(name));
                (is_set && self.of_own.may_fit(&[self.own], &[&there(steps, fits)])).into()
            }
            Place::Root | Place::Literal(_) | Place::Unknown => true.into(),
        }
    }

    /// The data with which an expression shows a visible character. One that fails counts as visible: it is reported
    /// elsewhere.
    pub(super) fn shows(&self, expr: &Expr, spot: &Spot<'_>) -> Value {
        if is_literal(expr) {
            return self.literal_shows(expr).into();
        }
        let place = place_of(expr, spot);
        match (expr, &place) {
            (_, Place::Literal(value)) => value_shows(value).into(),
            // Any character, a blank one too, is encoded as visible ones.
            (Expr::Call(call), _) if call.helper == Helper::Encode => {
                self.fits(&place_of(&call.args[0], spot), json!({"not": {"enum": [null, ""]}, "minLength": 1}))
            }
            _ => self.fits(
                &place,
                json!({"type": ["boolean", "number", "string", "array", "object"], "minLength": 1, "format": VISIBLE}),
            ),
        }
    }

    fn literal_shows(&self, expr: &Expr) -> bool {
        let scope = Values::of_data(self.machine.root);
        let value = self.machine.eval(expr, &scope);
        value
            .as_ref()
            .map_or(true, |value| value.get().is_none_or(value_shows))
    }

    /// The data with which the condition of a block is true, and those with which it is false.
    pub(super) fn condition(&self, test: &Expr, include_zero: Option<&Expr>, spot: &Spot<'_>) -> Condition {
        // The number 0 counts as true if the template sets `includeZero`, or if the value of `includeZero` is unknown.
        let zero =
            include_zero.is_some_and(|expr| self.condition(expr, None, spot).yes != Value::Bool(false));
        let is_known = include_zero.is_none_or(is_literal);
        if is_literal(test) && is_known {
            let scope = Values::of_data(self.machine.root);
            return match self.machine.operand(test, &scope) {
                Ok(value) => Condition::of(value.truthy(zero), !value.truthy(zero)),
                Err(_) => Condition::open(),
            };
        }
        match test {
            Expr::Call(call) if call.helper != Helper::Lookup => self.called(call, spot),
            _ => self.truth(&place_of(test, spot), zero, is_known),
        }
    }

    fn truth(&self, place: &Place, zero: bool, is_known: bool) -> Condition {
        if let Place::Literal(value) = place {
            let truthy = Val::Ref(value).truthy(zero);
            return if is_known {
                Condition::of(truthy, !truthy)
            } else {
                Condition::open()
            };
        }
        let empty = if zero { json!([false]) } else { json!([false, 0]) };
        let yes = self.fits(
            place,
            json!({"type": ["boolean", "number", "string", "array", "object"], "minLength": 1, "minItems": 1,
                "minProperties": 1, "not": {"enum": empty}}),
        );
        let no = match place {
            Place::Data(steps) => absent_or(steps, json!({"enum": [null, false, "", [], {}, 0]})),
            _ => true.into(),
        };
        Condition::of(yes, no)
    }

    fn called(&self, call: &Call, spot: &Spot<'_>) -> Condition {
        let each = || call.args.iter().map(|arg| self.condition(arg, None, spot));
        let all = |values: Vec<Value>| json!({"allOf": values});
        let any = |values: Vec<Value>| json!({"anyOf": values});
        let split = || each().map(|it| (it.yes, it.no)).unzip();
        match (call.helper, &call.args[..]) {
            (Helper::Not, [one]) => self.condition(one, None, spot).reversed(),
            (Helper::And, [_, ..]) => {
                let (yes, no): (Vec<Value>, Vec<Value>) = split();
                Condition::of(all(yes), any(no))
            }
            (Helper::Or, [_, ..]) => {
                let (yes, no): (Vec<Value>, Vec<Value>) = split();
                Condition::of(any(yes), all(no))
            }
            (Helper::Eq, [one, other]) => Self::equal(one, other, spot),
            (Helper::Ne, [one, other]) => Self::equal(one, other, spot).reversed(),
            _ => Condition::open(),
        }
    }

    /// The data with which a variable equals a literal, and those with which it does not.
    fn equal(one: &Expr, other: &Expr, spot: &Spot<'_>) -> Condition {
        let ((Place::Literal(literal), place) | (place, Place::Literal(literal))) =
            (place_of(one, spot), place_of(other, spot))
        else {
            return Condition::open();
        };
        let Place::Data(steps) = &place else {
            return Condition::open();
        };
        let Ok(value) = serde_json::from_str::<Value>(&literal.to_string()) else {
            return Condition::open();
        };
        // A number and a numeric text are compared by value.
        let is_numeric = literal
            .as_str()
            .is_none_or(|text| text.trim().starts_with(|c: char| c == '-' || c.is_ascii_digit()));
        match &value {
            Value::Null => Condition::of(
                absent_or(steps, json!({"const": null})),
                there(steps, json!({"not": {"const": null}})),
            ),
            Value::Bool(_) => Condition::of(
                there(steps, json!({"const": value})),
                absent_or(steps, json!({"not": {"const": value}})),
            ),
            // The schema compares fewer digits than a condition does.
            Value::Number(_) => Condition::of(there(steps, json!({"type": ["number", "string"]})), true),
            Value::String(_) => {
                let like = if is_numeric {
                    json!({"type": ["number", "string"]})
                } else {
                    json!({"const": value})
                };
                Condition::of(
                    there(steps, like),
                    absent_or(steps, json!({"not": {"const": value}})),
                )
            }
            _ => Condition::open(),
        }
    }

    /// The data with which a loop has rounds, and those with which it has none.
    pub(super) fn rounds(&self, list: &Expr, spot: &Spot<'_>) -> Condition {
        let place = place_of(list, spot);
        let yes = self.fits(
            &place,
            json!({"type": ["array", "object"], "minItems": 1, "minProperties": 1}),
        );
        let no = match &place {
            Place::Data(steps) => absent_or(steps, json!({"maxItems": 0, "maxProperties": 0})),
            _ => true.into(),
        };
        Condition::of(yes, no)
    }
}

fn value_shows(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::String(text) => !crate::invisible::is_blank(text),
        _ => true,
    }
}

/// The place of an expression's value.
pub(super) fn place_of(expr: &Expr, spot: &Spot<'_>) -> Place {
    match expr {
        Expr::Literal(value) => Place::Literal(value.clone()),
        Expr::Path(path) => look_up(path, spot),
        Expr::Call(call) => match (call.helper, &call.args[..]) {
            (Helper::Lookup, [holder, Expr::Literal(key)]) => match (key.as_str(), key.as_u64()) {
                (Some(name), _) if name.parse::<u64>().is_err() => {
                    place_of(holder, spot).field(&[name.to_owned()])
                }
                (None, Some(index)) => match place_of(holder, spot) {
                    Place::Root => Place::Unknown,
                    place => place.field(&[index.to_string()]),
                },
                _ => Place::Unknown,
            },
            _ => Place::Unknown,
        },
    }
}

/// Looks up a variable's place, in the order in which a running template looks up its value.
fn look_up(path: &Path, spot: &Spot<'_>) -> Place {
    let level = match path.from {
        From::Round(_) => return Place::Unknown,
        From::Root => return Place::Root.field(&path.names),
        From::Scope(level) => level,
    };
    let up = || std::iter::successors(Some(spot), |spot| spot.up);
    if let Some((first, rest)) = path.names.split_first() {
        let named = |spot: &Spot<'_>| {
            let found = spot.names.iter().find(|(name, _)| name == first);
            found.map(|(_, place)| place.field(rest))
        };
        let found = if level == 0 {
            up().find_map(named)
        } else {
            up().nth(level).filter(|spot| spot.merged).and_then(named)
        };
        if let Some(place) = found {
            return place;
        }
    }
    up().nth(level)
        .map_or(Place::Unknown, |spot| spot.this.field(&path.names))
}

/// Whether an expression has the same value with any data.
pub(super) fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(_) => true,
        Expr::Path(_) => false,
        Expr::Call(call) => {
            call.args.iter().all(is_literal) && call.named.iter().all(|(_, arg)| is_literal(arg))
        }
    }
}
