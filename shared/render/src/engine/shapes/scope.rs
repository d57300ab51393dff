//! Scopes of a template that is checked, not run: each variable stands for its schema.

use carillon_domain::field_error::echo;
use serde_json::Value;

use super::Shapes;
use crate::engine::{
    lack::of_the_loop,
    program::{Expr, From, Helper, Path},
    schemas::{Never, Seen},
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

/// The loop that a scope is a round of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    /// Whether it may go over an object, so that `@key` is set.
    pub(super) may_have_key: bool,
}

impl<'e> Shapes<'e> {
    /// What is known of the value of an expression.
    pub(super) fn see<'s>(&self, expr: &Expr, scope: &Scope<'s>) -> Seen<'s>
    where
        'e: 's,
    {
        match expr {
            Expr::Path(path) => self.look_up(path, scope),
            Expr::Call(call) if call.helper == Helper::Lookup => match &call.args[..] {
                [holder, Expr::Literal(key)] => match (self.see(holder, scope), key.as_str()) {
                    (Seen::Fits(schema), Some(key)) => {
                        self.schema
                            .dig(Seen::Fits(schema), &echo(holder), &[key.to_owned()])
                    }
                    _ => Seen::Unknown,
                },
                _ => Seen::Unknown,
            },
            _ => Seen::Unknown,
        }
    }

    /// Looks up a variable's schema, in the order in which a running template looks up its value.
    pub(super) fn look_up<'s>(&self, path: &Path, scope: &Scope<'s>) -> Seen<'s>
    where
        'e: 's,
    {
        let level = match path.from {
            From::Round(level) => return round(level, &path.names, scope),
            From::Root => return self.schema.of_root(&path.names),
            From::Scope(level) => level,
        };
        let fits = |schema: Option<&'s Value>| schema.map_or(Seen::Unknown, Seen::Fits);
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
            return Seen::Never(Never {
                why: "it reaches further out than the event's data; write fewer ../".to_owned(),
                is_own: true,
            });
        };
        match holder.this {
            // Only the whole data has Carillon's own variables.
            Some(this) if std::ptr::eq(this, self.schema.root) => self.schema.of_root(&path.names),
            this => self.schema.dig(fits(this), &holder.label, &path.names),
        }
    }
}

/// What is known of `@index`, `@key`, `@first` and `@last`.
fn round<'s>(level: usize, names: &[String], scope: &Scope<'_>) -> Seen<'s> {
    let never = || {
        Seen::Never(Never {
            why: of_the_loop(names).replacen("which is", "it is", 1),
            is_own: true,
        })
    };
    let around = ancestors(scope).skip(level).find_map(|scope| scope.round);
    match (names, around) {
        ([name], Some(around)) => match name.as_str() {
            "index" | "first" | "last" => Seen::Unknown,
            "key" if around.may_have_key => Seen::Unknown,
            _ => never(),
        },
        _ => never(),
    }
}

pub(super) fn ancestors<'a, 's>(scope: &'a Scope<'s>) -> impl Iterator<Item = &'a Scope<'s>> {
    std::iter::successors(Some(scope), |scope| scope.up)
}
