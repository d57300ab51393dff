//! Variables that are wrong at their place with any data: they never have a value, or always have one of a kind that
//! cannot be written there. A variable whose value the schema leaves open is permitted.

mod scope;
mod uses;

use std::collections::BTreeMap;

use carillon_domain::{field_error::echo, possible::Possible};
use serde_json::Value;

use self::{
    scope::{Round, Scope},
    uses::Presence,
};
use super::{
    Engine,
    issue::{IssueSite, TemplateIssue},
    made::{constant, made, own_variables},
    program::{Block, Element, Expr},
    readings::Reading,
    schemas::{ANY, Schema},
};
use crate::{
    TemplateDef, TemplateSet,
    budget::{Budget, Exceeded, STEPS},
};

/// The line, a stable code and a sentence.
type Finding = (Option<usize>, &'static str, String);

impl Engine {
    /// An issue for each variable of a template that is wrong with any data, so that no message can be rendered: a field
    /// that does not exist, an object where a text is written, or a variable that is set only in a loop. A template
    /// without such variables has an issue if one of its parts is always blank or too long. `schema_of` returns the
    /// schema of an event type's data.
    #[must_use]
    pub fn unfit_parts<'s>(
        &self,
        set: &TemplateSet,
        schema_of: impl Fn(&str) -> Option<&'s Value>,
    ) -> Vec<TemplateIssue> {
        let mut issues = Vec::new();
        for def in &set.templates {
            let served: Vec<_> = self.served_by(def).collect();
            let Some((_, template)) = served.first() else {
                continue;
            };
            let readings = |key: &str| {
                let packs = served.iter().map(|(pack, _)| *pack);
                let mut all: Vec<_> = packs.flat_map(|pack| pack.messages.readings(key)).collect();
                all.sort_unstable();
                all.dedup();
                all
            };
            let own = own_variables(&def.event_type);
            let known = schema_of(&def.event_type);
            let root = known.unwrap_or(&*ANY);
            let data = root.clone();
            let possible = Possible::new(root);
            let schema = Schema {
                root,
                data: &data,
                own: &own,
                possible: &possible,
                event_type: known.is_some().then_some(&*def.event_type),
            };
            for part in template.parts.all() {
                let [html, text] = &self.partials;
                let mut shapes = Shapes {
                    schema,
                    partials: if part.name == "html" { html } else { text },
                    readings: &readings,
                    budget: Budget::new(STEPS),
                    line: None,
                    is_in_partial: false,
                    guards: 0,
                    found: Vec::new(),
                };
                let scope = Scope {
                    up: None,
                    this: Some(schema.root),
                    label: "the event's data".to_owned(),
                    names: Vec::new(),
                    merged: false,
                    round: None,
                };
                // A template that would take too much work to look at is judged when it is rendered.
                let _ = shapes.block(&part.block, &scope, None);
                let place = IssueSite::new(def.id(), def.locale.as_deref(), &part.name);
                for (line, code, sentence) in shapes.found {
                    let issue = place.issue(line, code, sentence);
                    if !issues.contains(&issue) {
                        issues.push(issue);
                    }
                }
            }
        }
        let is_wrong = |def: &TemplateDef| issues.iter().any(|issue| issue.is_of(def));
        let unusable = self.unusable_parts(set, &schema_of, is_wrong);
        issues.extend(unusable);
        issues
    }
}

/// The block that a partial is given, and its place.
#[derive(Clone, Copy)]
struct Given<'s> {
    block: &'s Block,
    scope: &'s Scope<'s>,
    outer: Option<&'s Given<'s>>,
}

struct Shapes<'e> {
    schema: Schema<'e>,
    partials: &'e BTreeMap<String, Block>,
    /// The readings of a text (a Fluent message) from its arguments, by their names.
    readings: &'e dyn Fn(&str) -> Vec<(String, Reading)>,
    budget: Budget,
    line: Option<usize>,
    is_in_partial: bool,
    /// The number of surrounding conditions on variables that the schema does not have. Their author expects a later
    /// version of the schema.
    guards: usize,
    found: Vec<Finding>,
}

impl Shapes<'_> {
    fn block(&mut self, block: &Block, scope: &Scope<'_>, given: Option<&Given<'_>>) -> Result<(), Exceeded> {
        for step in &block.0 {
            self.budget.pay(1)?;
            // Inside a partial, the line is the one that includes it.
            if !self.is_in_partial {
                self.line = step.line.or(self.line);
            }
            self.element(&step.element, scope, given)?;
        }
        Ok(())
    }

    fn element(
        &mut self,
        element: &Element,
        scope: &Scope<'_>,
        given: Option<&Given<'_>>,
    ) -> Result<(), Exceeded> {
        match element {
            Element::Text(_) => Ok(()),
            Element::Print(expr) => {
                self.written(expr, scope);
                Ok(())
            }
            Element::Choose {
                test,
                include_zero,
                branches,
            } => {
                if let Some(expr) = include_zero {
                    self.used(expr, Presence::Optional, scope);
                }
                self.choose(test, branches, scope, given)
            }
            Element::Each {
                list,
                names,
                body,
                otherwise,
            } => {
                let seen = self.subject(list, otherwise.is_some(), scope);
                if otherwise.is_none() {
                    self.read(list, Reading::Items, scope);
                }
                let item = seen.schema().and_then(|list| self.schema.item(list));
                let round = Round {
                    may_have_key: seen
                        .schema()
                        .is_none_or(|schema| self.schema.never_one_of(schema, &["object"]).is_none()),
                };
                let label = format!("an item of {}", echo(list));
                let kinds = seen.schema().and_then(|list| self.schema.kinds(list));
                let second = match kinds.as_deref() {
                    Some(["array"]) => made("integer"),
                    Some(["object"]) => made("text"),
                    _ => None,
                };
                self.inside(body, (item, label, Some(round)), (names, second), scope, given)?;
                otherwise
                    .iter()
                    .try_for_each(|block| self.block(block, scope, given))
            }
            Element::With {
                value,
                names,
                body,
                otherwise,
            } => {
                let this = self.subject(value, otherwise.is_some(), scope).schema();
                self.inside(body, (this, echo(value), None), (names, None), scope, given)?;
                otherwise
                    .iter()
                    .try_for_each(|block| self.block(block, scope, given))
            }
            Element::Partial {
                name,
                value,
                variables,
                block,
            } => self.partial((name, value.as_ref(), variables), block.as_ref(), scope, given),
            Element::PartialBlock(fallback) => match (given, fallback) {
                (Some(given), _) => self.block(given.block, given.scope, given.outer),
                (None, Some(fallback)) => self.block(fallback, scope, given),
                (None, None) => {
                    self.without_block();
                    Ok(())
                }
            },
        }
    }

    /// Judges a partial with the value, the variables and the block that it is given.
    fn partial(
        &mut self,
        (name, value, variables): (&str, Option<&Expr>, &[(String, Expr)]),
        block: Option<&Block>,
        scope: &Scope<'_>,
        given: Option<&Given<'_>>,
    ) -> Result<(), Exceeded> {
        let Some(partial) = self.partials.get(name) else {
            return Ok(());
        };
        let (this, label) = match value {
            Some(value) => (self.subject(value, false, scope).schema(), echo(value)),
            None => (scope.this, scope.label.clone()),
        };
        for (_, expr) in variables {
            self.used(expr, Presence::Optional, scope);
        }
        let constants: Vec<Option<Value>> = variables.iter().map(|(_, expr)| constant(expr)).collect();
        let names = variables.iter().zip(&constants);
        let names = names
            .map(|((name, expr), constant)| {
                let seen = || self.see(expr, scope).schema();
                (name.as_str(), constant.as_ref().or_else(seen))
            })
            .collect();
        let inside = Scope {
            up: Some(scope),
            this,
            label,
            names,
            merged: true,
            round: None,
        };
        let handed = block.map(|block| Given {
            block,
            scope,
            outer: given,
        });
        let was_in_partial = std::mem::replace(&mut self.is_in_partial, true);
        let result = self.block(partial, &inside, handed.as_ref());
        self.is_in_partial = was_in_partial;
        result
    }

    fn choose(
        &mut self,
        test: &Expr,
        branches: &[Option<Block>; 2],
        scope: &Scope<'_>,
        given: Option<&Given<'_>>,
    ) -> Result<(), Exceeded> {
        let is_guard = self.tested(test, scope);
        self.guards += usize::from(is_guard);
        let mut blocks = branches.iter().flatten();
        let result = blocks.try_for_each(|block| self.block(block, scope, given));
        self.guards -= usize::from(is_guard);
        result
    }

    fn inside(
        &mut self,
        body: &Block,
        (this, label, round): (Option<&Value>, String, Option<Round>),
        (names, second): (&[String], Option<&Value>),
        scope: &Scope<'_>,
        given: Option<&Given<'_>>,
    ) -> Result<(), Exceeded> {
        // The first name is the value, the second one its index or key.
        let names = names.iter().map(String::as_str).zip([this, second]).collect();
        let inside = Scope {
            up: Some(scope),
            this,
            label,
            names,
            merged: false,
            round,
        };
        self.block(body, &inside, given)
    }
}
