//! Reading a fault script.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use super::problem::Problem;
use crate::faults::{Fault, InvalidField};

/// Reads a script of faults. The error names the place of a wrong value, the value, and the expected value.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Fault>, Problem> {
    read(body)
}

/// Reads a document of the API. Errors are like those of a script.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let script: Value = serde_json::from_slice(body).map_err(|error| Problem::MalformedJson {
        line: error.line(),
        column: error.column(),
    })?;
    serde_path_to_error::deserialize(&script).map_err(|error| {
        let text = error.inner().to_string();
        Problem::Validation(vec![invalid(pointer(error.path()), &text, &script)])
    })
}

/// An error of serde about a value, in the terms of JSON. serde's errors have no codes of their own.
fn invalid(pointer: String, text: &str, script: &Value) -> InvalidField {
    let expected = text
        .rsplit_once(", expected ")
        .map_or(text, |(_, expected)| expected);
    let expected = expected.replace('`', "");
    if let Some(name) = text.strip_prefix("missing field `") {
        let name = name.trim_end_matches('`');
        return InvalidField {
            pointer: format!("{pointer}/{name}"),
            code: "required",
            message: format!("expected the field {name}"),
        };
    }
    if text.starts_with("unknown field `") {
        return InvalidField {
            pointer,
            code: "unknown-field",
            message: format!("there is no such field; expected {expected}"),
        };
    }
    let expected = match &*expected {
        "a sequence" => r#"a list of rules, such as [{"provider": "fcm", "percent": 10, "status": 503}]"#,
        "struct Fault" => r#"a rule, such as {"provider": "fcm", "percent": 10, "status": 503}"#,
        "struct Reply" => {
            r#"a message, such as {"from": "+4915112345678", "to": "+15005550006", "text": "STOP"}"#
        }
        "a string" => "a text",
        "f64" => "a number",
        "u16" | "u64" => "a whole number that is not negative",
        "a boolean" => "true or false",
        other => other,
    };
    let value = script.pointer(&pointer).unwrap_or(script);
    InvalidField::new(pointer, "malformed", expected, value)
}

/// The path as a JSON pointer (RFC 6901).
fn pointer(path: &Path) -> String {
    path.iter()
        .map_while(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            // JSON has no member for an enum's variant, so the pointer ends at the whole value.
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: &str) -> String {
        match parse(body.as_bytes()) {
            Err(Problem::Validation(fields)) => format!("{}: {}", fields[0].pointer, fields[0].message),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_script_that_cannot_be_read_is_refused_with_place_value_and_the_expected_value() {
        let begins = |body: &str, says: &str| {
            let said = told(body);
            assert!(said.starts_with(says), "{body}: {said}");
        };
        begins(
            r#"{"provider": "fcm"}"#,
            r#": expected a list of rules, such as [{"provider": "fcm", "percent": 10, "status": 503}], not {"provider":"fcm"}"#,
        );
        begins(r#"["fcm"]"#, r#"/0: expected a rule, such as {"provider": "fcm""#);
        begins(r#"[{"status": 500}]"#, "/0/provider: expected the field provider");
        begins(
            r#"[{"provider": "fax"}]"#,
            "/0/provider: expected one of fcm, apns, twilio, smtp, sendgrid, ses, webhook, *, not \"fax\"",
        );
        begins(
            r#"[{"provider": "fcm", "status": 500}, {"provider": "fcm", "colour": 1}]"#,
            "/1/colour: there is no such field; expected one of provider, percent, to,",
        );
        begins(
            r#"[{"provider": "fcm", "percent": "10"}]"#,
            "/0/percent: expected a number, not \"10\"",
        );
        begins(
            r#"[{"provider": "fcm", "status": -1}]"#,
            "/0/status: expected a whole number that is not negative, not -1",
        );
        begins(
            r#"[{"provider": "fcm", "code": true}]"#,
            "/0/code: expected a text or a number, not true",
        );
        begins(
            r#"[{"provider": "fcm", "action": "explode"}]"#,
            "/0/action: expected one of answer, hang, reset, goaway, not \"explode\"",
        );
        begins("[\n{", "Err(MalformedJson { line: 2, column: 1 }");
        let long = told(&format!(r#"[{{"provider": "{}"}}]"#, "x".repeat(1_000)));
        assert!(long.chars().count() < 250, "{long}");
    }

    #[test]
    fn the_script_of_the_manual_is_valid_and_its_table_has_every_field() {
        let manual = include_str!("../../../../docs/simulator.md");
        let (_, script) = manual.split_once("-d '").unwrap();
        let (script, _) = script.split_once('\'').unwrap();
        let rules = parse(script.as_bytes()).unwrap();
        assert_eq!(rules.len(), 3);
        crate::faults::Faults::none().replace(rules, None).unwrap();
        let Err(Problem::Validation(unknown)) = parse(br#"[{"provider": "fcm", "x": 1}]"#) else {
            panic!("an unknown field is refused")
        };
        let (_, fields) = unknown[0].message.split_once("one of ").unwrap();
        for field in fields.split(", ") {
            assert!(manual.contains(&format!("\n| `{field}` |")), "{field}");
        }
    }
}
