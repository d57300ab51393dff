//! Checks texts before they are published: for references to missing texts, and for texts that contain
//! themselves.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::Reading;

use super::{
    MessageIssue, Messages, is_message,
    levels::{MAX_LEVELS, Node},
    literals,
    tree::{Expr, visit},
};

impl Messages {
    /// Whether the locale's own file has the message.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.first().is_some_and(|own| own.texts.contains_key(key)) && is_message(key)
    }

    /// Whether the locale's own file defines the message in a way that cannot be read. An issue of the file says
    /// so.
    pub(crate) fn is_unreadable(&self, key: &str) -> bool {
        self.0.first().is_some_and(|own| own.is_unreadable(key))
    }

    /// The variables that a message needs, including those of the messages that it refers to.
    pub(crate) fn needs(&self, key: &str) -> BTreeSet<String> {
        let mut variables = BTreeSet::new();
        self.look_through(key, |expr| {
            if let Expr::Variable(name) = expr {
                variables.insert(name.clone());
            }
        });
        variables
    }

    /// The readings of a message from the variables that it formats as numbers and dates, by their names. Those of the
    /// messages that it refers to are included.
    pub(crate) fn readings(&self, key: &str) -> Vec<(String, Reading)> {
        let mut readings = Vec::new();
        self.look_through(key, |expr| {
            if let Expr::Call { function, arg } = expr
                && let Expr::Variable(name) = &**arg
            {
                readings.push((name.clone(), function.reading()));
            }
        });
        readings
    }

    /// Visits the expressions of a message and of the messages that it refers to, each message once.
    fn look_through(&self, key: &str, mut visit: impl FnMut(&Expr)) {
        let mut seen = BTreeSet::new();
        let mut open: Vec<Node<'_>> = self.node(key, 0).into_iter().collect();
        while let Some(node) = open.pop() {
            if !seen.insert(node) {
                continue;
            }
            self.look(node, &mut |expr, _| match expr {
                Expr::Message(key) => open.extend(self.node(key, node.0)),
                other => visit(other),
            });
        }
    }

    /// The issues of the locale's own texts, given the fallback texts for those it lacks.
    pub(crate) fn issues(&self, tag: &str) -> Vec<MessageIssue> {
        let mut issues = Vec::new();
        let Some(own) = self.0.first() else { return issues };
        let mut printed = BTreeMap::new();
        let mut steps = literals::MAX_STEPS;
        for (key, text) in &own.texts {
            let mut find = |code, message| {
                issues.push(MessageIssue {
                    line: text.line,
                    code,
                    message,
                });
            };
            let mut refers = BTreeSet::new();
            visit(&text.pattern, &mut |expr, _| match expr {
                Expr::Message(other) => {
                    refers.insert(other.as_str());
                }
                Expr::Term { key: other, args } => {
                    refers.insert(other.as_str());
                    let names = printed
                        .entry(other.as_str())
                        .or_insert_with(|| self.printed(other));
                    for name in names
                        .iter()
                        .filter(|name| !args.iter().any(|(given, _)| given == *name))
                    {
                        let message = format!("{key} ({tag}): the term {other} needs {name}: \"…\"");
                        find("missing-argument", message);
                    }
                }
                _ => {}
            });
            for sentence in self.wrong_literals(text, &mut steps) {
                find("bad-literal", format!("{key} ({tag}): {sentence}"));
            }
            let is_known = |other: &str| {
                self.find(other, 0).is_some() || self.0.iter().any(|bundle| bundle.is_unreadable(other))
            };
            for other in refers.into_iter().filter(|other| !is_known(other)) {
                let sentence = format!(
                    "{key} ({tag}) refers to {other}, which neither {tag} nor its fallback locales have"
                );
                find("unknown-reference", sentence);
            }
        }
        let line = |key: &str| own.texts.get(key).map_or(1, |text| text.line);
        let misshapen = self.misshapen();
        issues.extend(misshapen.cyclic.into_iter().map(|key| MessageIssue {
            line: line(key),
            code: "cyclic-reference",
            message: format!("{key} ({tag}) refers to itself"),
        }));
        issues.extend(misshapen.deep.into_iter().map(|key| MessageIssue {
            line: line(key),
            code: "deep-reference",
            message: format!(
                "{key} ({tag}): expected texts and selections nested at most {MAX_LEVELS} deep, \
                 and {key} is one level deeper"
            ),
        }));
        issues
    }

    pub(super) fn node<'m>(&'m self, key: &'m str, from: usize) -> Option<Node<'m>> {
        self.find(key, from).map(|(bundle, _)| (bundle, key))
    }

    fn look<'m>(&'m self, (bundle, key): Node<'m>, look: &mut dyn FnMut(&'m Expr, bool)) {
        if let Some(text) = self.0[bundle].texts.get(key) {
            visit(&text.pattern, look);
        }
    }

    /// The variables that a term writes; those by which it selects have a default.
    fn printed<'m>(&'m self, term: &'m str) -> BTreeSet<&'m str> {
        let mut names = BTreeSet::new();
        if let Some(node) = self.node(term, 0) {
            self.look(node, &mut |expr, selects| match expr {
                Expr::Variable(name) if !selects => {
                    names.insert(name.as_str());
                }
                _ => {}
            });
        }
        names
    }
}
