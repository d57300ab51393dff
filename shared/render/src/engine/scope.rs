//! Scopes and the values in them: how a variable's path is looked up.

use carillon_domain::json::Value;

use super::program::Expr;

/// A scope in which variables are looked up. There is one for the data, and one for each surrounding loop,
/// `with` and partial.
#[derive(Debug)]
pub(super) struct Scope<'s> {
    pub(super) up: Option<&'s Scope<'s>>,
    pub(super) this: &'s Value,
    /// The names that a block gives (`as |item index|`), or the variables that a partial is given.
    pub(super) names: &'s [(&'s str, Val<'s>)],
    /// Whether `names` are also fields of `this`, as a partial's variables are.
    pub(super) merged: bool,
    pub(super) round: Option<Round<'s>>,
    pub(super) kind: Kind<'s>,
}

impl<'s> Scope<'s> {
    /// The scope of the whole data, around all others.
    pub(super) fn of_data(data: &'s Value) -> Self {
        Self {
            up: None,
            this: data,
            names: &[],
            merged: false,
            round: None,
            kind: Kind::Data,
        }
    }
}

/// Where the `this` of a scope comes from, for errors.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind<'s> {
    /// The whole data.
    Data,
    /// The scope around it.
    Same,
    /// An item of a list, or a field of an object, that a loop goes over.
    Item(&'s Expr),
    /// The value of `with`, or the one that a partial is given.
    Value(&'s Expr),
}

/// A loop's present round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round<'s> {
    pub(super) index: usize,
    pub(super) count: usize,
    /// The field's name, in a loop over an object.
    pub(super) key: Option<&'s str>,
}

/// A value, or the expression of a missing one and the scope in which it was looked up.
#[derive(Debug, Clone)]
pub(super) enum Val<'s> {
    Ref(&'s Value),
    Own(Value),
    Missing(&'s Expr, &'s Scope<'s>),
}

impl Val<'_> {
    pub(super) fn get(&self) -> Option<&Value> {
        match self {
            Self::Ref(value) => Some(value),
            Self::Own(value) => Some(value),
            Self::Missing(..) => None,
        }
    }

    pub(super) fn truthy(&self, include_zero: bool) -> bool {
        match self.get() {
            None | Some(Value::Null) => false,
            Some(Value::Bool(flag)) => *flag,
            Some(Value::Number(number)) => include_zero || !number.is_zero(),
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(list)) => !list.is_empty(),
            Some(Value::Object(fields)) => !fields.is_empty(),
        }
    }
}

/// The result of looking up a variable's path.
pub(super) enum Resolved<'s> {
    Value(&'s Value),
    Made(Value),
    /// A name that stands for a variable which is missing itself.
    Missing(&'s Expr, &'s Scope<'s>),
}

/// Looks up a path in the scope `level` levels up.
pub(super) fn find<'s>(level: usize, names: &[String], scope: &'s Scope<'s>) -> Option<Resolved<'s>> {
    if let Some((first, rest)) = names.split_first()
        && let Some(given) = given(level, first, scope)
    {
        return match given {
            Val::Ref(value) => dig(value, rest).map(Resolved::Value),
            Val::Own(value) => dig(value, rest).map(Resolved::Value),
            Val::Missing(expr, scope) => Some(Resolved::Missing(expr, scope)),
        };
    }
    dig(ancestor(scope, level)?.this, names).map(Resolved::Value)
}

/// The scope `level` levels up.
pub(super) fn ancestor<'s>(scope: &'s Scope<'s>, level: usize) -> Option<&'s Scope<'s>> {
    std::iter::successors(Some(scope), |scope| scope.up).nth(level)
}

/// A name that a surrounding block or partial defines. With `../`, only a partial's variables are found,
/// because they are fields.
pub(super) fn given<'s>(level: usize, name: &str, scope: &'s Scope<'s>) -> Option<&'s Val<'s>> {
    let find = |scope: &'s Scope<'s>| {
        let found = scope.names.iter().find(|(given, _)| *given == name);
        found.map(|(_, value)| value)
    };
    if level > 0 {
        return ancestor(scope, level).filter(|scope| scope.merged).and_then(find);
    }
    std::iter::successors(Some(scope), |scope| scope.up).find_map(find)
}

/// `@index`, `@key`, `@first` and `@last`: of the loop around the scope `level` levels up.
pub(super) fn round(level: usize, names: &[String], scope: &Scope<'_>) -> Option<Value> {
    let around = std::iter::successors(ancestor(scope, level), |scope| scope.up);
    let round = { around }.find_map(|scope| scope.round)?;
    let [name] = names else { return None };
    Some(match name.as_str() {
        "index" => round.index.into(),
        "first" => (round.index == 0).into(),
        "last" => (round.index + 1 == round.count).into(),
        "key" => round.key?.into(),
        _ => return None,
    })
}

pub(super) fn dig<'v>(value: &'v Value, names: &[String]) -> Option<&'v Value> {
    names.iter().try_fold(value, |value, name| match value {
        Value::Object(fields) => fields.get(name),
        Value::Array(list) => list.get(name.parse::<usize>().ok()?),
        _ => None,
    })
}
