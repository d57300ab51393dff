//! Runs a [`Block`].

use std::collections::BTreeMap;

use carillon_domain::{field_error::echo, json::Value};

use super::{
    lack::lack,
    output::Output,
    pack::Pack,
    program::{Block, Element, ElementLine, Expr},
    scope::{Kind, Round, Scope, Val},
};
use crate::{
    budget::Budget,
    fault::{Fault, Stop},
    helpers::{Arg, LocalReader},
    origin::pointer_to,
};

/// The context in which a part runs.
pub(super) struct Machine<'e> {
    pub(super) pack: &'e Pack,
    pub(super) partials: &'e BTreeMap<String, Block>,
    /// The whole data.
    pub(super) root: &'e Value,
    pub(super) reader: LocalReader<'e>,
    pub(super) budget: &'e Budget,
}

/// The partial that contains an element (`None` is the part itself), and the block that this partial was
/// given.
#[derive(Clone, Copy)]
struct ElementSite<'s> {
    partial: Option<&'s str>,
    given: Option<&'s Given<'s>>,
}

/// The block that a partial is given: its place in the template, and its scope. It runs at each
/// `@partial-block` of the partial.
struct Given<'s> {
    block: &'s Block,
    scope: &'s Scope<'s>,
    place: ElementSite<'s>,
}

impl Machine<'_> {
    /// Runs a part over the whole data.
    pub(super) fn run(&self, block: &Block, out: &mut Output<'_>) -> Result<(), Box<Stop>> {
        let scope = Scope::of_data(self.root);
        let place = ElementSite {
            partial: None,
            given: None,
        };
        self.block(block, &scope, place, out)
    }

    fn block<'s>(
        &'s self,
        block: &'s Block,
        scope: &'s Scope<'s>,
        place: ElementSite<'s>,
        out: &mut Output<'_>,
    ) -> Result<(), Box<Stop>> {
        self.budget.enter()?;
        for step in &block.0 {
            self.step(step, scope, place, out).map_err(|mut stop| {
                if stop.line.is_none() {
                    stop.line = step.line;
                    stop.partial = place.partial.map(ToOwned::to_owned);
                }
                stop
            })?;
        }
        self.budget.leave();
        Ok(())
    }

    fn step<'s>(
        &'s self,
        step: &'s ElementLine,
        scope: &'s Scope<'s>,
        place: ElementSite<'s>,
        out: &mut Output<'_>,
    ) -> Result<(), Box<Stop>> {
        self.budget.pay(1)?;
        match &step.element {
            Element::Text(text) => Ok(out.literal(text)?),
            Element::Print(expr) => Ok(self.print(expr, scope, out)?),
            Element::Choose {
                test,
                include_zero,
                branches: [yes, no],
            } => {
                let include_zero = match include_zero {
                    Some(expr) => self.is_true(&self.eval(expr, scope)?, false)?,
                    None => false,
                };
                let chosen = if self.is_true(&self.operand(test, scope)?, include_zero)? {
                    yes
                } else {
                    no
                };
                chosen
                    .as_ref()
                    .map_or(Ok(()), |chosen| self.block(chosen, scope, place, out))
            }
            Element::Each {
                list,
                names,
                body,
                otherwise,
            } => {
                let value = self.eval(list, scope)?;
                let count = match value.get() {
                    Some(Value::Array(list)) => Some(list.len()),
                    Some(Value::Object(fields)) => Some(fields.len()),
                    _ => None,
                };
                match (count, otherwise) {
                    (None | Some(0), Some(otherwise)) => self.block(otherwise, scope, place, out),
                    (None, None) => Err(self.no_list(&value, list).into()),
                    (Some(count), _) => self.each((list, &value, count), (names, body), scope, place, out),
                }
            }
            Element::With {
                value: expr,
                names,
                body,
                otherwise,
            } => {
                let value = self.eval(expr, scope)?;
                let is_full = self.is_true(&value, false)?;
                match (value.get().filter(|_| is_full), otherwise) {
                    (Some(this), _) => {
                        let names: Vec<_> =
                            names.iter().map(|name| (name.as_str(), Val::Ref(this))).collect();
                        self.block(body, &inner(scope, this, &names, Kind::Value(expr)), place, out)
                    }
                    (None, Some(otherwise)) => self.block(otherwise, scope, place, out),
                    (None, None) => match value {
                        Val::Missing(expr, scope) => Err(lack(expr, scope).into()),
                        // As in handlebars, there is nothing to write of an empty value.
                        Val::Ref(_) | Val::Own(_) => Ok(()),
                    },
                }
            }
            Element::Partial {
                name,
                value,
                variables,
                block,
            } => {
                let (value, kind) = match value {
                    Some(expr) => (self.eval(expr, scope)?, Kind::Value(expr)),
                    None => (Val::Ref(scope.this), Kind::Same),
                };
                let this = match &value {
                    Val::Ref(value) => value,
                    Val::Own(value) => value,
                    Val::Missing(expr, scope) => return Err(lack(expr, scope).into()),
                };
                let mut names = Vec::with_capacity(variables.len());
                for (name, expr) in variables {
                    names.push((name.as_str(), self.eval(expr, scope)?));
                }
                let inside = Scope {
                    merged: true,
                    ..inner(scope, this, &names, kind)
                };
                self.partial(name, block.as_ref(), &inside, place, out)
            }
            Element::PartialBlock(fallback) => match (place.given, fallback) {
                (Some(given), _) => self.block(given.block, given.scope, given.place, out),
                (None, Some(fallback)) => self.block(fallback, scope, place, out),
                (None, None) => {
                    let sentence = "expected the partial to be included with a block: {{#> …}}";
                    Err(Fault::Misused(sentence.to_owned()).into())
                }
            },
        }
    }

    fn print<'s>(&'s self, expr: &'s Expr, scope: &'s Scope<'s>, out: &mut Output<'_>) -> Result<(), Fault> {
        let value = self.eval(expr, scope)?;
        let value = match &value {
            Val::Ref(value) => value,
            Val::Own(value) => value,
            Val::Missing(expr, scope) => return Err(lack(expr, scope)),
        };
        let arg = Arg {
            written: expr,
            value,
            root: Some(self.root),
        };
        arg.check_writable(self.budget)?;
        out.value(value)
    }

    fn each<'s>(
        &'s self,
        (list, value, count): (&'s Expr, &'s Val<'s>, usize),
        (names, body): (&'s [String], &'s Block),
        scope: &'s Scope<'s>,
        place: ElementSite<'s>,
        out: &mut Output<'_>,
    ) -> Result<(), Box<Stop>> {
        let mut round = |index: usize, key: Option<&str>, item: &Value| {
            // A round costs a step even if its body is empty, and more if its key is long.
            self.budget.pay(1)?;
            self.budget.pay_bytes(key.map_or(0, str::len))?;
            let second = key.map_or_else(|| Value::from(index), Value::from);
            let names: Vec<_> = names
                .iter()
                .map(String::as_str)
                .zip([Val::Ref(item), Val::Own(second)])
                .collect();
            let inside = Scope {
                round: Some(Round { index, count, key }),
                ..inner(scope, item, &names, Kind::Item(list))
            };
            self.block(body, &inside, place, out)
        };
        match value.get() {
            Some(Value::Array(list)) => list
                .iter()
                .enumerate()
                .try_for_each(|(index, item)| round(index, None, item)),
            Some(Value::Object(fields)) => fields
                .iter()
                .enumerate()
                .try_for_each(|(index, (key, item))| round(index, Some(key), item)),
            _ => Ok(()),
        }
    }

    fn partial<'s>(
        &'s self,
        name: &'s str,
        block: Option<&'s Block>,
        scope: &'s Scope<'s>,
        place: ElementSite<'s>,
        out: &mut Output<'_>,
    ) -> Result<(), Box<Stop>> {
        let Some(partial) = self.partials.get(name) else {
            return Err(Fault::Misused(format!("there is no partial {name}")).into());
        };
        let given = block.map(|block| Given { block, scope, place });
        let inside = ElementSite {
            partial: Some(name),
            given: given.as_ref(),
        };
        self.block(partial, scope, inside, out)
    }

    /// The fault of a loop over a value that is not a list.
    fn no_list(&self, value: &Val<'_>, expr: &Expr) -> Fault {
        match value.get() {
            None | Some(Value::Null) => self.empty(value, expr),
            Some(list) => Fault::BadValue {
                variable: echo(expr),
                expected: "a list or an object",
                at: pointer_to(list, self.root),
            },
        }
    }

    /// The fault of a block that needs a value. If a partial passes a missing value on, the fault has the value's name
    /// at the call of the partial.
    fn empty(&self, value: &Val<'_>, expr: &Expr) -> Fault {
        match value {
            Val::Missing(expr, scope) => lack(expr, scope),
            Val::Ref(value) => Fault::Missing {
                variable: echo(expr),
                why: "which is empty".to_owned(),
                at: pointer_to(value, self.root),
            },
            Val::Own(_) => Fault::Missing {
                variable: echo(expr),
                why: "which is empty".to_owned(),
                at: None,
            },
        }
    }
}

fn inner<'s>(
    up: &'s Scope<'s>,
    this: &'s Value,
    names: &'s [(&'s str, Val<'s>)],
    kind: Kind<'s>,
) -> Scope<'s> {
    Scope {
        up: Some(up),
        this,
        names,
        merged: false,
        round: None,
        kind,
    }
}
