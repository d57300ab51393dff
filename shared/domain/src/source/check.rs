//! The check of a catalog's sources.

use indexmap::IndexMap;

use super::def::{SourceData, SourceDef, SourceFormat, SourceRecipient, SourceRule, SourceType};
use crate::{
    field_error::{FieldError, escape_token, is_full, quoted},
    mask::place::is_pointer,
};

/// The longest name of a topic, in bytes, as Kafka has it.
const MAX_TOPIC: usize = 249;

/// Checks the sources of a catalog whose types `is_type` knows. Pointers of errors begin with `/sources`.
pub(crate) fn check(
    sources: &IndexMap<String, SourceDef>,
    is_type: &dyn Fn(&str) -> bool,
    errors: &mut Vec<FieldError>,
) {
    for (topic, def) in sources {
        if is_full(errors) {
            return;
        }
        let at = format!("/sources/{}", escape_token(topic));
        if !is_topic(topic) {
            let expected = format!(
                "expected the name of a topic, 1 to {MAX_TOPIC} letters, digits, '.', '_' and '-', not {}",
                quoted(topic)
            );
            errors.push(FieldError::new(&at, "format", expected));
        }
        if def.rules.is_empty() {
            let expected = "expected at least one rule";
            errors.push(FieldError::new(format!("{at}/rules"), "required", expected));
        }
        for (index, rule) in def.rules.iter().enumerate() {
            let at = format!("{at}/rules/{index}");
            let earlier = def.rules[..index]
                .iter()
                .position(|other| other.event_type == rule.event_type && other.when == rule.when);
            if let Some(earlier) = earlier {
                let expected = format!(
                    "expected another type or condition than those of rule {earlier}, which makes an event of the same records"
                );
                errors.push(FieldError::new(&at, "duplicate", expected));
            }
            check_rule(rule, def.format, &at, is_type, errors);
        }
    }
}

/// Whether Kafka takes this name for a topic.
#[must_use]
pub fn is_topic(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= MAX_TOPIC && name.chars().all(fits) && name != "." && name != ".."
}

fn check_rule(
    rule: &SourceRule,
    format: SourceFormat,
    at: &str,
    is_type: &dyn Fn(&str) -> bool,
    errors: &mut Vec<FieldError>,
) {
    check_type(&rule.event_type, at, is_type, errors);
    check_condition(rule, format, at, errors);
    let mut pointer =
        |place: &str, pointer: &str| check_pointer(format!("{at}/{place}"), pointer, format, errors);
    if let Some(id) = &rule.id {
        pointer("id", id);
    }
    if let Some(time) = &rule.time {
        pointer("time", time);
    }
    match &rule.data {
        Some(SourceData::Whole(whole)) => pointer("data", whole),
        Some(SourceData::Fields(fields)) => {
            for (name, place) in fields {
                pointer(&format!("data/{}", escape_token(name)), place);
            }
        }
        None => {}
    }
    for (index, recipient) in rule.recipients.iter().enumerate() {
        match recipient {
            SourceRecipient::Pointer(place) => pointer(&format!("recipients/{index}"), place),
            SourceRecipient::Fields(fields) => {
                for (name, place) in fields.fields() {
                    pointer(&format!("recipients/{index}/{name}"), place);
                }
            }
        }
    }
    for (index, recipient) in rule.recipients.iter().enumerate() {
        if let SourceRecipient::Fields(fields) = recipient
            && !fields.names_someone()
        {
            let expected = "expected a pointer to a user_id, or to an email or phone";
            errors.push(FieldError::new(
                format!("{at}/recipients/{index}"),
                "required",
                expected,
            ));
        }
    }
}

fn check_type(
    event_type: &SourceType,
    at: &str,
    is_type: &dyn Fn(&str) -> bool,
    errors: &mut Vec<FieldError>,
) {
    let mut known = |place: String, name: &str| {
        if !is_type(name) {
            let expected = format!("expected an event type of this catalog, not {}", quoted(name));
            errors.push(FieldError::new(place, "unknown", expected));
        }
    };
    match event_type {
        SourceType::Constant(name) => known(format!("{at}/type"), name),
        SourceType::Mapped(mapped) => {
            for (value, name) in &mapped.map {
                known(format!("{at}/type/map/{}", escape_token(value)), name);
            }
            if mapped.map.is_empty() {
                let expected = "expected at least one value with its event type";
                errors.push(FieldError::new(format!("{at}/type/map"), "required", expected));
            }
            if !is_pointer(&mapped.from) {
                let expected = not_a_pointer(&mapped.from);
                errors.push(FieldError::new(format!("{at}/type/from"), "format", expected));
            }
        }
    }
}

fn check_condition(rule: &SourceRule, format: SourceFormat, at: &str, errors: &mut Vec<FieldError>) {
    let when = &rule.when;
    let at = format!("{at}/when");
    let has_condition = !when.op.is_empty() || when.field.is_some() || !when.becomes.is_empty();
    if format == SourceFormat::Outbox {
        if has_condition {
            let expected =
                "expected no condition on rows: an outbox has events, which type.from and type.map select";
            errors.push(FieldError::new(at, "unsupported", expected));
        }
        return;
    }
    if let Some(index) = (1..when.op.len()).find(|index| when.op[..*index].contains(&when.op[*index])) {
        let expected = format!("expected each kind of change once, not {} again", when.op[index]);
        errors.push(FieldError::new(format!("{at}/op/{index}"), "duplicate", expected));
    }
    match &when.field {
        Some(field) if !is_pointer(field) => {
            let expected = format!(
                "expected a JSON pointer into the row, such as /status, not {}",
                quoted(field)
            );
            errors.push(FieldError::new(format!("{at}/field"), "format", expected));
        }
        Some(field) if ["/before/", "/after/"].iter().any(|row| field.starts_with(row)) => {
            let expected = format!(
                "expected a JSON pointer into the row, such as /status, without /before or /after, not {}",
                quoted(field)
            );
            errors.push(FieldError::new(format!("{at}/field"), "format", expected));
        }
        None if !when.becomes.is_empty() => {
            let expected = "expected the field that becomes these values, such as /status";
            errors.push(FieldError::new(format!("{at}/field"), "required", expected));
        }
        _ => {}
    }
    for (index, value) in when.becomes.iter().enumerate() {
        if value.is_object() || value.is_array() {
            let expected = "expected a text, a number, a boolean or null";
            errors.push(FieldError::new(format!("{at}/becomes/{index}"), "type", expected));
        }
    }
}

/// Checks a pointer into the record's document, which has only certain members.
fn check_pointer(at: String, pointer: &str, format: SourceFormat, errors: &mut Vec<FieldError>) {
    if !is_pointer(pointer) {
        errors.push(FieldError::new(at, "format", not_a_pointer(pointer)));
        return;
    }
    let members: &[&str] = match format {
        SourceFormat::Debezium => &[
            "after", "before", "headers", "key", "op", "source", "ts_ms", "ts_us", "ts_ns",
        ],
        SourceFormat::Outbox => &["headers", "key", "payload"],
    };
    let first = pointer.split('/').nth(1).unwrap_or_default();
    if !members.contains(&first) {
        let expected = format!(
            "expected a JSON pointer that begins with one of /{}, not {}",
            members.join(", /"),
            quoted(pointer)
        );
        errors.push(FieldError::new(at, "unknown", expected));
    }
}

fn not_a_pointer(text: &str) -> String {
    format!(
        "expected a JSON pointer such as /after/customer_id, not {}",
        quoted(text)
    )
}
