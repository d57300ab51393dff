//! Running a [`Block`].

use std::collections::BTreeMap;

use carillon_domain::json::Value;

use super::{
    eval::{Round, Scope, Val},
    output::Output,
    pack::Pack,
    program::{Block, Element, Expr, Step},
};
use crate::{
    budget::Budget,
    fault::{Fault, Stop},
};

/// The context in which a part runs.
pub(super) struct Machine<'e> {
    pub(super) pack: &'e Pack,
    pub(super) partials: &'e BTreeMap<String, Block>,
    /// The whole data.
    pub(super) root: &'e Value,
    /// The recipient's timezone (IANA name).
    pub(super) timezone: Option<&'e str>,
    pub(super) budget: &'e Budget,
}

/// The partial that contains an element (`None` is the part itself), and the block that this partial was
/// given.
#[derive(Clone, Copy)]
struct Place<'s> {
    partial: Option<&'s str>,
    given: Option<&'s Given<'s>>,
}

/// The block that a partial is given: its place in the template, and its scope. It runs at each
/// `@partial-block` of the partial.
struct Given<'s> {
    block: &'s Block,
    scope: &'s Scope<'s>,
    place: Place<'s>,
}

impl Machine<'_> {
    /// Runs a part over the whole data.
    pub(super) fn run(&self, block: &Block, out: &mut Output<'_>) -> Result<(), Box<Stop>> {
        let scope = Scope {
            up: None,
            this: self.root,
            names: &[],
            merged: false,
            round: None,
        };
        let place = Place {
            partial: None,
            given: None,
        };
        self.block(block, &scope, place, out)
    }

    fn block<'s>(
        &'s self,
        block: &'s Block,
        scope: &'s Scope<'s>,
        place: Place<'s>,
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
        step: &'s Step,
        scope: &'s Scope<'s>,
        place: Place<'s>,
        out: &mut Output<'_>,
    ) -> Result<(), Box<Stop>> {
        self.budget.pay(1)?;
        match &step.element {
            Element::Text(text) => Ok(out.literal(text)?),
            Element::Print(expr) => match self.eval(expr, scope)? {
                Val::Ref(value) => Ok(out.value(value)?),
                Val::Own(value) => Ok(out.value(&value)?),
                Val::Missing(missing) => Err(Fault::Missing(missing.to_string()).into()),
            },
            Element::Choose {
                test,
                include_zero,
                branches: [yes, no],
            } => {
                let include_zero = match include_zero {
                    Some(expr) => self.eval(expr, scope)?.truthy(false),
                    None => false,
                };
                let chosen = if self.eval(test, scope)?.truthy(include_zero) {
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
                    (None, None) => Err(no_list(&value, list).into()),
                    (Some(count), _) => self.each(&value, count, (names, body), scope, place, out),
                }
            }
            Element::With {
                value: expr,
                names,
                body,
                otherwise,
            } => {
                let value = self.eval(expr, scope)?;
                match (value.get().filter(|_| value.truthy(false)), otherwise) {
                    (Some(this), _) => {
                        let names: Vec<_> =
                            names.iter().map(|name| (name.as_str(), Val::Ref(this))).collect();
                        self.block(body, &inner(scope, this, &names, None), place, out)
                    }
                    (None, Some(otherwise)) => self.block(otherwise, scope, place, out),
                    (None, None) => Err(Fault::Missing(missing(&value, expr)).into()),
                }
            }
            Element::Partial {
                name,
                value,
                variables,
                block,
            } => {
                let value = match value {
                    Some(expr) => self.eval(expr, scope)?,
                    None => Val::Ref(scope.this),
                };
                let this = match &value {
                    Val::Ref(value) => value,
                    Val::Own(value) => value,
                    Val::Missing(missing) => return Err(Fault::Missing(missing.to_string()).into()),
                };
                let mut names = Vec::with_capacity(variables.len());
                for (name, expr) in variables {
                    names.push((name.as_str(), self.eval(expr, scope)?));
                }
                let inside = Scope {
                    merged: true,
                    ..inner(scope, this, &names, None)
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

    fn each<'s>(
        &'s self,
        value: &'s Val<'s>,
        count: usize,
        (names, body): (&'s [String], &'s Block),
        scope: &'s Scope<'s>,
        place: Place<'s>,
        out: &mut Output<'_>,
    ) -> Result<(), Box<Stop>> {
        let mut round = |index: usize, key: Option<&str>, item: &Value| {
            // A round costs a step even if its body is empty.
            self.budget.pay(1)?;
            let second = key.map_or_else(|| Value::from(index), Value::from);
            let names: Vec<_> = names
                .iter()
                .map(String::as_str)
                .zip([Val::Ref(item), Val::Own(second)])
                .collect();
            let round = Round { index, count, key };
            self.block(body, &inner(scope, item, &names, Some(round)), place, out)
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
        place: Place<'s>,
        out: &mut Output<'_>,
    ) -> Result<(), Box<Stop>> {
        let Some(partial) = self.partials.get(name) else {
            return Err(Fault::Misused(format!("there is no partial {name}")).into());
        };
        let given = block.map(|block| Given { block, scope, place });
        let inside = Place {
            partial: Some(name),
            given: given.as_ref(),
        };
        self.block(partial, scope, inside, out)
    }
}

fn inner<'s>(
    up: &'s Scope<'s>,
    this: &'s Value,
    names: &'s [(&'s str, Val<'s>)],
    round: Option<Round<'s>>,
) -> Scope<'s> {
    Scope {
        up: Some(up),
        this,
        names,
        merged: false,
        round,
    }
}

/// The fault of a loop over a value that is not a list.
fn no_list(value: &Val<'_>, expr: &Expr) -> Fault {
    match value.get() {
        None | Some(Value::Null) => Fault::Missing(missing(value, expr)),
        Some(_) => Fault::BadValue {
            variable: expr.to_string(),
            expected: "a list or an object",
        },
    }
}

/// The name of a missing variable. If a partial passes it on, this is the name at the call of the partial.
fn missing(value: &Val<'_>, expr: &Expr) -> String {
    match value {
        Val::Missing(missing) => missing.to_string(),
        _ => expr.to_string(),
    }
}
