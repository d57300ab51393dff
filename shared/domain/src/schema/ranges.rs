//! Bounds that exclude each other.

use serde_json::Value;

use super::facts::{Part, is_nothing};

/// The pointer of a bound, and a sentence.
type Finding = (String, String);

/// The largest whole number that a binary fraction holds exactly with all below it.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A bound, with the pointer of its keyword.
struct Bound<'s> {
    value: &'s Value,
    number: f64,
    /// Whether the bound itself is outside.
    is_open: bool,
    at: String,
}

/// The contradictions between the bounds of a value that fits all parts. `taken` are the kinds of the value, if they
/// are known.
pub(super) fn of(parts: &[Part<'_>], taken: Option<&[&str]>) -> Vec<Finding> {
    let may_be = |kinds: &[&str]| taken.is_none_or(|taken| kinds.iter().any(|kind| taken.contains(kind)));
    let mut found = Vec::new();
    if may_be(&["number", "integer"]) {
        found.extend(of_numbers(parts, taken == Some(&["integer"])));
    }
    for (kind, least, most) in [
        ("string", "minLength", "maxLength"),
        ("array", "minItems", "maxItems"),
        ("object", "minProperties", "maxProperties"),
        ("array", "minContains", "maxContains"),
    ] {
        if !may_be(&[kind]) {
            continue;
        }
        let pair = (greatest(parts, &[least]), smallest(parts, &[most]));
        if let (Some(least_), Some(most_)) = pair
            && least_.number > most_.number
        {
            let sentence = format!(
                "expected at least {}, which is {least}, not {}",
                least_.value, most_.value
            );
            found.push((most_.at, sentence));
        }
    }
    if may_be(&["array"]) {
        found.extend(of_items(parts));
    }
    found
}

fn of_numbers(parts: &[Part<'_>], is_whole: bool) -> Option<Finding> {
    let least = greatest(parts, &["minimum", "exclusiveMinimum"])?;
    let most = smallest(parts, &["maximum", "exclusiveMaximum"])?;
    let is_open = least.is_open || most.is_open;
    let between = |least: &Bound<'_>, most: &Bound<'_>| {
        let above = if is_open { "more than" } else { "at least" };
        let what = most.at.rsplit('/').next().unwrap_or_default().to_owned();
        format!("expected {what} of {above} {}, not {}", least.value, most.value)
    };
    let is_exact = least.number.abs() < EXACT && most.number.abs() < EXACT;
    if least.number > most.number || (is_exact && is_open && least.number >= most.number) {
        return Some((most.at.clone(), between(&least, &most)));
    }
    if !is_exact {
        return None;
    }
    let step = parts
        .iter()
        .filter_map(|part| part.schema.get("multipleOf")?.as_f64())
        .filter(|step| step.fract() == 0.0 && *step >= 1.0)
        .fold(None, |most: Option<f64>, step| {
            Some(most.map_or(step, |most| most.max(step)))
        });
    let step = step.or(is_whole.then_some(1.0))?;
    let mut first = (least.number / step).ceil() * step;
    if least.is_open && first <= least.number {
        first += step;
    }
    let is_out = first > most.number || (most.is_open && first >= most.number);
    let kind = if step > 1.0 {
        format!("a multiple of {step}")
    } else {
        "a whole number".to_owned()
    };
    is_out.then(|| {
        let sentence = format!(
            "expected {kind} between {} and {}: there is none",
            least.value, most.value
        );
        (most.at, sentence)
    })
}

/// Lists that must have more items than they may have.
fn of_items(parts: &[Part<'_>]) -> Option<Finding> {
    let least = greatest(parts, &["minItems"])?;
    let closed = parts.iter().find_map(|part| {
        let prefix = part.schema.get("prefixItems").and_then(Value::as_array);
        let items = part.schema.get("items");
        let (first, rest) = match items {
            Some(Value::Array(first)) => (first.len(), part.schema.get("additionalItems")),
            rest => (prefix.map_or(0, Vec::len), rest),
        };
        rest.is_some_and(is_nothing).then_some(first)
    })?;
    #[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
    let is_out = least.number > closed as f64;
    is_out.then(|| {
        let sentence = format!(
            "expected at most {closed}, as many items as the schema permits, not {}",
            least.value
        );
        (least.at, sentence)
    })
}

/// The greatest of the lower bounds with these keywords.
fn greatest<'s>(parts: &[Part<'s>], keywords: &[&str]) -> Option<Bound<'s>> {
    let exceeds = |a: &Bound<'_>, b: &Bound<'_>| a.number > b.number || (a.is_open && a.number >= b.number);
    bounds(parts, keywords).reduce(|before, bound| if exceeds(&bound, &before) { bound } else { before })
}

/// The smallest of the upper bounds with these keywords.
fn smallest<'s>(parts: &[Part<'s>], keywords: &[&str]) -> Option<Bound<'s>> {
    let undercuts = |a: &Bound<'_>, b: &Bound<'_>| a.number < b.number || (a.is_open && a.number <= b.number);
    bounds(parts, keywords).reduce(|before, bound| if undercuts(&bound, &before) { bound } else { before })
}

fn bounds<'s>(parts: &[Part<'s>], keywords: &[&str]) -> impl Iterator<Item = Bound<'s>> {
    let all = parts
        .iter()
        .flat_map(|part| keywords.iter().map(move |keyword| (part, *keyword)));
    let found = all.filter_map(|(part, keyword)| {
        let value = part.schema.get(keyword)?;
        // Draft 4 writes an open bound as `"exclusiveMinimum": true` beside `minimum`.
        let flag = match keyword {
            "minimum" => "exclusiveMinimum",
            "maximum" => "exclusiveMaximum",
            _ => "",
        };
        let is_flagged = part.schema.get(flag) == Some(&Value::Bool(true));
        Some(Bound {
            value,
            number: value.as_f64()?,
            is_open: keyword.starts_with("exclusive") || is_flagged,
            at: format!("{}/{keyword}", part.at),
        })
    });
    found.collect::<Vec<_>>().into_iter()
}
