//! Finds parts that no data makes usable: they show nothing, or their own text is too long.

use std::{cell::Cell, collections::BTreeMap};

use carillon_domain::json::Value;

use super::{
    compile::{Compiled, CompiledParts, Part},
    exec::Machine,
    pack::Pack,
    program::{Block, Element, Expr},
    run,
    scope::{Scope, Val},
};
use crate::{
    budget::{Budget, Exceeded, STEPS},
    invisible::is_blank,
};

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
        html: None,
    };
    let text = look(texts);
    let is_blank = |part: &Part| matches!(text.shows(&part.block, None), Ok(false));
    let html_is_blank = |part: &Part| {
        let html = Look {
            html: Some(Cell::new(false)),
            ..look(html_partials)
        };
        matches!(html.shows(&part.block, None), Ok(false))
    };
    let blank = match &template.parts {
        CompiledParts::Email { subject, .. } if is_blank(subject) => Some((subject, "it is")),
        CompiledParts::Email { text, html: None, .. } | CompiledParts::Sms { text } if is_blank(text) => {
            Some((text, "it is"))
        }
        CompiledParts::Email {
            text,
            html: Some(html),
            ..
        } if is_blank(text) && html_is_blank(html) => Some((text, "text and html are")),
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
            expected: format!("at least one visible character{in_one}"),
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
    /// In HTML, whether the text so far ends inside a tag.
    html: Option<Cell<bool>>,
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
                Element::Text(text) => match &self.html {
                    Some(is_in_tag) => html_shows(text, is_in_tag),
                    None => !is_blank(text),
                },
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

/// Elements that show something without a text.
const SHOWING: [&str; 8] = [
    "<img", "<svg", "<picture", "<video", "<input", "<button", "<hr", "<object",
];

/// Whether HTML shows anything: a visible character outside of tags, or an element such as an image.
fn html_shows(text: &str, is_in_tag: &Cell<bool>) -> bool {
    let lower = text.to_ascii_lowercase();
    if lower.contains("background") || SHOWING.iter().any(|element| lower.contains(element)) {
        return true;
    }
    let mut rest = text;
    while !rest.is_empty() {
        if is_in_tag.get() {
            let Some(end) = rest.find('>') else {
                return false;
            };
            rest = &rest[end + 1..];
            is_in_tag.set(false);
            continue;
        }
        let opens = |at: &usize| {
            let after = rest[at + 1..].chars().next();
            after.is_none_or(|c| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'))
        };
        let tag = rest.match_indices('<').map(|(at, _)| at).find(opens);
        let (shown, after) = rest.split_at(tag.unwrap_or(rest.len()));
        if !is_blank(shown) {
            return true;
        }
        is_in_tag.set(tag.is_some());
        rest = after;
    }
    false
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
