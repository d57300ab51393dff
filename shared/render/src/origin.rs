//! The place of a variable or a value in the event, as an RFC 6901 pointer.

use carillon_domain::{field_error::escape_token, json::Value};

/// The variables that Carillon sets itself. They come before fields of the data with these names.
const OWN: [&str; 6] = [
    "event",
    "delivery",
    "user",
    "locale",
    "timezone",
    "unsubscribe_url",
];
/// The longest pointer, in bytes. Names in data and templates may be longer than an error should be.
const MAX_POINTER: usize = 250;

/// Whether Carillon sets the variable itself, so that an event cannot contain it.
pub(crate) fn is_own(name: &str) -> bool {
    OWN.contains(&name)
}

/// The pointer of a path below the root of a template's variables; `None` outside of the event's data, and for
/// a pointer that would be too long.
pub(crate) fn pointer<'n>(path: impl Iterator<Item = &'n str> + Clone) -> Option<String> {
    let mut names = path.clone();
    let first = names.next()?;
    if is_own(first) {
        return None;
    }
    let in_data = if first == "data" { names } else { path };
    let pointer = in_data.fold("/data".to_owned(), |pointer, name| {
        format!("{pointer}/{}", escape_token(name))
    });
    (pointer.len() <= MAX_POINTER).then_some(pointer)
}

/// The pointer of a value that is a part of `root`; `None` for any other value, such as a literal of the
/// template, even if an equal one is in the data.
pub(crate) fn pointer_to(value: &Value, root: &Value) -> Option<String> {
    let path = path_to(value, root)?;
    pointer(path.iter().rev().map(String::as_str))
}

/// The names and indices that lead to a value, the innermost first. A value is recognised by its address.
fn path_to(value: &Value, within: &Value) -> Option<Vec<String>> {
    if std::ptr::eq(value, within) {
        return Some(Vec::new());
    }
    let below = |token: &dyn ToString, item: &Value| {
        let mut path = path_to(value, item)?;
        path.push(token.to_string());
        Some(path)
    };
    match within {
        Value::Array(list) => list
            .iter()
            .enumerate()
            .find_map(|(index, item)| below(&index, item)),
        Value::Object(fields) => fields.iter().find_map(|(name, item)| below(name, item)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_of_the_data_has_a_pointer_and_an_equal_one_elsewhere_has_none() {
        let root = Value::from(json!({"a/b": [{"x": 1}, {"x": 1}], "data": {"y": 1}, "user": {"id": "u"}}));
        let Value::Object(fields) = &root else {
            unreachable!()
        };
        let at = |value: &Value| pointer_to(value, &root);
        let Value::Array(list) = &fields["a/b"] else {
            unreachable!()
        };
        let Value::Object(second) = &list[1] else {
            unreachable!()
        };
        assert_eq!(at(&second["x"]).as_deref(), Some("/data/a~1b/1/x"));
        let Value::Object(data) = &fields["data"] else {
            unreachable!()
        };
        assert_eq!(at(&data["y"]).as_deref(), Some("/data/y"));
        let Value::Object(user) = &fields["user"] else {
            unreachable!()
        };
        assert_eq!(at(&user["id"]), None);
        assert_eq!(at(&Value::from(json!(1))), None);
    }
}
