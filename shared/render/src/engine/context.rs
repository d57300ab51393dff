//! The variables of a template, built once for each message from the event's own bytes.

use carillon_domain::{
    Timestamp,
    json::{self, Map, Value},
};
use chrono::SecondsFormat;

use crate::{RenderError, RenderRequest};

/// Carillon's own variables that a template names; only these are built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each variable, independent of each other"
)]
pub(super) struct Mentions {
    event: bool,
    delivery: bool,
    user: bool,
    data: bool,
}

impl Mentions {
    pub(super) fn of<'a>(sources: impl Iterator<Item = &'a String>) -> Self {
        sources.fold(Self::default(), |found, source| {
            found.or(Self {
                event: source.contains("event"),
                delivery: source.contains("delivery"),
                user: source.contains("user"),
                data: source.contains("data"),
            })
        })
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self {
            event: self.event || other.event,
            delivery: self.delivery || other.delivery,
            user: self.user || other.user,
            data: self.data || other.data,
        }
    }
}

/// The fields of `data`, with Carillon's own variables before fields of the same names.
pub(super) fn build(
    request: &RenderRequest,
    mentions: Mentions,
    template: &str,
    locale: &str,
) -> Result<Value, RenderError> {
    let given = &request.context;
    let mut root: Map = json::object(given.data.get()).map_err(|_| RenderError::BadValue {
        template: template.to_owned(),
        place: "the event".to_owned(),
        variable: "data".to_owned(),
        expected: "a JSON object".to_owned(),
        pointer: "/data".into(),
    })?;
    let data = mentions.data.then(|| root.clone());
    let mut put = |name: &str, value: Option<Value>| match value {
        Some(value) => {
            root.insert(name.to_owned(), value);
        }
        None => {
            root.remove(name);
        }
    };
    put("data", data.map(Value::Object));
    put("locale", Some(locale.into()));
    put(
        "timezone",
        Some(request.timezone.as_deref().unwrap_or("UTC").into()),
    );
    put(
        "unsubscribe_url",
        given.unsubscribe_url.as_deref().map(Value::from),
    );
    put(
        "event",
        mentions.event.then(|| {
            object([
                ("id", Some(given.event_id.as_str().into())),
                ("type", Some((*request.event_type).into())),
                ("source", Some((*given.source).into())),
                ("time", Some(text(given.time).into())),
            ])
        }),
    );
    put(
        "delivery",
        mentions
            .delivery
            .then(|| object([("id", given.delivery_id.map(|id| id.to_string().into()))])),
    );
    put(
        "user",
        mentions
            .user
            .then(|| object([("id", given.user_id.as_ref().map(|id| id.as_str().into()))])),
    );
    Ok(Value::Object(root))
}

fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    Value::Object(
        fields
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| (name.to_owned(), value)))
            .collect(),
    )
}

fn text(time: Timestamp) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
