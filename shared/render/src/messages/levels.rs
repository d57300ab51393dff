//! Counts how deep texts refer to each other. Each text is visited once, even if many texts refer to it.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{
    Messages,
    tree::{Expr, Pattern, Piece},
};

/// The maximum number of texts and selections inside each other. Formatting a message enters one level for each of
/// them, and the template around it needs some of the levels that a message may have.
pub(super) const MAX_LEVELS: usize = 64;

/// A text: its bundle's index in the chain, and its key.
pub(super) type Node<'m> = (usize, &'m str);

/// The locale's own texts whose references are wrong.
#[derive(Debug, Default)]
pub(super) struct Misshapen<'m> {
    /// The texts that contain themselves, directly or through others.
    pub(super) cyclic: BTreeSet<&'m str>,
    /// The texts that have more than [`MAX_LEVELS`] levels, although no text that they refer to has.
    pub(super) deep: BTreeSet<&'m str>,
}

/// A text whose references are being followed.
struct Open<'m> {
    node: Node<'m>,
    /// The levels that were found in it until now.
    levels: usize,
    /// Whether a text that it refers to has too many levels already.
    is_above: bool,
    /// The references that are still to be followed, each with its level.
    rest: Vec<(usize, Node<'m>)>,
    /// The level of the reference that is being followed.
    at: usize,
}

impl Open<'_> {
    fn has_inside(&mut self, levels: usize) {
        self.levels = self.levels.max(self.at + levels);
        self.is_above |= levels > MAX_LEVELS;
    }
}

impl Messages {
    pub(super) fn misshapen(&self) -> Misshapen<'_> {
        let mut found = Misshapen::default();
        let mut done: HashMap<Node<'_>, usize> = HashMap::new();
        let own = self.0.first().map(|own| own.texts.keys());
        for key in own.into_iter().flatten() {
            let mut path: Vec<Open<'_>> = Vec::new();
            let mut on_path = HashSet::new();
            let mut next = Some((0, key.as_str()));
            loop {
                if let Some(node) = next.take() {
                    if on_path.contains(&node) {
                        found.cyclic.insert(node.1);
                    } else if let Some(levels) = done.get(&node) {
                        if let Some(around) = path.last_mut() {
                            around.has_inside(*levels);
                        }
                    } else {
                        on_path.insert(node);
                        path.push(self.open(node));
                    }
                }
                let Some(innermost) = path.last_mut() else { break };
                if let Some((at, node)) = innermost.rest.pop() {
                    innermost.at = at;
                    next = Some(node);
                    continue;
                }
                let Some(Open {
                    node,
                    levels,
                    is_above,
                    ..
                }) = path.pop()
                else {
                    break;
                };
                on_path.remove(&node);
                done.insert(node, levels);
                if node.0 == 0 && levels > MAX_LEVELS && !is_above {
                    found.deep.insert(node.1);
                }
                if let Some(around) = path.last_mut() {
                    around.has_inside(levels);
                }
            }
        }
        found
    }

    fn open<'m>(&'m self, node: Node<'m>) -> Open<'m> {
        let mut rest = Vec::new();
        let mut levels = 0;
        if let Some(text) = self.0[node.0].texts.get(node.1) {
            walk(&text.pattern, 1, &mut levels, &mut |key, at| {
                rest.extend(self.node(key, node.0).map(|node| (at, node)));
            });
        }
        Open {
            node,
            levels,
            is_above: false,
            rest,
            at: 0,
        }
    }
}

/// Visits the references of a pattern with their levels; `deepest` becomes the deepest level of the pattern.
fn walk<'p>(pattern: &'p Pattern, level: usize, deepest: &mut usize, refers: &mut dyn FnMut(&'p str, usize)) {
    *deepest = level.max(*deepest);
    for piece in pattern {
        if let Piece::Placeable(expr) = piece {
            walk_expr(expr, level, deepest, refers);
        }
    }
}

fn walk_expr<'p>(expr: &'p Expr, level: usize, deepest: &mut usize, refers: &mut dyn FnMut(&'p str, usize)) {
    match expr {
        Expr::Literal(_) | Expr::Variable(_) => {}
        Expr::Message(key) => refers(key, level),
        Expr::Term { key, args } => {
            for (_, arg) in args {
                walk_expr(arg, level, deepest, refers);
            }
            refers(key, level);
        }
        Expr::Call { arg, .. } => walk_expr(arg, level, deepest, refers),
        Expr::Select {
            selector, variants, ..
        } => {
            walk_expr(selector, level, deepest, refers);
            for (_, pattern) in variants {
                walk(pattern, level + 1, deepest, refers);
            }
        }
    }
}
