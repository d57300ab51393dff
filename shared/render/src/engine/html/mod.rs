//! Finds the variables of an HTML part that stand where data would become markup, style, script or an unchecked link.
//!
//! Output is escaped for text and for quoted values of attributes, and for nothing else. A template's own text runs
//! through a tokenizer of HTML ([`state`]), which says where each variable stands; [`allowed`] lists the places where
//! one is harmless. Every other place is refused.

mod allowed;
mod always;
mod glance;
mod hiding;
mod judge;
mod link;
mod sight;
mod state;

use std::collections::{BTreeMap, HashSet};

use self::judge::{RefusedVariable, judge};
pub(super) use self::{
    always::always_shows,
    sight::{Sight, shows},
};
use super::{
    issue::{IssueSite, TemplateIssue},
    program::Block,
};

/// The partials for HTML parts, and the faults that each has in text.
pub(super) struct Gate<'e> {
    partials: &'e BTreeMap<String, Block>,
    in_partials: HashSet<(&'e str, RefusedVariable)>,
}

impl<'e> Gate<'e> {
    /// Judges the partials, as if each stood in text.
    pub(super) fn new(partials: &'e BTreeMap<String, Block>, errors: &mut Vec<TemplateIssue>) -> Self {
        let mut gate = Self {
            partials,
            in_partials: HashSet::new(),
        };
        let all: Vec<(&str, Vec<RefusedVariable>)> = partials
            .iter()
            .map(|(name, block)| (name.as_str(), judge(block, partials)))
            .collect();
        for (name, found) in &all {
            let own = found.iter().filter(|found| found.inside.is_none());
            gate.in_partials.extend(own.map(|found| (*name, found.clone())));
        }
        for (name, found) in all {
            let place = IssueSite::new(format!("partials/{name}"), None, "html");
            gate.report(&place, found, errors);
        }
        gate
    }

    /// Judges an HTML part with the partials that it includes, each in its place.
    pub(super) fn check(&self, place: &IssueSite, block: &Block, errors: &mut Vec<TemplateIssue>) {
        self.report(place, judge(block, self.partials), errors);
    }

    fn report(&self, place: &IssueSite, found: Vec<RefusedVariable>, errors: &mut Vec<TemplateIssue>) {
        for found in found {
            let RefusedVariable {
                line,
                inside,
                code,
                sentence,
            } = found;
            let Some((partial, via)) = inside else {
                errors.push(place.issue(line, code, sentence));
                continue;
            };
            let own = RefusedVariable {
                line,
                inside: None,
                code,
                sentence,
            };
            // A partial that is wrong in text has an issue of its own.
            if !self.in_partials.contains(&(partial.as_str(), own.clone())) {
                let at = line.map_or_else(String::new, |line| format!(" line {line}"));
                let sentence = format!("in partials/{partial}{at}, which stands here: {}", own.sentence);
                errors.push(place.issue(via, code, sentence));
            }
        }
    }
}
