//! The reasons for missing variables: where they were looked up, and their spelling if they exist further out.

use carillon_domain::field_error::echo;

use super::{
    program::{Expr, From, Path},
    scope::{Kind, Scope, ancestor, find, given},
};
use crate::{
    fault::Fault,
    origin::{is_own, pointer},
};

/// The fault of an expression that has no value in a scope.
pub(super) fn lack(expr: &Expr, scope: &Scope<'_>) -> Fault {
    let (why, at) = match expr {
        Expr::Path(path) => match path.from {
            From::Root => of_the_event(&path.names),
            From::Round(level) => {
                let mut around = std::iter::successors(Some(scope), |scope| scope.up);
                let is_in_loop = around.any(|scope| scope.round.is_some());
                (of_the_loop(level, &path.names, is_in_loop), None)
            }
            From::Scope(level) => of_a_scope(path, level, scope),
        },
        _ => ("which finds nothing".to_owned(), None),
    };
    Fault::Missing {
        variable: echo(expr),
        why,
        at,
    }
}

fn of_the_event(names: &[String]) -> (String, Option<String>) {
    let why = if names.first().is_some_and(|first| is_own(first)) {
        "which this message does not have"
    } else {
        "which the event does not carry"
    };
    (why.to_owned(), pointer(names.iter().map(String::as_str)))
}

/// The reason for a missing variable of a loop; `is_in_loop` is whether any loop is around it.
pub(super) fn of_the_loop(level: usize, names: &[String], is_in_loop: bool) -> String {
    match names {
        [name] if matches!(name.as_str(), "index" | "first" | "last" | "key") => match name.as_str() {
            name if level > 0 && is_in_loop => {
                format!("which reaches further out than the loops around it; write @{name} or fewer ../")
            }
            "key" => "which is set only in a loop over an object".to_owned(),
            _ => "which is set only inside {{#each}}".to_owned(),
        },
        _ => "which is not a variable of a loop: those are @index, @first, @last and @key".to_owned(),
    }
}

fn of_a_scope(path: &Path, level: usize, scope: &Scope<'_>) -> (String, Option<String>) {
    if let Some(first) = path
        .names
        .first()
        .filter(|first| given(level, first, scope).is_some())
    {
        return (format!("which is not in {}", echo(first)), None);
    }
    let Some(holder) = ancestor(scope, level) else {
        let why = "which reaches further out than the event's data; write fewer ../";
        return (why.to_owned(), None);
    };
    let holder = std::iter::successors(Some(holder), |scope| scope.up)
        .map(|scope| scope.kind)
        .find(|kind| !matches!(kind, Kind::Same));
    let place = match holder {
        Some(Kind::Item(list)) => format!("the item of {}", echo(list)),
        Some(Kind::Value(value)) => echo(value),
        _ => return of_the_event(&path.names),
    };
    let why = match further_out(path, level, scope) {
        Some(instead) => format!("which is not in {place}; write {instead}"),
        None => format!("which is not in {place}"),
    };
    (why, None)
}

/// The spelling of a variable that exists in a scope further out.
fn further_out(path: &Path, level: usize, scope: &Scope<'_>) -> Option<String> {
    let mut rest = path.raw.as_str();
    while let Some(stripped) = ["../", "./", "this.", "this/"]
        .iter()
        .find_map(|start| rest.strip_prefix(start))
    {
        rest = stripped;
    }
    let mut level = level + 1;
    while let Some(outer) = ancestor(scope, level) {
        if find(level, &path.names, scope).is_some() {
            let climbs = format!("{}{}", "../".repeat(level), echo(rest));
            return Some(match outer.up {
                None => format!("{climbs} or @root.{}", echo(rest)),
                Some(_) => climbs,
            });
        }
        level += 1;
    }
    None
}
