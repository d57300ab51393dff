//! The dead letters that a page shows or works off: the query of the list, of the forms, and of links between them.

use carillon_domain::{FieldError, field_error::quoted};
use carillon_store::dead_letters::{DeadLetterFilter, DeadLetterState};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::{
    error::ApiError,
    letters::{FilterBody, LetterId, SettleBody},
};

/// A selection of dead letters. A form sends empty fields too.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Chosen {
    pub(super) id: Option<String>,
    pub(super) fingerprint: Option<String>,
    pub(super) channel: Option<String>,
    pub(super) class: Option<String>,
    pub(super) provider: Option<String>,
    pub(super) code: Option<String>,
    #[serde(rename = "type")]
    pub(super) event_type: Option<String>,
    /// The job that had put them back before they died again.
    pub(super) replayed_by: Option<String>,
    /// `true`: letters of ignored causes too.
    pub(super) ignored: Option<String>,
}

impl Chosen {
    /// A single letter.
    pub(crate) fn letter(id: uuid::Uuid) -> Self {
        Self {
            id: Some(id.to_string()),
            ..Self::default()
        }
    }

    /// The fields that are set.
    pub(crate) fn fields(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("id", &self.id),
            ("fingerprint", &self.fingerprint),
            ("channel", &self.channel),
            ("class", &self.class),
            ("provider", &self.provider),
            ("code", &self.code),
            ("type", &self.event_type),
            ("replayed_by", &self.replayed_by),
            ("ignored", &self.ignored),
        ];
        let set = all
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.clone()?)));
        set.filter(|(_, value)| !value.trim().is_empty()).collect()
    }

    /// The value of a field, empty if it is not set.
    pub(crate) fn field(&self, name: &str) -> String {
        let fields = self.fields().into_iter();
        fields
            .filter(|(own, _)| *own == name)
            .map(|(_, value)| value)
            .next()
            .unwrap_or_default()
    }

    /// The fields as a query string.
    pub(crate) fn query(&self) -> String {
        let pairs = self.fields().into_iter();
        let pairs: Vec<String> = pairs
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(&value, NON_ALPHANUMERIC)))
            .collect();
        pairs.join("&")
    }

    /// Whether the list leaves letters of ignored causes out: it does unless it is asked for them, for a cause, or for the
    /// letters of a job.
    pub(crate) fn leaves_ignored_out(&self) -> bool {
        let asks = ["ignored", "fingerprint", "replayed_by"];
        asks.iter()
            .all(|name| matches!(self.field(name).as_str(), "" | "false"))
    }

    /// The conditions of the list, for letters in this state, without these causes.
    pub(crate) fn filter(
        &self,
        state: DeadLetterState,
        without: Vec<String>,
    ) -> Result<DeadLetterFilter, ApiError> {
        let body = self.conditions()?;
        Ok(DeadLetterFilter {
            without,
            state: vec![state],
            queue: body
                .channel
                .into_iter()
                .map(crate::api::dlq::Queue::channel)
                .collect(),
            class: body.class,
            provider: body.provider,
            code: body.code,
            fingerprint: self.set("fingerprint").into_iter().collect(),
            event_type: body.event_type,
            replayed_by: body.replayed_by,
            ..DeadLetterFilter::default()
        })
    }

    /// The request for a job over these letters.
    pub(crate) fn body(&self) -> Result<SettleBody, ApiError> {
        if let Some(id) = self.set("id") {
            let uuid = id
                .parse()
                .map_err(|_| wrong("id", "the id of a dead letter", &id))?;
            return Ok(SettleBody {
                ids: Some(vec![LetterId(uuid)]),
                ..SettleBody::default()
            });
        }
        if let Some(fingerprint) = self.set("fingerprint") {
            return Ok(SettleBody {
                fingerprint: Some(fingerprint),
                ..SettleBody::default()
            });
        }
        Ok(SettleBody {
            filter: Some(self.conditions()?),
            ..SettleBody::default()
        })
    }

    fn set(&self, name: &str) -> Option<String> {
        Some(self.field(name)).filter(|value| !value.is_empty())
    }

    fn conditions(&self) -> Result<FilterBody, ApiError> {
        let queues = self.set("channel").map(|text| {
            let known = text.parse();
            known.map_err(|_| wrong("channel", "push, email, sms, webhook or events", &text))
        });
        let classes = self.set("class").map(|text| {
            let known = text.parse();
            known.map_err(|_| wrong("class", "a class of failures such as render", &text))
        });
        let jobs = self.set("replayed_by").map(|text| {
            let known = text.parse();
            known.map_err(|_| wrong("replayed_by", "the id of a job", &text))
        });
        let ignored = match self.set("ignored").as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(text) => return Err(wrong("ignored", "true or false", text)),
        };
        Ok(FilterBody {
            ignored,
            replayed_by: jobs.transpose()?.into_iter().collect(),
            channel: queues.transpose()?.into_iter().collect(),
            class: classes.transpose()?.into_iter().collect(),
            provider: self.set("provider").into_iter().collect(),
            code: self.set("code").into_iter().collect(),
            event_type: self.set("type").into_iter().collect(),
            from: None,
            to: None,
        })
    }
}

pub(super) fn wrong(name: &str, expected: &str, found: &str) -> ApiError {
    let message = format!("the parameter {name}: expected {expected}, not {}", quoted(found));
    ApiError::fields(vec![FieldError::new(format!("/{name}"), "format", message)])
}
