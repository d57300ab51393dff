//! Scopes of a template that is checked, not run: each variable stands for its schema.

use carillon_domain::field_error::echo;
use carillon_domain::json::Value as Json;
use serde_json::Value;

use super::Shapes;
use crate::engine::{
    lack::of_the_loop,
    program::{Call, Expr, From, Helper, Path},
    schemas::{Inferred, Never},
};

/// A scope of schemas, the twin of the scope of values. `None` stands for a value without a schema.
pub(super) struct Scope<'s> {
    pub(super) up: Option<&'s Scope<'s>>,
    pub(super) this: Option<&'s Value>,
    /// The value's name, for sentences.
    pub(super) label: String,
    pub(super) names: Vec<(&'s str, Option<&'s Value>)>,
    pub(super) merged: bool,
    pub(super) round: Option<Round>,
}

/// A round of a loop, to which a scope belongs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    /// Whether the loop may go over an object, which sets `@key`.
    pub(super) may_have_key: bool,
}

impl<'e> Shapes<'e> {
    /// The value of an expression, as far as it is known.
    pub(super) fn see<'s>(&self, expr: &Expr, scope: &Scope<'s>) -> Inferred<'s>
    where
        'e: 's,
    {
        match expr {
            Expr::Path(path) => self.look_up(path, scope),
            Expr::Call(call) => match call.helper {
                Helper::Lookup => self.looked_up(call, scope),
                Helper::Len => Inferred::made("integer"),
                Helper::Date => Inferred::made("date"),
                Helper::Number => Inferred::made("number"),
                Helper::Money => Inferred::made("money"),
                Helper::Encode => Inferred::made("encoded"),
                Helper::Url => Inferred::made("link"),
                Helper::T => Inferred::made("text"),
                _ => Inferred::made("boolean"),
            },
            Expr::Literal(value) => match value {
                Json::String(_) => Inferred::made("text"),
                Json::Number(number) if number.to_string().bytes().all(|byte| byte.is_ascii_digit()) => {
                    Inferred::made("integer")
                }
                Json::Number(_) => Inferred::made("decimal"),
                Json::Bool(_) => Inferred::made("boolean"),
                _ => Inferred::Unknown,
            },
        }
    }

    /// The value that `lookup` finds.
    fn looked_up<'s>(&self, call: &Call, scope: &Scope<'s>) -> Inferred<'s>
    where
        'e: 's,
    {
        let [holder, key] = &call.args[..] else {
            return Inferred::Unknown;
        };
        let schema = match (holder, self.see(holder, scope)) {
            // Literals are executed; see `literals`.
            (Expr::Literal(_), _) => return Inferred::Unknown,
            (_, Inferred::Fits(schema)) => schema,
            (_, seen) => return seen,
        };
        let literal = match key {
            Expr::Literal(key) => Some(key),
            _ => None,
        };
        let may_be = match literal {
            Some(key) => (key.as_str().is_some(), key.as_u64().is_some()),
            None => match self
                .see(key, scope)
                .schema()
                .and_then(|key| self.schema.kinds(key))
            {
                Some(kinds) => (
                    kinds.contains(&"string"),
                    kinds.contains(&"integer") || kinds.contains(&"number"),
                ),
                None => (true, true),
            },
        };
        if std::ptr::eq(schema, self.schema.root)
            && let Some(name) = literal.and_then(Json::as_str)
        {
            return self.schema.of_root(&[name.to_owned()]);
        }
        self.schema.looked_up(schema, &echo(holder), literal, may_be)
    }

    /// Looks up a variable's schema, in the order in which a running template looks up its value.
    pub(super) fn look_up<'s>(&self, path: &Path, scope: &Scope<'s>) -> Inferred<'s>
    where
        'e: 's,
    {
        let level = match path.from {
            From::Round(level) => return round(level, &path.names, scope),
            From::Root => return self.schema.of_root(&path.names),
            From::Scope(level) => level,
        };
        let fits = |schema: Option<&'s Value>| schema.map_or(Inferred::Unknown, Inferred::Fits);
        if let Some((first, rest)) = path.names.split_first() {
            let named = |scope: &Scope<'s>| {
                let found = scope.names.iter().find(|(name, _)| name == first);
                found.map(|(_, schema)| *schema)
            };
            let found = if level == 0 {
                ancestors(scope).find_map(named)
            } else {
                ancestors(scope)
                    .nth(level)
                    .filter(|scope| scope.merged)
                    .and_then(named)
            };
            if let Some(schema) = found {
                return self.schema.dig(fits(schema), first, rest);
            }
        }
        let Some(holder) = ancestors(scope).nth(level) else {
            return Inferred::Never(Never {
                why: "it reaches further out than the event's data; write fewer ../".to_owned(),
                is_own: true,
                may_be_asked: false,
            });
        };
        match holder.this {
            // Only the whole data has Carillon's own variables.
            Some(this) if std::ptr::eq(this, self.schema.root) => self.schema.of_root(&path.names),
            this => self.schema.dig(fits(this), &holder.label, &path.names),
        }
    }
}

/// The value of `@index`, `@key`, `@first` or `@last`, as far as it is known.
fn round<'s>(level: usize, names: &[String], scope: &Scope<'_>) -> Inferred<'s> {
    let around = ancestors(scope).skip(level).find_map(|scope| scope.round);
    let never = || {
        let is_in_loop = around.is_some() || ancestors(scope).any(|scope| scope.round.is_some());
        Inferred::Never(Never {
            why: of_the_loop(level, names, is_in_loop).replacen("which ", "it ", 1),
            is_own: true,
            may_be_asked: false,
        })
    };
    match (names, around) {
        ([name], Some(around)) => match name.as_str() {
            "index" => Inferred::made("integer"),
            "first" | "last" => Inferred::made("boolean"),
            "key" if around.may_have_key => Inferred::made("text"),
            _ => never(),
        },
        _ => never(),
    }
}

pub(super) fn ancestors<'a, 's>(scope: &'a Scope<'s>) -> impl Iterator<Item = &'a Scope<'s>> {
    std::iter::successors(Some(scope), |scope| scope.up)
}
