//! Judges a single expression of a template. The use of the expression determines the values that it may have.

use carillon_domain::field_error::echo;
use serde_json::Value;

use super::{Shapes, scope::Scope};
use crate::engine::{
    made::is_own,
    program::{Call, Expr, Helper},
    readings::Reading,
    schemas::{Inferred, Never},
};

/// Whether the use of a value requires that it is present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// The value may be absent, as in a condition.
    Optional,
    /// An absent value is an error.
    Required,
}

impl<'e> Shapes<'e> {
    fn find(&mut self, code: &'static str, sentence: String) {
        self.found.push((self.line, code, sentence));
    }

    /// Looks at an expression that decides between blocks. Returns whether it mentions a variable that the schema
    /// does not have.
    pub(super) fn tested(&mut self, expr: &Expr, scope: &Scope<'_>) -> bool {
        self.used(expr, Presence::Optional, scope);
        self.mentions_unknown(expr, scope)
    }

    fn mentions_unknown(&self, expr: &Expr, scope: &Scope<'_>) -> bool {
        match expr {
            Expr::Literal(_) => false,
            Expr::Path(path) => {
                matches!(self.look_up(path, scope), Inferred::Never(never) if never.may_be_asked)
            }
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
    pub(super) fn subject<'s>(&mut self, expr: &Expr, has_else: bool, scope: &Scope<'s>) -> Inferred<'s>
    where
        'e: 's,
    {
        let presence = if has_else {
            Presence::Optional
        } else {
            Presence::Required
        };
        self.used(expr, presence, scope);
        self.see(expr, scope)
    }

    /// Looks at an expression whose value is written.
    pub(super) fn written(&mut self, expr: &Expr, scope: &Scope<'_>) {
        self.used(expr, Presence::Required, scope);
        self.has_text(expr, scope);
    }

    /// Refuses a value that is an object, or a list of objects: it has no text.
    fn has_text(&mut self, expr: &Expr, scope: &Scope<'_>) -> bool {
        let Some(schema) = self.see(expr, scope).schema() else {
            return true;
        };
        // The whole data is an object, whether its schema says so or not.
        let instead = if self.schema.is_data(schema) || self.schema.is_object(schema) {
            "an object"
        } else if self.schema.is_list_of_objects(schema) {
            "a list of objects"
        } else {
            return true;
        };
        let (raw, by) = (echo(expr), self.by(schema));
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

    /// Where the knowledge of a value comes from, for a sentence.
    fn by(&self, schema: &Value) -> String {
        match self.schema.event_type {
            Some(name) if !is_own(schema) => format!(" by the schema of {}", echo(name)),
            _ => String::new(),
        }
    }

    /// Looks at an expression whose value is used.
    pub(super) fn used(&mut self, expr: &Expr, presence: Presence, scope: &Scope<'_>) {
        if let Expr::Call(call) = expr {
            self.called(call, presence, scope);
        }
        if let Inferred::Never(never) = self.see(expr, scope) {
            self.never(expr, &never, presence);
        }
    }

    fn never(&mut self, expr: &Expr, never: &Never, presence: Presence) {
        if never.may_be_asked && (presence == Presence::Optional || self.guards > 0) {
            return;
        }
        let by = match self.schema.event_type {
            Some(name) if !never.is_own => format!(" by the schema of {}", echo(name)),
            _ => String::new(),
        };
        let sentence = format!("{} never has a value{by}: {}", echo(expr), never.why);
        self.find("unknown-variable", sentence);
    }

    fn called(&mut self, call: &Call, presence: Presence, scope: &Scope<'_>) {
        let of_args = match call.helper {
            helper if helper.is_condition() => Presence::Optional,
            Helper::Lookup => Presence::Optional,
            // An absent list has no items in a condition.
            Helper::Len => presence,
            _ => Presence::Required,
        };
        for expr in &call.args {
            self.used(expr, of_args, scope);
        }
        for (_, expr) in &call.named {
            self.used(expr, Presence::Required, scope);
        }
        for (_, expr) in &call.named {
            if call.helper == Helper::T {
                self.has_text(expr, scope);
            }
        }
        self.passed(call, scope);
        let style = match call.args.get(1) {
            Some(Expr::Literal(style)) => style.as_str(),
            _ => None,
        };
        for (index, expr) in call.args.iter().enumerate() {
            let has_text = match call.helper {
                Helper::Encode | Helper::Url | Helper::Number | Helper::Date | Helper::Money => {
                    self.has_text(expr, scope)
                }
                _ => true,
            };
            // In a condition, the length of null is 0.
            let may_be_null = call.helper == Helper::Len && presence == Presence::Optional;
            if has_text
                && !(may_be_null && self.may_be_null(expr, scope))
                && let Some(reading) = Reading::of(call.helper, index, style)
            {
                self.read(expr, reading, scope);
            }
        }
    }

    fn may_be_null(&self, expr: &Expr, scope: &Scope<'_>) -> bool {
        let kinds = self
            .see(expr, scope)
            .schema()
            .and_then(|schema| self.schema.kinds(schema));
        // A schema that names no kinds may take null.
        kinds.is_none_or(|kinds| kinds.contains(&"null"))
    }

    /// Refuses the place of a block where none is given.
    pub(super) fn without_block(&mut self) {
        let sentence = if self.is_in_partial {
            "expected the partial to be included with a block: {{#> …}}"
        } else {
            "expected {{> @partial-block}} only in a partial, which is included with a block"
        };
        self.find("misused-partial", sentence.to_owned());
    }

    /// Looks at the values that a text is given, which it may format as numbers and dates.
    fn passed(&mut self, call: &Call, scope: &Scope<'_>) {
        let (Helper::T, Some(Expr::Literal(key))) = (call.helper, call.args.first()) else {
            return;
        };
        let Some(key) = key.as_str() else { return };
        for (name, reading) in (self.readings)(key) {
            if let Some((_, expr)) = call.named.iter().find(|(given, _)| *given == name) {
                self.read(expr, reading, scope);
            }
        }
    }

    /// Refuses a value from which `reading` can never be read.
    pub(super) fn read(&mut self, expr: &Expr, reading: Reading, scope: &Scope<'_>) {
        // Literals are executed; see `literals`.
        if matches!(expr, Expr::Literal(_)) {
            return;
        }
        let Some(schema) = self.see(expr, scope).schema() else {
            return;
        };
        if self.guards > 0 && !is_own(schema) {
            return;
        }
        if let Some(found) = self.schema.unreadable(schema, reading) {
            let (raw, by, expected) = (echo(expr), self.by(schema), reading.expected());
            self.find("wrong-kind", format!("{raw} is {found}{by}: expected {expected}"));
        }
    }
}
