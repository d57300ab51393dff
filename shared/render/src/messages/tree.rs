//! A file of messages in the form in which it is formatted: references are keys, and functions have parsed
//! options.

use std::collections::BTreeMap;

use super::functions::Function;

/// A locale's texts by key: `message`, `message.attribute`, `-term`, `-term.attribute`.
pub(super) type Texts = BTreeMap<String, Text>;

/// The value of a message, of a term or of an attribute.
#[derive(Debug)]
pub(super) struct Text {
    /// The line, from 1, at which its message or term begins.
    pub(super) line: usize,
    pub(super) pattern: Pattern,
}

pub(super) type Pattern = Vec<Piece>;

#[derive(Debug)]
pub(super) enum Piece {
    Text(String),
    Placeable(Expr),
}

#[derive(Debug)]
pub(super) enum Expr {
    /// `"text"` or `1.5`.
    Literal(String),
    /// `$name`.
    Variable(String),
    /// `message`, `message.attribute`.
    Message(String),
    /// `-term(name: "value")`: the term sees only these arguments.
    Term { key: String, args: Vec<(String, Expr)> },
    /// `NUMBER($count)`.
    Call { function: Function, arg: Box<Expr> },
    /// A selector and its variants.
    Select {
        selector: Box<Expr>,
        variants: Vec<(VariantKey, Pattern)>,
        default: usize,
    },
}

#[derive(Debug)]
pub(super) enum VariantKey {
    /// A word: a plural category, or the selector's text.
    Word(String),
    Number(String),
}

/// Visits all expressions of a pattern, outer ones first. The second parameter of `look` is whether the expression
/// selects a variant.
pub(super) fn visit<'t>(pattern: &'t Pattern, look: &mut dyn FnMut(&'t Expr, bool)) {
    for piece in pattern {
        if let Piece::Placeable(expr) = piece {
            visit_expr(expr, false, look);
        }
    }
}

fn visit_expr<'t>(expr: &'t Expr, selects: bool, look: &mut dyn FnMut(&'t Expr, bool)) {
    look(expr, selects);
    match expr {
        Expr::Literal(_) | Expr::Variable(_) | Expr::Message(_) => {}
        Expr::Term { args, .. } => {
            for (_, arg) in args {
                visit_expr(arg, false, look);
            }
        }
        Expr::Call { arg, .. } => visit_expr(arg, false, look),
        Expr::Select {
            selector, variants, ..
        } => {
            visit_expr(selector, true, look);
            for (_, pattern) in variants {
                visit(pattern, look);
            }
        }
    }
}
