//! Evaluates expressions in a scope.

use carillon_domain::json::Value;

use super::{
    compare::{compare, equal},
    exec::Machine,
    lack::lack,
    program::{Call, Expr, From, Helper, Path},
    scope::{Resolved, Scope, Val, dig, find, round},
};
use crate::{
    budget::Budget,
    fault::Fault,
    helpers::{self, Arg},
};

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

    /// Whether a value counts as true. A number's digits are paid for, because they are searched for one that is not 0.
    pub(super) fn is_true(&self, value: &Val<'_>, include_zero: bool) -> Result<bool, Fault> {
        if let Some(number @ Value::Number(_)) = value.get() {
            self.budget.pay_value(number)?;
        }
        Ok(value.truthy(include_zero))
    }

    fn look_up<'s>(&'s self, expr: &'s Expr, path: &'s Path, scope: &'s Scope<'s>) -> Result<Val<'s>, Fault> {
        self.budget.pay_bytes(path.raw.len())?;
        let found = match path.from {
            From::Root => dig(self.root, &path.names).map(Resolved::Value),
            From::Round(level) => round(level, &path.names, scope).map(Resolved::Made),
            From::Scope(level) => find(level, &path.names, scope),
        };
        Ok(match found {
            Some(Resolved::Value(value)) => Val::Ref(value),
            Some(Resolved::Made(value)) => {
                self.budget.pay_value(&value)?;
                Val::Own(value)
            }
            Some(Resolved::Missing(expr, scope)) => Val::Missing(expr, scope),
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
                    if self.is_true(&self.operand(arg, scope)?, false)? != all {
                        return Ok(truth(!all));
                    }
                }
                Ok(truth(all))
            }
            Helper::Not => Ok(truth(!self.is_true(&operand(0)?, false)?)),
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
                text(helpers::date(&at, style.as_ref(), self.reader)?)
            }
            Helper::Number => {
                let value = arg(0)?;
                text(helpers::number(
                    &self.arg(&call.args[0], &value)?,
                    self.reader.conventions,
                )?)
            }
            Helper::Money => {
                let (amount, currency) = (arg(0)?, arg(1)?);
                let amount = self.arg(&call.args[0], &amount)?;
                let currency = self.arg(&call.args[1], &currency)?;
                text(helpers::money(&amount, &currency, self.reader.conventions)?)
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
        helpers::translate(&key, &args, &self.pack.messages, self.reader, self.budget)
    }

    /// A required parameter; its steps are paid here.
    pub(super) fn arg<'a>(&'a self, written: &'a Expr, value: &'a Val<'_>) -> Result<Arg<'a>, Fault> {
        let value = match value {
            Val::Ref(value) => value,
            Val::Own(value) => value,
            Val::Missing(expr, scope) => return Err(lack(expr, scope)),
        };
        self.budget.pay_value(value)?;
        Ok(Arg {
            written,
            value,
            root: Some(self.root),
        })
    }
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
