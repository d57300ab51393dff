//! Finds parts that no data makes usable: they show nothing, or their own text is too long.

use std::collections::BTreeMap;

use carillon_domain::json::Value;

use super::{
    compile::{Compiled, CompiledParts, Part},
    exec::Machine,
    html::Sight,
    pack::Pack,
    program::{Block, Element, Expr},
    run,
    scope::{Scope, Val},
};
use crate::{
    budget::{Budget, Exceeded, STEPS},
    invisible::is_blank,
};

/// The most places that are followed through a part of HTML.
const MAX_SIGHTS: usize = 16;

/// A part that can never be sent in a locale.
#[derive(Debug)]
pub(super) struct UnusablePart {
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
) -> Option<UnusablePart> {
    let [html_partials, texts] = partials;
    let budget = Budget::new(STEPS);
    let look = |partials| Look {
        machine: Machine {
            pack,
            partials,
            root: none,
            timezone: None,
            budget: &budget,
        },
    };
    let (text, html) = (look(texts), look(html_partials));
    let is_blank = |part: &Part| matches!(text.shows(&part.block, None), Ok(false));
    let html_is_blank = |part: &Part| matches!(html.is_seen(&part.block), Ok(false));
    let blank = match &template.parts {
        CompiledParts::Email { subject, .. } if is_blank(subject) => Some((subject, "it is")),
        CompiledParts::Email { text, html: None, .. } | CompiledParts::Sms { text } if is_blank(text) => {
            Some((text, "it is"))
        }
        CompiledParts::Email {
            text,
            html: Some(html),
            ..
        } if html_is_blank(html) => Some(if is_blank(text) {
            (text, "text and html are")
        } else {
            (html, "it is")
        }),
        CompiledParts::Push { title, body, .. } if is_blank(title) && is_blank(body) => {
            Some((body, "title and body are"))
        }
        _ => None,
    };
    if let Some((part, what)) = blank {
        let in_one = if what == "it is" { "" } else { " in one of them" };
        return Some(UnusablePart {
            part: part.name.clone(),
            code: "blank",
            fault: format!("{what} always blank"),
            expected: match part.name.as_str() {
                "html" => "at least one visible character, or an image".to_owned(),
                _ => format!("at least one visible character{in_one}"),
            },
        });
    }
    let least = |part: &Part| text.least(&part.block, None).ok();
    let (part, limit, actual, unit) = run::excess(template, pack, partials, none, least)?;
    let is_constant = |part: &Part| text.is_constant(&part.block).unwrap_or(false);
    let (part, has) = if part == "payload" {
        let all = template.parts.all().into_iter().all(is_constant);
        (
            "body".to_owned(),
            if all {
                "title, body and data always have"
            } else {
                "title, body and data have at least"
            },
        )
    } else {
        let all = template
            .parts
            .all()
            .into_iter()
            .filter(|it| it.name == part)
            .all(is_constant);
        (part, if all { "it always has" } else { "it has at least" })
    };
    Some(UnusablePart {
        part,
        code: "too-long",
        fault: format!("{has} {actual} {unit}"),
        expected: format!("at most {limit}"),
    })
}

/// The block that a partial is given, and the block that was given at the place where that one stands.
#[derive(Clone, Copy)]
struct Given<'b> {
    block: &'b Block,
    outer: Option<&'b Given<'b>>,
}

struct Look<'e> {
    machine: Machine<'e>,
}

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
            self.machine.budget.pay(1)?;
            let shows = match &step.element {
                Element::Text(text) => !is_blank(text),
                Element::Print(expr) => self.prints(expr),
                Element::Choose {
                    branches: [yes, no], ..
                } => any(&[yes, no])?,
                Element::Each { body, otherwise, .. } | Element::With { body, otherwise, .. } => {
                    self.shows(body, given)? || any(&[otherwise])?
                }
                Element::Partial { name, block, .. } => match self.machine.partials.get(name) {
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

    /// Whether HTML shows anything with some data.
    fn is_seen(&self, block: &Block) -> Result<bool, Exceeded> {
        let ends = self.sights(block, None, vec![Sight::new()])?;
        Ok(ends.is_none_or(|sights| sights.into_iter().any(|mut sight| sight.ends())))
    }

    /// The places behind a block of HTML on each path through it; `None` if one of these shows anything.
    fn sights(
        &self,
        block: &Block,
        given: Option<&Given<'_>>,
        mut sights: Vec<Sight>,
    ) -> Result<Option<Vec<Sight>>, Exceeded> {
        let optional = |block: &Option<Block>, sights| match block {
            Some(block) => self.sights(block, given, sights),
            None => Ok(Some(sights)),
        };
        for step in &block.0 {
            self.machine.budget.pay(1)?;
            let after = match &step.element {
                Element::Text(text) => {
                    self.machine.budget.pay_bytes(text.len() * sights.len())?;
                    (!sights.iter_mut().any(|sight| sight.read(text))).then_some(sights)
                }
                Element::Print(expr) => {
                    let prints = self.prints(expr);
                    let mut is_seen = false;
                    for sight in &mut sights {
                        is_seen |= sight.print() && prints;
                    }
                    (!is_seen).then_some(sights)
                }
                Element::Choose {
                    branches: [yes, no], ..
                } => either(optional(yes, sights.clone())?, optional(no, sights)?),
                Element::Each { body, otherwise, .. } => {
                    let mut rounds = sights.clone();
                    loop {
                        let known = rounds.len();
                        let round = self.sights(body, given, rounds.clone())?;
                        match either(Some(rounds), round) {
                            Some(after) if after.len() > known => rounds = after,
                            after => break either(after, optional(otherwise, sights)?),
                        }
                    }
                }
                Element::With { body, otherwise, .. } => {
                    let within = self.sights(body, given, sights.clone())?;
                    match otherwise {
                        Some(_) => either(within, optional(otherwise, sights)?),
                        None => within,
                    }
                }
                Element::Partial { name, block, .. } => match self.machine.partials.get(name) {
                    Some(partial) => {
                        let inner = block.as_ref().map(|block| Given { block, outer: given });
                        self.sights(partial, inner.as_ref(), sights)?
                    }
                    None => None,
                },
                Element::PartialBlock(fallback) => match given {
                    Some(given) => self.sights(given.block, given.outer, sights)?,
                    None => optional(fallback, sights)?,
                },
            };
            match after {
                Some(after) => sights = after,
                None => return Ok(None),
            }
        }
        Ok(Some(sights))
    }

    /// Whether an expression shows anything with some data. One that fails is reported elsewhere.
    fn prints(&self, expr: &Expr) -> bool {
        if !is_literal(expr) {
            return true;
        }
        let scope = Scope::of_data(self.machine.root);
        let value = self.machine.eval(expr, &scope);
        match value.as_ref().map(Val::get) {
            Ok(Some(Value::String(text))) => !is_blank(text),
            Ok(Some(Value::Null)) => false,
            _ => true,
        }
    }

    /// The shortest text that a block writes with some data; variables may be empty.
    fn least(&self, block: &Block, given: Option<&Given<'_>>) -> Result<String, Exceeded> {
        let mut least = String::new();
        let of = |block: &Option<Block>| match block {
            Some(block) => self.least(block, given),
            None => Ok(String::new()),
        };
        let shorter = |one: String, other: String| if other.len() < one.len() { other } else { one };
        for step in &block.0 {
            self.machine.budget.pay(1)?;
            let text = match &step.element {
                Element::Text(text) => text.clone(),
                Element::Print(expr) => self.literal(expr).unwrap_or_default(),
                Element::Choose {
                    branches: [yes, no], ..
                } => shorter(of(yes)?, of(no)?),
                Element::Each { otherwise: None, .. } => String::new(),
                Element::With {
                    body,
                    otherwise: None,
                    ..
                } => self.least(body, given)?,
                Element::Each { body, otherwise, .. } | Element::With { body, otherwise, .. } => {
                    shorter(self.least(body, given)?, of(otherwise)?)
                }
                Element::Partial { name, block, .. } => match self.machine.partials.get(name) {
                    Some(partial) => {
                        let inner = block.as_ref().map(|block| Given { block, outer: given });
                        self.least(partial, inner.as_ref())?
                    }
                    None => String::new(),
                },
                Element::PartialBlock(fallback) => match given {
                    Some(given) => self.least(given.block, given.outer)?,
                    None => of(fallback)?,
                },
            };
            self.machine.budget.pay_bytes(text.len())?;
            least.push_str(&text);
        }
        Ok(least)
    }

    /// The text of an expression that has the same one with any data.
    fn literal(&self, expr: &Expr) -> Option<String> {
        if !is_literal(expr) {
            return None;
        }
        let scope = Scope::of_data(self.machine.root);
        match self.machine.eval(expr, &scope).ok()?.get()? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Whether a block writes the same with any data.
    fn is_constant(&self, block: &Block) -> Result<bool, Exceeded> {
        for step in &block.0 {
            self.machine.budget.pay(1)?;
            let is_constant = match &step.element {
                Element::Text(_) => true,
                Element::Print(expr) => is_literal(expr),
                Element::Partial {
                    name,
                    value: None,
                    variables,
                    block: None,
                } if variables.is_empty() => match self.machine.partials.get(name) {
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

/// The places after one of two branches; `None` if one of them shows anything, or if there are too many to tell.
fn either(one: Option<Vec<Sight>>, other: Option<Vec<Sight>>) -> Option<Vec<Sight>> {
    let mut all = one?;
    for sight in other? {
        if !all.contains(&sight) {
            all.push(sight);
        }
    }
    (all.len() <= MAX_SIGHTS).then_some(all)
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
