//! Judges a single expression of a template: what it is used for decides what its value must be.

use carillon_domain::field_error::echo;
use serde_json::Value;

use super::{
    Shapes,
    scope::{Scope, ancestors},
};
use crate::engine::{
    program::{Call, Expr, From, Helper, Path},
    schemas::{Never, Seen, shown},
};

/// What becomes of a value, and so what an absent one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// An absent value is as good as another.
    Maybe,
    /// An absent value fails.
    Present,
}

impl<'e> Shapes<'e> {
    fn find(&mut self, code: &'static str, sentence: String) {
        self.found.push((self.line, code, sentence));
    }

    /// Looks at an expression that decides between blocks. Returns whether it mentions a variable that the schema
    /// does not have.
    pub(super) fn tested(&mut self, expr: &Expr, scope: &Scope<'_>) -> bool {
        self.used(expr, Wanted::Maybe, scope);
        self.mentions_unknown(expr, scope)
    }

    fn mentions_unknown(&self, expr: &Expr, scope: &Scope<'_>) -> bool {
        match expr {
            Expr::Literal(_) => false,
            Expr::Path(path) => matches!(self.look_up(path, scope), Seen::Never(never) if !never.is_own),
            Expr::Call(call) => {
                let named = call.named.iter().map(|(_, expr)| expr);
                call.args
                    .iter()
                    .chain(named)
                    .any(|expr| self.mentions_unknown(expr, scope))
            }
        }
    }

    /// Looks at the subject of a block, which must be there unless the block has an `else`.
    pub(super) fn subject<'s>(&mut self, expr: &Expr, has_else: bool, scope: &Scope<'s>) -> Seen<'s>
    where
        'e: 's,
    {
        let wanted = if has_else { Wanted::Maybe } else { Wanted::Present };
        self.used(expr, wanted, scope);
        self.see(expr, scope)
    }

    /// Looks at an expression whose value is written.
    pub(super) fn written(&mut self, expr: &Expr, scope: &Scope<'_>) {
        self.used(expr, Wanted::Present, scope);
        self.has_text(expr, scope);
    }

    /// Refuses a value that is an object, or a list of objects: it has no text.
    fn has_text(&mut self, expr: &Expr, scope: &Scope<'_>) -> bool {
        let Some(schema) = self.see(expr, scope).schema() else {
            return true;
        };
        // The whole data is an object, whether its schema says so or not.
        let instead = if std::ptr::eq(schema, self.schema.root) || self.schema.is_object(schema) {
            "an object"
        } else if self.schema.is_list_of_objects(schema) {
            "a list of objects"
        } else {
            return true;
        };
        let (raw, by) = (echo(expr), self.by(expr, scope));
        let expected = match instead {
            "an object" => "one of its fields".to_owned(),
            _ => format!("{{{{#each {raw}}}}}"),
        };
        self.find(
            "object-as-text",
            format!("{raw} is {instead}{by}: expected {expected}"),
        );
        false
    }

    /// Where the knowledge of a variable comes from, for a sentence.
    fn by(&self, expr: &Expr, scope: &Scope<'_>) -> String {
        let is_own = match expr {
            Expr::Path(path) => {
                let own = path
                    .names
                    .first()
                    .is_some_and(|first| crate::origin::is_own(first));
                own && (path.from == From::Root || self.is_at_root(path, scope))
            }
            _ => false,
        };
        match self.schema.event_type {
            Some(name) if !is_own => format!(" by the schema of {}", echo(name)),
            _ => String::new(),
        }
    }

    fn is_at_root(&self, path: &Path, scope: &Scope<'_>) -> bool {
        let From::Scope(level) = path.from else {
            return false;
        };
        let holder = ancestors(scope).nth(level);
        holder.is_some_and(|holder| {
            holder
                .this
                .is_some_and(|this| std::ptr::eq(this, self.schema.root))
        })
    }

    /// Looks at an expression whose value is used.
    pub(super) fn used(&mut self, expr: &Expr, wanted: Wanted, scope: &Scope<'_>) {
        if let Expr::Call(call) = expr {
            self.called(call, wanted, scope);
        }
        if let Seen::Never(never) = self.see(expr, scope) {
            self.never(expr, &never, wanted);
        }
    }

    fn never(&mut self, expr: &Expr, never: &Never, wanted: Wanted) {
        if !never.is_own && (wanted == Wanted::Maybe || self.guards > 0) {
            return;
        }
        let by = match self.schema.event_type {
            Some(name) if !never.is_own => format!(" by the schema of {}", echo(name)),
            _ => String::new(),
        };
        let sentence = format!("{} never has a value{by}: {}", echo(expr), never.why);
        self.find("unknown-variable", sentence);
    }

    fn called(&mut self, call: &Call, wanted: Wanted, scope: &Scope<'_>) {
        let of_args = match call.helper {
            helper if helper.is_condition() => Wanted::Maybe,
            Helper::Lookup => Wanted::Maybe,
            // An absent list has no items in a condition.
            Helper::Len => wanted,
            _ => Wanted::Present,
        };
        for expr in &call.args {
            self.used(expr, of_args, scope);
        }
        for (_, expr) in &call.named {
            self.used(expr, Wanted::Present, scope);
        }
        match call.helper {
            Helper::T => {
                for (_, expr) in &call.named {
                    self.has_text(expr, scope);
                }
            }
            Helper::Encode | Helper::Url | Helper::Number | Helper::Date | Helper::Money => {
                for (index, expr) in call.args.iter().enumerate() {
                    if self.has_text(expr, scope)
                        && let Some((kinds, expected)) = accepted(call.helper, index)
                        && let Some(schema) = self.see(expr, scope).schema()
                    {
                        self.fits(expr, schema, kinds, expected);
                    }
                }
            }
            Helper::Len => {
                if let Some(schema) = self.see(&call.args[0], scope).schema() {
                    let kinds = ["array", "object", "string", "null"];
                    self.fits(
                        &call.args[0],
                        schema,
                        &kinds,
                        "a list, an object or a text, which have a length",
                    );
                }
            }
            _ => {}
        }
    }

    /// Refuses a value whose kind is none of these.
    pub(super) fn fits(&mut self, expr: &Expr, schema: &Value, kinds: &[&str], expected: &str) {
        if self.guards > 0 {
            return;
        }
        if let Some(found) = self.schema.never_one_of(schema, kinds) {
            let by = self
                .schema
                .event_type
                .map(|name| format!(" by the schema of {}", echo(name)));
            let by = by.unwrap_or_default();
            let sentence = format!("{} is {}{by}: expected {expected}", echo(expr), shown(&found));
            self.find("wrong-kind", sentence);
        }
    }
}

/// The kinds that a parameter of a helper takes, and the words for them.
fn accepted(helper: Helper, index: usize) -> Option<(&'static [&'static str], &'static str)> {
    const NUMBERS: &[&str] = &["number", "integer", "string"];
    Some(match (helper, index) {
        (Helper::Date, 0) => (
            &["string"],
            "a date (2026-11-24) or a time (2026-11-24T10:00:00Z)",
        ),
        (Helper::Date, _) => (&["string"], "a date style: short, long, full, time or datetime"),
        (Helper::Money, 0) => (NUMBERS, "an amount such as 129.90"),
        (Helper::Money, _) => (&["string"], "an ISO 4217 code such as EUR"),
        (Helper::Number, _) => (NUMBERS, "a number"),
        (Helper::Url, _) => (
            &["string"],
            "a link that begins with https://, http://, mailto: or tel:",
        ),
        _ => return None,
    })
}
