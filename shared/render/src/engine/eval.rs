//! Evaluates expressions in a scope.

use carillon_domain::json::Value;

use super::{
    compare::{compare, equal},
    exec::Machine,
    lack::lack,
    program::{Call, Expr, From, Helper, Path},
};
use crate::{
    budget::Budget,
    fault::Fault,
    helpers::{self, Arg},
};

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

impl Machine<'_> {
    pub(super) fn eval<'s>(&'s self, expr: &'s Expr, scope: &'s Scope<'s>) -> Result<Val<'s>, Fault> {
        self.budget.pay(1)?;
        match expr {
            Expr::Literal(value) => Ok(Val::Ref(value)),
            Expr::Path(path) => self.look_up(expr, path, scope),
            Expr::Call(call) => self.call(expr, call, scope),
        }
    }

    /// The value of an operand of a condition. In conditions an absent value compares as absent, and its length
    /// is 0.
    pub(super) fn operand<'s>(&'s self, expr: &'s Expr, scope: &'s Scope<'s>) -> Result<Val<'s>, Fault> {
        if let Expr::Call(call) = expr
            && call.helper == Helper::Len
            && let None | Some(Value::Null) = self.eval(&call.args[0], scope)?.get()
        {
            return Ok(Val::Own(0.into()));
        }
        self.eval(expr, scope)
    }

    fn look_up<'s>(&'s self, expr: &'s Expr, path: &'s Path, scope: &'s Scope<'s>) -> Result<Val<'s>, Fault> {
        self.budget.pay_bytes(path.raw.len())?;
        let found = match path.from {
            From::Root => dig(self.root, &path.names).map(Found::Value),
            From::Round(level) => round(level, &path.names, scope).map(Found::Made),
            From::Scope(level) => find(level, &path.names, scope),
        };
        Ok(match found {
            Some(Found::Value(value)) => Val::Ref(value),
            Some(Found::Made(value)) => Val::Own(value),
            Some(Found::Missing(expr, scope)) => Val::Missing(expr, scope),
            None => Val::Missing(expr, scope),
        })
    }

    fn call<'s>(&'s self, expr: &'s Expr, call: &'s Call, scope: &'s Scope<'s>) -> Result<Val<'s>, Fault> {
        let arg = |index: usize| self.eval(&call.args[index], scope);
        let operand = |index: usize| self.operand(&call.args[index], scope);
        let text = |text: String| {
            self.budget.pay_bytes(text.len())?;
            Ok(Val::Own(Value::String(text)))
        };
        let language = self.pack.language;
        match call.helper {
            Helper::Eq => Ok(truth(equal(&operand(0)?, &operand(1)?, self.budget)?)),
            Helper::Ne => Ok(truth(!equal(&operand(0)?, &operand(1)?, self.budget)?)),
            Helper::Gt | Helper::Gte | Helper::Lt | Helper::Lte => {
                let order = compare(&operand(0)?, &operand(1)?, self.budget)?;
                Ok(truth(order.is_some_and(|order| match call.helper {
                    Helper::Gt => order.is_gt(),
                    Helper::Gte => order.is_ge(),
                    Helper::Lt => order.is_lt(),
                    _ => order.is_le(),
                })))
            }
            Helper::And | Helper::Or => {
                let all = call.helper == Helper::And;
                for arg in &call.args {
                    if self.operand(arg, scope)?.truthy(false) != all {
                        return Ok(truth(!all));
                    }
                }
                Ok(truth(all))
            }
            Helper::Not => Ok(truth(!operand(0)?.truthy(false))),
            Helper::Len => {
                let value = arg(0)?;
                let value = self.arg(&call.args[0], &value)?;
                let length = match value.value {
                    Value::Array(list) => list.len(),
                    Value::Object(fields) => fields.len(),
                    Value::String(text) => text.chars().count(),
                    _ => return Err(value.refuse("a list, an object or a text, which have a length")),
                };
                Ok(Val::Own(length.into()))
            }
            Helper::Lookup => {
                let (collection, key) = (arg(0)?, arg(1)?);
                let found = match (collection, key.get()) {
                    (Val::Ref(collection), Some(key)) => pick(collection, key, self.budget)?.map(Val::Ref),
                    (Val::Own(collection), Some(key)) => {
                        pick(&collection, key, self.budget)?.cloned().map(Val::Own)
                    }
                    _ => None,
                };
                Ok(found.unwrap_or(Val::Missing(expr, scope)))
            }
            Helper::Date => {
                let at = arg(0)?;
                let at = self.arg(&call.args[0], &at)?;
                let written = call.args.get(1);
                let style = written.map(|style| self.eval(style, scope)).transpose()?;
                let style = match (written, &style) {
                    (Some(written), Some(style)) => Some(self.arg(written, style)?),
                    _ => None,
                };
                text(helpers::date(&at, style.as_ref(), self.timezone, language)?)
            }
            Helper::Number => {
                let value = arg(0)?;
                text(helpers::number(&self.arg(&call.args[0], &value)?, language)?)
            }
            Helper::Money => {
                let (amount, currency) = (arg(0)?, arg(1)?);
                let amount = self.arg(&call.args[0], &amount)?;
                let currency = self.arg(&call.args[1], &currency)?;
                text(helpers::money(&amount, &currency, language)?)
            }
            Helper::Url => {
                let link = arg(0)?;
                helpers::check_link(&self.arg(&call.args[0], &link)?)?;
                Ok(link)
            }
            Helper::Encode => {
                let piece = arg(0)?;
                let piece = self.arg(&call.args[0], &piece)?;
                let piece = helpers::plain(&piece, self.budget)?;
                text(helpers::percent_encode(&piece))
            }
            Helper::T => self.translate(call, scope).and_then(text),
        }
    }

    fn translate<'s>(&'s self, call: &'s Call, scope: &'s Scope<'s>) -> Result<String, Fault> {
        let key = self.eval(&call.args[0], scope)?;
        let key = self.arg(&call.args[0], &key)?;
        let mut given = Vec::with_capacity(call.named.len());
        for (name, expr) in &call.named {
            given.push((name.as_str(), expr, self.eval(expr, scope)?));
        }
        let mut args = Vec::with_capacity(given.len());
        for (name, expr, value) in &given {
            let arg = self.arg(expr, value)?;
            arg.check_writable(self.budget)?;
            args.push((*name, arg.value));
        }
        helpers::translate(&key, &args, &self.pack.messages, self.timezone, self.budget)
    }

    /// A required parameter; its steps are paid here.
    pub(super) fn arg<'a>(&'a self, written: &'a Expr, value: &'a Val<'_>) -> Result<Arg<'a>, Fault> {
        let value = match value {
            Val::Ref(value) => value,
            Val::Own(value) => value,
            Val::Missing(expr, scope) => return Err(lack(expr, scope)),
        };
        if let Value::String(text) = value {
            self.budget.pay_bytes(text.len())?;
        }
        Ok(Arg {
            written,
            value,
            root: Some(self.root),
        })
    }
}

/// What a variable's path leads to.
pub(super) enum Found<'s> {
    Value(&'s Value),
    Made(Value),
    /// A name that stands for a variable which is missing itself.
    Missing(&'s Expr, &'s Scope<'s>),
}

/// Looks up a path in the scope `level` levels up.
pub(super) fn find<'s>(level: usize, names: &[String], scope: &'s Scope<'s>) -> Option<Found<'s>> {
    if let Some((first, rest)) = names.split_first()
        && let Some(given) = given(level, first, scope)
    {
        return match given {
            Val::Ref(value) => dig(value, rest).map(Found::Value),
            Val::Own(value) => dig(value, rest).map(Found::Value),
            Val::Missing(expr, scope) => Some(Found::Missing(expr, scope)),
        };
    }
    dig(ancestor(scope, level)?.this, names).map(Found::Value)
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
fn round(level: usize, names: &[String], scope: &Scope<'_>) -> Option<Value> {
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

fn dig<'v>(value: &'v Value, names: &[String]) -> Option<&'v Value> {
    names.iter().try_fold(value, |value, name| match value {
        Value::Object(fields) => fields.get(name),
        Value::Array(list) => list.get(name.parse::<usize>().ok()?),
        _ => None,
    })
}

fn pick<'v>(collection: &'v Value, key: &Value, budget: &Budget) -> Result<Option<&'v Value>, Fault> {
    Ok(match (collection, key) {
        (Value::Array(list), key) => key
            .as_u64()
            .and_then(|index| usize::try_from(index).ok())
            .and_then(|index| list.get(index)),
        (Value::Object(fields), Value::String(key)) => {
            budget.pay_bytes(key.len())?;
            fields.get(key)
        }
        _ => None,
    })
}

fn truth<'s>(flag: bool) -> Val<'s> {
    Val::Own(Value::Bool(flag))
}
