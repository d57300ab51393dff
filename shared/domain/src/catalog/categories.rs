//! The rules of categories that reading them does not check.

use std::collections::BTreeMap;

use super::{Catalog, CategoryDef, ChannelMode, EventTypeDef, Overflow, digests, limits};
use crate::{
    field_error::{FieldError, escape_token, is_full, quoted},
    locale,
};

/// The longest title of a category, in characters.
const MAX_TITLE: usize = 60;

/// Checks a category at a pointer, and whether its types allow its settings.
pub(super) fn validate(
    catalog: &Catalog,
    name: &str,
    def: &CategoryDef,
    at: &str,
    errors: &mut Vec<FieldError>,
) {
    validate_title(&def.title, at, errors);
    for (index, limit) in def.limits.iter().enumerate() {
        limits::validate(limit, &format!("{at}/limits/{index}"), errors);
    }
    if def.overflow == Overflow::Downgrade {
        validate_downgrade(catalog, name, errors);
    }
    digests::validate(catalog, name, def, at, errors);
}

fn validate_title(title: &BTreeMap<String, String>, at: &str, errors: &mut Vec<FieldError>) {
    for (tag, text) in title {
        let at = format!("{at}/title/{}", escape_token(tag));
        if let Err(wrong) = locale::parse(tag) {
            errors.push(FieldError::new(
                at,
                "format",
                format!("{wrong}, not {}", quoted(tag)),
            ));
        } else if text.trim().is_empty()
            || text.chars().count() > MAX_TITLE
            || text.chars().any(char::is_control)
        {
            let expected = format!(
                "expected 1 to {MAX_TITLE} characters without control characters, not {}",
                quoted(text)
            );
            errors.push(FieldError::new(at, "format", expected));
        }
    }
}

/// Checks that each type of a category whose overflow is `downgrade` has a next channel. Limits do not apply to critical
/// types.
fn validate_downgrade(catalog: &Catalog, category: &str, errors: &mut Vec<FieldError>) {
    let has_next = |def: &EventTypeDef| {
        def.critical || (def.channels.mode == ChannelMode::Fallback && def.channels.order.len() > 1)
    };
    let of_category = catalog.types.iter().filter(|(_, def)| def.category == category);
    for (name, _) in of_category.filter(|(_, def)| !has_next(def)) {
        if is_full(errors) {
            return;
        }
        let expected = format!(
            "expected mode fallback and at least two channels, because the overflow of the category {} is downgrade",
            quoted(category)
        );
        let at = format!("/types/{}/channels", escape_token(name));
        errors.push(FieldError::new(at, "downgrade", expected));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors(catalog: &serde_json::Value) -> Vec<String> {
        let catalog: Catalog = serde_json::from_value(catalog.clone()).unwrap();
        catalog.validate().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_limit_of_nothing_is_refused_with_field_and_value() {
        let limits =
            json!([{"channel": "email", "max": 0, "per": "1h"}, {"channel": "email", "max": 1, "per": "0s"}]);
        assert_eq!(
            errors(&json!({"categories": {"c": {"limits": limits}}})),
            [
                "/categories/c/limits/0/max: expected at least 1 message, not 0",
                "/categories/c/limits/1/per: expected a period longer than 0s, not 0ms",
            ]
        );
    }

    #[test]
    fn an_unknown_overflow_is_refused_with_the_known_ones() {
        let error = serde_json::from_value::<CategoryDef>(json!({"overflow": "queue"})).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("unknown variant `queue`, expected one of `drop`, `defer`"),
            "{error}"
        );
    }

    #[test]
    fn a_downgrade_needs_a_next_channel_in_each_type_of_the_category() {
        let of = |mode: &str, order: &[&str], critical: bool| json!({"category": "c", "critical": critical, "channels": {"mode": mode, "order": order}});
        let catalog = json!({"categories": {"c": {"overflow": "downgrade"}}, "types": {
            "Fine": of("fallback", &["push", "email"], false),
            "Code": of("fanout", &["sms"], true),
            "All": of("fanout", &["push", "email"], false),
            "One": of("fallback", &["email"], false)}});
        let expected = "expected mode fallback and at least two channels, because the overflow of the category \"c\" is downgrade";
        assert_eq!(
            errors(&catalog),
            [
                format!("/types/All/channels: {expected}"),
                format!("/types/One/channels: {expected}"),
            ]
        );
    }
}
