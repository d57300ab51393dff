//! Finds literals that fail with any data, before a template is published: calls whose arguments are literals are
//! executed once.

use carillon_domain::json::Value;

use super::{
    Engine,
    exec::Machine,
    issue::{IssueSite, TemplateIssue},
    pack::Pack,
    program::{Block, Call, Element, Expr, Helper},
    scope::{Scope, Val},
};
use crate::{
    TemplateSet,
    budget::{Budget, STEPS},
    fault::Fault,
    helpers::{self, Arg},
};

/// The line and a sentence.
type Finding = (Option<usize>, String);

impl Engine {
    /// Adds an issue for each literal with which a template or partial always fails.
    pub(super) fn find_wrong_literals(&self, set: &TemplateSet, errors: &mut Vec<TemplateIssue>) {
        let none = Value::Object(carillon_domain::json::Map::new());
        let issues = |place: IssueSite, findings: Vec<Finding>| {
            let each = findings.into_iter();
            each.map(move |(line, sentence)| place.issue(line, "bad-literal", sentence))
        };
        for (partials, part) in self.partials.iter().zip(["html", "text"]) {
            for (name, block) in partials {
                let place = IssueSite::new(format!("partials/{name}"), None, part);
                let findings = self.wrong_in(block, self.packs.iter(), part == "html", &none);
                errors.extend(issues(place, findings));
            }
        }
        for def in &set.templates {
            let served: Vec<_> = self.served_by(def).collect();
            let Some((_, template)) = served.first() else {
                continue;
            };
            for part in template.parts.all() {
                let place = IssueSite::new(def.id(), def.locale.as_deref(), &part.name);
                let packs = served.iter().map(|(pack, _)| *pack);
                let findings = self.wrong_in(&part.block, packs, part.name == "html", &none);
                errors.extend(issues(place, findings));
            }
        }
    }

    /// The wrong literals of a block in any of these locales.
    fn wrong_in<'e>(
        &'e self,
        block: &Block,
        packs: impl Iterator<Item = &'e Pack>,
        is_html: bool,
        none: &'e Value,
    ) -> Vec<Finding> {
        let [html, text] = &self.partials;
        let mut findings: Vec<Finding> = Vec::new();
        for pack in packs {
            let budget = Budget::new(STEPS);
            let mut judge = Judge {
                machine: Machine {
                    pack,
                    partials: if is_html { html } else { text },
                    root: none,
                    reader: pack.texts_reader(),
                    budget: &budget,
                },
                line: None,
                findings: Vec::new(),
            };
            judge.block(block);
            for finding in judge.findings {
                if !findings.contains(&finding) {
                    findings.push(finding);
                }
            }
        }
        findings
    }
}

/// The result of constant folding, which has no data.
enum Folded {
    /// The value is the same with any data.
    Value(Value),
    /// The expression finds no value.
    Absent,
    /// The value depends on the data, or the expression has been reported as wrong.
    Unknown,
}

struct Judge<'e> {
    machine: Machine<'e>,
    line: Option<usize>,
    findings: Vec<Finding>,
}

impl Judge<'_> {
    fn block(&mut self, block: &Block) {
        for step in &block.0 {
            self.line = step.line.or(self.line);
            self.element(&step.element);
        }
    }

    fn blocks<'b>(&mut self, blocks: impl IntoIterator<Item = &'b Option<Block>>) {
        for block in blocks.into_iter().flatten() {
            self.block(block);
        }
    }

    fn element(&mut self, element: &Element) {
        match element {
            Element::Text(_) => {}
            Element::Print(expr) => {
                if let Folded::Absent = self.expr(expr) {
                    let sentence = format!("expected {} to find a value", short(expr));
                    self.findings.push((self.line, sentence));
                }
            }
            Element::Choose {
                test,
                include_zero,
                branches,
            } => {
                self.expr(test);
                if let Some(expr) = include_zero {
                    self.expr(expr);
                }
                self.blocks(branches);
            }
            Element::Each {
                list,
                body,
                otherwise,
                ..
            } => {
                if let Folded::Value(value) = self.expr(list)
                    && otherwise.is_none()
                    && !matches!(value, Value::Array(_) | Value::Object(_))
                {
                    let sentence = format!("expected {} to be a list or an object", short(list));
                    self.findings.push((self.line, sentence));
                }
                self.block(body);
                self.blocks([otherwise]);
            }
            Element::With {
                value,
                body,
                otherwise,
                ..
            } => {
                self.expr(value);
                self.block(body);
                self.blocks([otherwise]);
            }
            Element::Partial {
                value,
                variables,
                block,
                ..
            } => {
                for expr in value.iter().chain(variables.iter().map(|(_, expr)| expr)) {
                    self.expr(expr);
                }
                self.blocks([block]);
            }
            Element::PartialBlock(fallback) => self.blocks([fallback]),
        }
    }

    fn expr(&mut self, expr: &Expr) -> Folded {
        match expr {
            Expr::Literal(value) => Folded::Value(value.clone()),
            Expr::Path(_) => Folded::Unknown,
            Expr::Call(call) => {
                let args: Vec<Folded> = call.args.iter().map(|arg| self.expr(arg)).collect();
                let named: Vec<Folded> = call.named.iter().map(|(_, arg)| self.expr(arg)).collect();
                let all = args
                    .iter()
                    .chain(&named)
                    .all(|arg| matches!(arg, Folded::Value(_)));
                if all {
                    return self.evaluate(expr, call);
                }
                self.partly(call, &args);
                Folded::Unknown
            }
        }
    }

    /// Executes a call whose arguments are literals.
    fn evaluate(&mut self, expr: &Expr, call: &Call) -> Folded {
        let scope = Scope::of_data(self.machine.root);
        let fault = match self.machine.eval(expr, &scope) {
            Ok(Val::Ref(value)) => return Folded::Value(value.clone()),
            Ok(Val::Own(value)) => return Folded::Value(value),
            Ok(Val::Missing(..)) => return Folded::Absent,
            Err(fault) => fault,
        };
        self.report(&fault, call.helper);
        Folded::Unknown
    }

    fn report(&mut self, fault: &Fault, helper: Helper) {
        let sentence = match fault {
            Fault::BadValue {
                variable, expected, ..
            } => format!("expected {variable} to be {expected}"),
            // A missing text or variable of a text has an issue of its own.
            Fault::Misused(why) if helper != Helper::T => why.clone(),
            _ => return,
        };
        self.findings.push((self.line, sentence));
    }

    /// Tries the literals of a call whose other arguments depend on the data; valid values stand in for these.
    fn partly(&mut self, call: &Call, args: &[Folded]) {
        let value_or = |index: usize, fitting: &str| match args.get(index) {
            Some(Folded::Value(value)) => value.clone(),
            _ => Value::from(fitting),
        };
        let arg = |index: usize, value| Arg {
            written: &call.args[index],
            value,
            root: None,
        };
        let reader = self.machine.reader;
        let result = match call.helper {
            Helper::Date => {
                let (at, style) = (value_or(0, "2026-01-01T00:00:00Z"), value_or(1, "short"));
                let style = (call.args.len() > 1).then(|| arg(1, &style));
                helpers::date(&arg(0, &at), style.as_ref(), reader)
            }
            Helper::Money => {
                let (amount, currency) = (value_or(0, "1"), value_or(1, "EUR"));
                helpers::money(&arg(0, &amount), &arg(1, &currency), reader.conventions)
            }
            Helper::T => match &args[0] {
                Folded::Value(key) if key.as_str().is_none() => Err(helpers::no_key(&arg(0, key))),
                _ => return,
            },
            _ => return,
        };
        if let Err(fault) = result {
            self.report(&fault, Helper::Date);
        }
    }
}

fn short(expr: &Expr) -> String {
    carillon_domain::field_error::echo(expr)
}
