//! The visibility of a template: whether it shows anything with some data, and the shortest text that it writes.

use carillon_domain::json::Value;

use super::{
    exec::Machine,
    html::Sight,
    places::{Place, Places, Spot, is_literal, place_of},
    program::{Block, Element, Expr},
    scope::Scope,
};
use crate::{budget::Exceeded, invisible::is_blank};

/// The most places that are followed through a part of HTML.
const MAX_SIGHTS: usize = 16;

/// The block that a partial is given, and its place.
#[derive(Clone, Copy)]
pub(super) struct Given<'b> {
    block: &'b Block,
    spot: &'b Spot<'b>,
    outer: Option<&'b Given<'b>>,
}

/// The conditions under which a block runs.
pub(super) struct When<'b> {
    wish: serde_json::Value,
    outer: Option<&'b When<'b>>,
}

/// A place in a template: the scope of its variables, the conditions around it, and the block that its partial is given.
#[derive(Clone, Copy)]
pub(super) struct Here<'b> {
    pub(super) spot: &'b Spot<'b>,
    pub(super) when: Option<&'b When<'b>>,
    pub(super) given: Option<&'b Given<'b>>,
}

/// One of the branches at a condition, a loop or `with`.
struct Branch<'b> {
    /// The block that runs, if any.
    block: Option<&'b Block>,
    /// The data with which it runs.
    wish: serde_json::Value,
    /// Its scope, if it has one of its own.
    spot: Option<Spot<'b>>,
    /// Whether the block may run many times.
    is_loop: bool,
}

pub(super) struct Look<'e> {
    pub(super) machine: &'e Machine<'e>,
    pub(super) places: Places<'e>,
}

impl Look<'_> {
    /// Whether all conditions around a place and another one may hold with some data.
    fn may_be(&self, here: Here<'_>, wish: &serde_json::Value) -> bool {
        let around = std::iter::successors(here.when, |when| when.outer).map(|when| &when.wish);
        self.places.may_be(&around.chain([wish]).collect::<Vec<_>>())
    }

    /// The branches at a condition, a loop or `with`. A rendering takes exactly one of them.
    fn branches<'b>(&self, element: &'b Element, here: Here<'b>) -> Vec<Branch<'b>> {
        let outside = |block: &'b Option<Block>, wish| Branch {
            block: block.as_ref(),
            wish,
            spot: None,
            is_loop: false,
        };
        let inside = |body: &'b Block, wish, this: Place, names: &'b [String]| Branch {
            block: Some(body),
            wish,
            spot: Some(Spot {
                up: Some(here.spot),
                names: names
                    .iter()
                    .map(String::as_str)
                    .zip([this.clone(), Place::Unknown])
                    .collect(),
                this,
                merged: false,
            }),
            is_loop: matches!(element, Element::Each { .. }),
        };
        match element {
            Element::Choose {
                test,
                include_zero,
                branches: [yes, no],
            } => {
                let when = self.places.condition(test, include_zero.as_ref(), here.spot);
                vec![outside(yes, when.yes), outside(no, when.no)]
            }
            Element::Each {
                list,
                names,
                body,
                otherwise,
            } => {
                let when = self.places.rounds(list, here.spot);
                let item = place_of(list, here.spot).item();
                vec![inside(body, when.yes, item, names), outside(otherwise, when.no)]
            }
            Element::With {
                value,
                names,
                body,
                otherwise,
            } => {
                let when = self.places.condition(value, None, here.spot);
                let this = place_of(value, here.spot);
                vec![inside(body, when.yes, this, names), outside(otherwise, when.no)]
            }
            _ => Vec::new(),
        }
    }

    /// Examines a branch, if a rendering may take it.
    fn within<R>(
        &self,
        branch: Branch<'_>,
        here: Here<'_>,
        look: impl FnOnce(Here<'_>) -> Result<R, Exceeded>,
    ) -> Result<Option<R>, Exceeded> {
        let is_open = branch.wish == serde_json::Value::Bool(true);
        if !is_open && !self.may_be(here, &branch.wish) {
            return Ok(None);
        }
        let when = When {
            wish: branch.wish,
            outer: here.when,
        };
        look(Here {
            spot: branch.spot.as_ref().unwrap_or(here.spot),
            when: if is_open { here.when } else { Some(&when) },
            given: here.given,
        })
        .map(Some)
    }

    /// Examines the content that an element stands for: a partial, or the block that a partial is given. `None` if the
    /// content is not known.
    fn included<R>(
        &self,
        element: &Element,
        here: Here<'_>,
        look: impl FnOnce(&Block, Here<'_>) -> Result<R, Exceeded>,
    ) -> Result<Option<R>, Exceeded> {
        match (element, here.given) {
            (
                Element::Partial {
                    name,
                    value,
                    variables,
                    block,
                },
                _,
            ) => {
                let Some(partial) = self.machine.partials.get(name) else {
                    return Ok(None);
                };
                let place = |expr| place_of(expr, here.spot);
                let spot = Spot {
                    up: Some(here.spot),
                    this: value.as_ref().map_or_else(|| here.spot.this.clone(), place),
                    names: variables
                        .iter()
                        .map(|(name, expr)| (name.as_str(), place(expr)))
                        .collect(),
                    merged: true,
                };
                let given = block.as_ref().map(|block| Given {
                    block,
                    spot: here.spot,
                    outer: here.given,
                });
                let inside = Here {
                    spot: &spot,
                    when: here.when,
                    given: given.as_ref(),
                };
                look(partial, inside).map(Some)
            }
            (Element::PartialBlock(_), Some(given)) => {
                let outside = Here {
                    spot: given.spot,
                    when: here.when,
                    given: given.outer,
                };
                look(given.block, outside).map(Some)
            }
            (Element::PartialBlock(Some(fallback)), None) => look(fallback, here).map(Some),
            _ => Ok(None),
        }
    }

    /// Whether a block shows anything with some data.
    pub(super) fn shows(&self, block: &Block, here: Here<'_>) -> Result<bool, Exceeded> {
        for step in &block.0 {
            self.machine.budget.pay(1)?;
            let shows = match &step.element {
                Element::Text(text) => !is_blank(text),
                Element::Print(expr) => self.prints(expr, here),
                element @ (Element::Partial { .. } | Element::PartialBlock(_)) => {
                    let inside = self.included(element, here, |block, here| self.shows(block, here))?;
                    inside.unwrap_or(matches!(element, Element::Partial { .. }))
                }
                element => {
                    let mut shows = false;
                    for branch in self.branches(element, here) {
                        if let (Some(block), false) = (branch.block, shows) {
                            let inside = self.within(branch, here, |here| self.shows(block, here))?;
                            shows = inside.unwrap_or(false);
                        }
                    }
                    shows
                }
            };
            if shows {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether HTML shows anything with some data.
    pub(super) fn is_seen(&self, block: &Block, here: Here<'_>) -> Result<bool, Exceeded> {
        let ends = self.sights(block, here, vec![Sight::new()])?;
        Ok(ends.is_none_or(|sights| sights.into_iter().any(|mut sight| sight.ends())))
    }

    /// The places behind a block of HTML on each path through it; `None` if one of these shows anything.
    fn sights(
        &self,
        block: &Block,
        here: Here<'_>,
        mut sights: Vec<Sight>,
    ) -> Result<Option<Vec<Sight>>, Exceeded> {
        for step in &block.0 {
            self.machine.budget.pay(1)?;
            let after = match &step.element {
                Element::Text(text) => {
                    self.machine.budget.pay_bytes(text.len() * sights.len())?;
                    (!sights.iter_mut().any(|sight| sight.read(text))).then_some(sights)
                }
                Element::Print(expr) => {
                    let mut is_seen = false;
                    for sight in &mut sights {
                        is_seen |= sight.print();
                    }
                    (!is_seen || !self.prints(expr, here)).then_some(sights)
                }
                element @ (Element::Partial { .. } | Element::PartialBlock(_)) => {
                    let before = sights.clone();
                    let inside =
                        self.included(element, here, |block, here| self.sights(block, here, sights))?;
                    let is_unknown = matches!(element, Element::Partial { .. });
                    inside.unwrap_or_else(|| (!is_unknown).then_some(before))
                }
                element => {
                    let mut after = Some(Vec::new());
                    for branch in self.branches(element, here) {
                        let (block, is_loop) = (branch.block, branch.is_loop);
                        let way = self.within(branch, here, |here| match block {
                            Some(block) if is_loop => self.rounds(block, here, sights.clone()),
                            Some(block) => self.sights(block, here, sights.clone()),
                            None => Ok(Some(sights.clone())),
                        })?;
                        after = either(after, way.unwrap_or_else(|| Some(Vec::new())));
                    }
                    after
                }
            };
            match after {
                Some(after) => sights = after,
                None => return Ok(None),
            }
        }
        Ok(Some(sights))
    }

    /// The places behind any number of rounds of a loop.
    fn rounds(
        &self,
        body: &Block,
        here: Here<'_>,
        mut rounds: Vec<Sight>,
    ) -> Result<Option<Vec<Sight>>, Exceeded> {
        loop {
            let known = rounds.len();
            let round = self.sights(body, here, rounds.clone())?;
            match either(Some(rounds), round) {
                Some(after) if after.len() > known => rounds = after,
                after => return Ok(after),
            }
        }
    }

    /// Whether an expression shows anything with some data.
    fn prints(&self, expr: &Expr, here: Here<'_>) -> bool {
        let wish = self.places.shows(expr, here.spot);
        wish == serde_json::Value::Bool(true) || self.may_be(here, &wish)
    }

    /// The shortest text that a block writes with some data; variables may be empty.
    pub(super) fn least(&self, block: &Block, here: Here<'_>) -> Result<String, Exceeded> {
        let mut least = String::new();
        let of = |block: &Option<Block>| match block {
            Some(block) => self.least(block, here),
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
                Element::Each { otherwise: None, .. } | Element::With { otherwise: None, .. } => {
                    String::new()
                }
                Element::Each { body, otherwise, .. } | Element::With { body, otherwise, .. } => {
                    shorter(self.least(body, here)?, of(otherwise)?)
                }
                element => {
                    let inside = self.included(element, here, |block, here| self.least(block, here))?;
                    inside.unwrap_or_default()
                }
            };
            self.machine.budget.pay_bytes(text.len())?;
            least.push_str(&text);
        }
        Ok(least)
    }

    /// The text of an expression, if it is the same with any data.
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
    pub(super) fn is_constant(&self, block: &Block) -> Result<bool, Exceeded> {
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
