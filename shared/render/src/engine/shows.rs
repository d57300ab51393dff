//! Finds parts that no data makes usable: they show nothing, or they are constant and too long.

use std::collections::BTreeMap;

use carillon_domain::json::Value;

use super::{
    compile::{Compiled, CompiledParts, Part},
    eval::{Kind, Scope, Val},
    exec::Machine,
    pack::Pack,
    program::{Block, Element, Expr},
    run,
};
use crate::{
    budget::{Budget, Exceeded, STEPS},
    invisible::is_blank,
};

/// A part that can never be sent in a locale.
#[derive(Debug)]
pub(super) struct Unusable {
    pub(super) part: String,
    /// A stable code.
    pub(super) code: &'static str,
    /// What is wrong with the part.
    pub(super) fault: String,
    pub(super) expected: String,
}

pub(super) fn always_unusable(
    template: &Compiled,
    pack: &Pack,
    partials: &[BTreeMap<String, Block>; 2],
    none: &Value,
) -> Option<Unusable> {
    let [_, texts] = partials;
    let budget = Budget::new(STEPS);
    let look = Look(Machine {
        pack,
        partials: texts,
        root: none,
        timezone: None,
        budget: &budget,
    });
    let line = match &template.parts {
        CompiledParts::Email { subject, .. } => Some(subject),
        CompiledParts::Sms { text } => Some(text),
        CompiledParts::Push { .. } => None,
    };
    let unusable = |part: &Part, code, fault: String, expected: String| Unusable {
        part: part.name.clone(),
        code,
        fault,
        expected,
    };
    if let Some(part) = line
        && let Ok(false) = look.shows(&part.block, None)
    {
        let expected = "at least one visible character".to_owned();
        return Some(unusable(part, "blank", "it is always blank".to_owned(), expected));
    }
    let collapse = match &template.parts {
        CompiledParts::Push { collapse, .. } => collapse.as_ref(),
        _ => None,
    };
    let bounded = line
        .or(collapse)
        .filter(|part| look.is_constant(&part.block).unwrap_or(false))?;
    let (limit, actual, unit) = run::excess(template, bounded, pack, partials, none)?;
    let fault = format!("it always has {actual} {unit}");
    Some(unusable(bounded, "too-long", fault, format!("at most {limit}")))
}

/// The block that a partial is given, and the block that was given at the place where that one stands.
#[derive(Clone, Copy)]
struct Given<'b> {
    block: &'b Block,
    outer: Option<&'b Given<'b>>,
}

struct Look<'e>(Machine<'e>);

impl Look<'_> {
    /// Whether a block shows anything with some data.
    fn shows(&self, block: &Block, given: Option<&Given<'_>>) -> Result<bool, Exceeded> {
        let any = |blocks: &[&Option<Block>]| {
            for block in blocks.iter().copied().flatten() {
                if self.shows(block, given)? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        for step in &block.0 {
            self.0.budget.pay(1)?;
            let shows = match &step.element {
                Element::Text(text) => !is_blank(text),
                Element::Print(expr) => self.prints(expr),
                Element::Choose {
                    branches: [yes, no], ..
                } => any(&[yes, no])?,
                Element::Each { body, otherwise, .. } | Element::With { body, otherwise, .. } => {
                    self.shows(body, given)? || any(&[otherwise])?
                }
                Element::Partial { name, block, .. } => match self.0.partials.get(name) {
                    Some(partial) => {
                        let inner = block.as_ref().map(|block| Given { block, outer: given });
                        self.shows(partial, inner.as_ref())?
                    }
                    None => true,
                },
                Element::PartialBlock(fallback) => match given {
                    Some(given) => self.shows(given.block, given.outer)?,
                    None => any(&[fallback])?,
                },
            };
            if shows {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether an expression shows anything with some data. One that fails is reported elsewhere.
    fn prints(&self, expr: &Expr) -> bool {
        if !is_literal(expr) {
            return true;
        }
        let scope = Scope {
            up: None,
            this: self.0.root,
            names: &[],
            merged: false,
            round: None,
            kind: Kind::Data,
        };
        let value = self.0.eval(expr, &scope);
        match value.as_ref().map(Val::get) {
            Ok(Some(Value::String(text))) => !is_blank(text),
            Ok(Some(Value::Null)) => false,
            _ => true,
        }
    }

    /// Whether a block writes the same with any data.
    fn is_constant(&self, block: &Block) -> Result<bool, Exceeded> {
        for step in &block.0 {
            self.0.budget.pay(1)?;
            let is_constant = match &step.element {
                Element::Text(_) => true,
                Element::Print(expr) => is_literal(expr),
                Element::Partial {
                    name,
                    value: None,
                    variables,
                    block: None,
                } if variables.is_empty() => match self.0.partials.get(name) {
                    Some(partial) => self.is_constant(partial)?,
                    None => false,
                },
                _ => false,
            };
            if !is_constant {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether an expression has the same value with any data.
fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(_) => true,
        Expr::Path(_) => false,
        Expr::Call(call) => {
            call.args.iter().all(is_literal) && call.named.iter().all(|(_, arg)| is_literal(arg))
        }
    }
}
