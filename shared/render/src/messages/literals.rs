//! Finds literals of texts that never work, such as `NUMBER("abc")` or a term that is given one, by formatting them
//! once before publishing.

use super::{
    MessageError, Messages,
    functions::Function,
    resolve::{Resolver, TermSite},
    tree::{Expr, Text},
};
use crate::{
    budget::{Budget, STEPS},
    fault::Fault,
    helpers::LocalReader,
};

impl Messages {
    /// A sentence for each literal of one of the locale's own texts with which the text always fails. Steps are paid
    /// from `steps`; once they are spent, nothing more is looked for.
    pub(super) fn wrong_literals(&self, text: &Text, steps: &mut u64) -> Vec<String> {
        let mut sentences = Vec::new();
        let mut judge = |expr: &Expr| {
            let sentence = match expr {
                Expr::Call { function, arg } => match &**arg {
                    Expr::Call { function: inner, .. } if !inner.suits(function) => Some(format!(
                        "{} takes no result of {}: expected a variable or a literal",
                        function.name(),
                        inner.name()
                    )),
                    _ if is_literal(arg) => self.failure(expr, steps),
                    _ => None,
                },
                Expr::Term { .. } => self.failure(expr, steps),
                _ => None,
            };
            sentences.extend(sentence);
        };
        super::tree::visit(&text.pattern, &mut |expr, _| judge(expr));
        sentences
    }

    /// The reason why an expression without variables has no text. A term counts as one, because it sees its
    /// arguments only.
    fn failure(&self, expr: &Expr, steps: &mut u64) -> Option<String> {
        let budget = Budget::new(*steps);
        let resolver = Resolver {
            messages: self,
            args: &[],
            root: None,
            reader: LocalReader::any(),
            budget: &budget,
        };
        let place = TermSite {
            bundle: 0,
            term: None,
        };
        let result = resolver.place(expr, place, &mut String::new());
        *steps = budget.left();
        match result {
            Err(MessageError::Fault(Fault::BadValue {
                variable, expected, ..
            })) => Some(format!("expected {variable} to be {expected}")),
            _ => None,
        }
    }
}

/// The maximum number of steps for formatting the literals of one locale's texts.
pub(super) const MAX_STEPS: u64 = STEPS;

/// Whether a function's argument is a literal, possibly inside of other functions.
fn is_literal(arg: &Expr) -> bool {
    match arg {
        Expr::Literal(_) => true,
        Expr::Call { arg, .. } => is_literal(arg),
        _ => false,
    }
}

impl Function {
    fn name(&self) -> &'static str {
        match self {
            Self::Number { .. } => "NUMBER",
            Self::DateTime(_) => "DATETIME",
        }
    }

    /// Whether another function can take its result.
    fn suits(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}
