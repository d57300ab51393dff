//! The rules of a source, as the catalog has them.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use indexmap::IndexMap;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;
use strum::{Display, IntoStaticStr};

/// The rules for the records of one topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceDef {
    /// The form of the records.
    #[serde(default, skip_serializing_if = "SourceFormat::is_default")]
    pub format: SourceFormat,
    /// The rules. A record becomes one event for each rule that applies to it.
    pub rules: Vec<SourceRule>,
}

/// The form of a source's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Display, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum SourceFormat {
    /// Debezium's envelopes: `before`, `after` and `op`, with or without a schema beside them.
    #[default]
    Debezium,
    /// Records of Debezium's outbox event router: the payload as value, the event's id and type in headers.
    Outbox,
}

impl SourceFormat {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A rule that makes an event of a record. JSON pointers are into the record's document, which [`super::convert`]
/// describes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceRule {
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: SourceType,
    /// The changes of rows for which the rule applies.
    #[serde(default, skip_serializing_if = "SourceCondition::is_default")]
    pub when: SourceCondition,
    /// A pointer to the value by which the event is recognised; absent: the position of the change in the database's log, or
    /// the id of the outbox's event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The recipients. Absent: the places that the type names, as for any event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<SourceRecipient>,
    /// The event's data; absent: the row after the change, or the outbox's payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<SourceData>,
    /// A pointer to the event's time; absent: the time of the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

/// The type of a rule's events: a name of the catalog, or one for each value at a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum SourceType {
    /// The name of a type.
    Constant(String),
    /// A value of the record that determines the type.
    Mapped(MappedType),
}

/// A place and the types that its values stand for. The rule does not apply to other values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappedType {
    /// The pointer.
    pub from: String,
    /// The names of types by value.
    pub map: IndexMap<String, String>,
}

/// The changes of rows for which a rule applies. Without fields: rows that were created or updated.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceCondition {
    /// The kinds of change; absent: `create` and `update`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "at_least_one")]
    pub op: Vec<RowOp>,
    /// A pointer into the row, to a field that has to have changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The values of which the field has to have one after the change; absent: any.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub becomes: Vec<Value>,
}

impl SourceCondition {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The kind of a row's change.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Display, IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum RowOp {
    /// The row is new.
    Create,
    /// The row existed before.
    Update,
    /// The row was there when a snapshot was taken.
    Read,
}

/// A recipient of a rule's events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum SourceRecipient {
    /// A pointer to a user id, a recipient object, or a list of these.
    Pointer(String),
    /// A recipient whose fields lie at several places.
    Fields(RecipientPointers),
}

/// Pointers to the fields of a recipient.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecipientPointers {
    /// To the id of a known user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// To a guest's e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// To a guest's phone number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// To a locale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// To a timezone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
}

impl RecipientPointers {
    /// The names of the fields with their pointers.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("user_id", &self.user_id),
            ("email", &self.email),
            ("phone", &self.phone),
            ("locale", &self.locale),
            ("timezone", &self.timezone),
        ];
        all.into_iter()
            .filter_map(|(name, pointer)| Some((name, pointer.as_deref()?)))
    }

    /// Whether a user or an address is among the fields.
    pub(super) fn names_someone(&self) -> bool {
        self.user_id.is_some() || self.email.is_some() || self.phone.is_some()
    }
}

/// The data of a rule's events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum SourceData {
    /// A pointer to an object, such as the whole row.
    Whole(String),
    /// Pointers by the names of fields.
    Fields(BTreeMap<String, String>),
}

impl<'de> Deserialize<'de> for SourceType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "the name of an event type, or an object of from and map";
        text_or_object(deserializer, EXPECTED, Self::Constant, Self::Mapped)
    }
}

impl<'de> Deserialize<'de> for SourceRecipient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "a JSON pointer such as /after/customer_id, or an object of JSON pointers";
        text_or_object(deserializer, EXPECTED, Self::Pointer, Self::Fields)
    }
}

impl<'de> Deserialize<'de> for SourceData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "a JSON pointer to an object such as /after, or an object of JSON pointers";
        text_or_object(deserializer, EXPECTED, Self::Whole, Self::Fields)
    }
}

/// Reads a text or an object. serde's own untagged enums do not say what they expected.
fn text_or_object<'de, D: Deserializer<'de>, O: Deserialize<'de>, T>(
    deserializer: D,
    expected: &'static str,
    of_text: impl FnOnce(String) -> T,
    of_object: impl FnOnce(O) -> T,
) -> Result<T, D::Error> {
    struct Either<F, G, O>(&'static str, F, G, PhantomData<O>);

    impl<'de, T, F: FnOnce(String) -> T, G: FnOnce(O) -> T, O: Deserialize<'de>> Visitor<'de>
        for Either<F, G, O>
    {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E>(self, text: &str) -> Result<T, E> {
            Ok(self.1(text.to_owned()))
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            O::deserialize(MapAccessDeserializer::new(map)).map(self.2)
        }
    }

    deserializer.deserialize_any(Either(expected, of_text, of_object, PhantomData))
}

/// Reads a list, or one value as a list of it.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Value>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Array(values) => filled(values),
        value => Ok(vec![value]),
    }
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RowOp>, D::Error> {
    filled(Vec::deserialize(deserializer)?)
}

/// Refuses an empty list, which would read like a condition that nothing meets, and would be no condition.
fn filled<T, E: de::Error>(values: Vec<T>) -> Result<Vec<T>, E> {
    if values.is_empty() {
        return Err(E::custom(
            "expected at least one value; without the field, any value applies",
        ));
    }
    Ok(values)
}
