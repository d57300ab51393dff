//! The rules that were applied, as JSON. It is written once by the router and passed on unparsed until a client reads
//! it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, ser::SerializeMap as _};
use serde_json::{Value, value::RawValue};

/// A rule that was applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step<I = Value> {
    /// The name of the rule.
    pub rule: Cow<'static, str>,
    /// `pass`, `skip`, `stop` or `wait`.
    pub result: Cow<'static, str>,
    /// The inputs of the rule.
    pub inputs: I,
}

/// Steps in order: a JSON list of [`Step`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Steps(Box<RawValue>);

/// Steps that are being written.
#[derive(Debug)]
pub(super) struct Notes(Vec<u8>);

/// An input with its name.
pub(super) struct Input<T>(pub(super) &'static str, pub(super) T);

impl Steps {
    /// The steps as values; empty if this version cannot read them.
    #[must_use]
    pub fn list(&self) -> Vec<Step> {
        serde_json::from_str(self.0.get()).unwrap_or_default()
    }

    /// Appends a step.
    pub(super) fn note(&mut self, rule: &'static str, result: &'static str, inputs: &impl Serialize) {
        let text = self.0.get().trim_end();
        let mut notes = Notes(text.strip_suffix(']').unwrap_or("[").trim_end().into());
        notes.note(rule, result, inputs);
        *self = notes.end();
    }
}

impl Default for Steps {
    fn default() -> Self {
        Notes::begin().end()
    }
}

impl PartialEq for Steps {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Notes {
    pub(super) fn begin() -> Self {
        let mut json = Vec::with_capacity(384);
        json.push(b'[');
        Self(json)
    }

    #[expect(
        clippy::expect_used,
        reason = "names, numbers, words and times always serialise"
    )]
    pub(super) fn note(&mut self, rule: &'static str, result: &'static str, inputs: &impl Serialize) {
        let step = Step {
            rule: Cow::Borrowed(rule),
            result: Cow::Borrowed(result),
            inputs,
        };
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        serde_json::to_writer(&mut self.0, &step).expect("a step serialises");
    }

    #[expect(clippy::expect_used, reason = "a list of steps is JSON")]
    pub(super) fn end(mut self) -> Steps {
        self.0.push(b']');
        let json = String::from_utf8(self.0).expect("JSON is UTF-8");
        Steps(RawValue::from_string(json).expect("steps are JSON"))
    }
}

impl<T: Serialize> Serialize for Input<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, &self.1)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn steps_are_written_as_a_list_and_later_ones_are_appended() {
        assert_eq!(serde_json::to_string(&Steps::default()).unwrap(), "[]");
        let mut notes = Notes::begin();
        notes.note("address", "pass", &Input("addresses", 1));
        let mut steps = notes.end();
        steps.note("limit", "stop", &Input("max", 2));
        let told = json!([
            {"rule": "address", "result": "pass", "inputs": {"addresses": 1}},
            {"rule": "limit", "result": "stop", "inputs": {"max": 2}},
        ]);
        assert_eq!(serde_json::to_value(&steps).unwrap(), told);
        let mut read: Steps = serde_json::from_str(&format!("{told:#}")).unwrap();
        assert_eq!(read.list(), steps.list());
        read.note("more", "skip", &json!({}));
        assert_eq!(read.list().len(), 3);
        let mut none: Steps = serde_json::from_str(" [ ] ").unwrap();
        none.note("limit", "pass", &json!({}));
        assert_eq!(none.list()[0].rule, "limit");
    }

    #[test]
    fn steps_of_another_version_are_passed_on_unread() {
        let steps: Steps = serde_json::from_str(r#"[{"since": "v9"}]"#).unwrap();
        assert!(steps.list().is_empty());
        assert_eq!(serde_json::to_string(&steps).unwrap(), r#"[{"since": "v9"}]"#);
    }
}
