//! Variables that are written as a text and are objects by the schema of their event type.

use std::collections::BTreeMap;

use carillon_domain::field_error::echo;
use serde_json::Value;

use super::{
    Engine,
    issue::{Place, TemplateIssue},
    program::{Block, Element, Expr, From, Helper, Path},
};
use crate::{
    TemplateSet,
    budget::{Budget, Exceeded, STEPS},
};

/// How many references of a schema are followed in a row.
const MAX_REFERENCES: usize = 16;

impl Engine {
    /// An issue for each variable that a template of the set writes and that is an object by the schema of its event
    /// type: no message of such a template can be rendered. `schema_of` knows the schemas of event types.
    #[must_use]
    pub fn objects_written<'s>(
        &self,
        set: &TemplateSet,
        schema_of: impl Fn(&str) -> Option<&'s Value>,
    ) -> Vec<TemplateIssue> {
        let mut issues = Vec::new();
        for def in &set.templates {
            let Some((_, template)) = self.served_by(def).next() else {
                continue;
            };
            let Some(root) = schema_of(&def.event_type) else {
                continue;
            };
            for part in template.parts.all() {
                let [html, text] = &self.partials;
                let mut shapes = Shapes {
                    root,
                    partials: if part.name == "html" { html } else { text },
                    budget: Budget::new(STEPS),
                    line: None,
                    is_in_partial: false,
                    found: Vec::new(),
                };
                let scope = Scope {
                    up: None,
                    this: Some(root),
                    names: Vec::new(),
                    merged: false,
                };
                // A template that would take too much work to look at is judged when it is rendered.
                let _ = shapes.block(&part.block, &scope, None);
                let place = Place::new(def.id(), def.locale.as_deref(), &part.name);
                for (line, sentence) in shapes.found {
                    let sentence = format!("{sentence} by the schema of {}", def.event_type);
                    let issue = place.issue(
                        line,
                        "object-as-text",
                        format!("{sentence}: expected one of its fields"),
                    );
                    if !issues.contains(&issue) {
                        issues.push(issue);
                    }
                }
            }
        }
        issues
    }
}

/// The schemas of what is visible at a place; `None` is a value of which nothing is known.
struct Scope<'s> {
    up: Option<&'s Scope<'s>>,
    this: Option<&'s Value>,
    names: Vec<(&'s str, Option<&'s Value>)>,
    merged: bool,
}

/// The block that a partial is given, and its place.
#[derive(Clone, Copy)]
struct Given<'s> {
    block: &'s Block,
    scope: &'s Scope<'s>,
    outer: Option<&'s Given<'s>>,
}

struct Shapes<'e> {
    root: &'e Value,
    partials: &'e BTreeMap<String, Block>,
    budget: Budget,
    line: Option<usize>,
    is_in_partial: bool,
    found: Vec<(Option<usize>, String)>,
}

impl<'e> Shapes<'e> {
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
            Element::Choose { branches, .. } => {
                let mut blocks = branches.iter().flatten();
                blocks.try_for_each(|block| self.block(block, scope, given))
            }
            Element::Each {
                list,
                names,
                body,
                otherwise,
            } => {
                let item = self.schema(list, scope).and_then(|list| self.item(list));
                self.inside(body, item, names, scope, given)?;
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
                let this = self.schema(value, scope);
                self.inside(body, this, names, scope, given)?;
                otherwise
                    .iter()
                    .try_for_each(|block| self.block(block, scope, given))
            }
            Element::Partial {
                name,
                value,
                variables,
                block,
            } => {
                let Some(partial) = self.partials.get(name) else {
                    return Ok(());
                };
                let this = match value {
                    Some(value) => self.schema(value, scope),
                    None => scope.this,
                };
                let names = variables.iter();
                let names = names
                    .map(|(name, expr)| (name.as_str(), self.schema(expr, scope)))
                    .collect();
                let inside = Scope {
                    up: Some(scope),
                    this,
                    names,
                    merged: true,
                };
                let handed = block.as_ref().map(|block| Given {
                    block,
                    scope,
                    outer: given,
                });
                let was_in_partial = std::mem::replace(&mut self.is_in_partial, true);
                let result = self.block(partial, &inside, handed.as_ref());
                self.is_in_partial = was_in_partial;
                result
            }
            Element::PartialBlock(fallback) => match (given, fallback) {
                (Some(given), _) => self.block(given.block, given.scope, given.outer),
                (None, Some(fallback)) => self.block(fallback, scope, given),
                (None, None) => Ok(()),
            },
        }
    }

    fn inside(
        &mut self,
        body: &Block,
        this: Option<&Value>,
        names: &[String],
        scope: &Scope<'_>,
        given: Option<&Given<'_>>,
    ) -> Result<(), Exceeded> {
        // The first name is the value, the second one its index or key.
        let names = names.iter().map(String::as_str).zip([this, None]).collect();
        let inside = Scope {
            up: Some(scope),
            this,
            names,
            merged: false,
        };
        self.block(body, &inside, given)
    }

    /// Looks at an expression whose value is written.
    fn written(&mut self, expr: &Expr, scope: &Scope<'_>) {
        match expr {
            Expr::Literal(_) => {}
            Expr::Path(path) => {
                if self
                    .look_up(path, scope)
                    .is_some_and(|schema| self.is_object(schema))
                {
                    self.found
                        .push((self.line, format!("{} is an object", echo(&path.raw))));
                }
            }
            Expr::Call(call) => match call.helper {
                Helper::T => call.named.iter().for_each(|(_, expr)| self.written(expr, scope)),
                Helper::Encode | Helper::Url | Helper::Number | Helper::Date | Helper::Money => {
                    call.args.iter().for_each(|expr| self.written(expr, scope));
                }
                _ => {}
            },
        }
    }

    fn schema<'s>(&self, expr: &Expr, scope: &Scope<'s>) -> Option<&'s Value>
    where
        'e: 's,
    {
        match expr {
            Expr::Path(path) => self.look_up(path, scope),
            _ => None,
        }
    }

    /// The schema of a variable; the names are found in the same order as when a template runs.
    fn look_up<'s>(&self, path: &Path, scope: &Scope<'s>) -> Option<&'s Value>
    where
        'e: 's,
    {
        let level = match path.from {
            From::Round(_) => return None,
            From::Root => return self.of_root(&path.names),
            From::Scope(level) => level,
        };
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
                return self.dig(schema?, rest);
            }
        }
        let holder = ancestors(scope).nth(level)?;
        match holder.this {
            // Only the whole data has Carillon's own variables.
            Some(this) if std::ptr::eq(this, self.root) => self.of_root(&path.names),
            this => self.dig(this?, &path.names),
        }
    }

    fn of_root(&self, names: &[String]) -> Option<&'e Value> {
        match names.split_first() {
            Some((first, rest)) if first == "data" => self.dig(self.root, rest),
            Some((first, _)) if crate::origin::is_own(first) => None,
            _ => self.dig(self.root, names),
        }
    }

    fn dig<'s>(&self, schema: &'s Value, names: &[String]) -> Option<&'s Value>
    where
        'e: 's,
    {
        names.iter().try_fold(schema, |schema, name| {
            let schema = self.followed(schema)?;
            let field = schema.get("properties").and_then(|fields| fields.get(name));
            field.or_else(|| name.parse::<usize>().ok().and_then(|_| schema.get("items")))
        })
    }

    fn item<'s>(&self, list: &'s Value) -> Option<&'s Value>
    where
        'e: 's,
    {
        let list = self.followed(list)?;
        list.get("items").or_else(|| list.get("additionalProperties"))
    }

    /// The schema that a schema refers to, within the same document.
    fn followed<'s>(&self, schema: &'s Value) -> Option<&'s Value>
    where
        'e: 's,
    {
        let mut schema = schema;
        for _ in 0..MAX_REFERENCES {
            match schema.get("$ref").and_then(Value::as_str) {
                Some(reference) => schema = self.root.pointer(reference.strip_prefix('#')?)?,
                None => return Some(schema),
            }
        }
        None
    }

    /// Whether a schema takes objects only, or objects and null.
    fn is_object(&self, schema: &Value) -> bool {
        match self.followed(schema).and_then(|schema| schema.get("type")) {
            Some(Value::String(kind)) => kind == "object",
            Some(Value::Array(kinds)) => {
                let is = |kind: &Value, name: &str| kind.as_str() == Some(name);
                kinds.iter().any(|kind| is(kind, "object"))
                    && kinds.iter().all(|kind| is(kind, "object") || is(kind, "null"))
            }
            _ => false,
        }
    }
}

fn ancestors<'a, 's>(scope: &'a Scope<'s>) -> impl Iterator<Item = &'a Scope<'s>> {
    std::iter::successors(Some(scope), |scope| scope.up)
}
