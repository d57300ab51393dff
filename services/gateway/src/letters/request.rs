//! The request for a job.

use carillon_domain::{
    FieldError, Moment, TenantId, Timestamp, dead_letter::FailureClass, edit::Edit, field_error::quoted,
};
use carillon_store::{
    dead_letter_jobs::{Canary, JobKind},
    dead_letters::{BatchOf, DeadLetterFilter, DeadLetterState},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::editing::{ChangeDocument, check_edit};
use crate::{api::dlq::Queue, error::ApiError, openapi::schemas, privacy::Sight, state::GatewayState};

/// The most ids of one job.
const MAX_IDS: usize = 1_000;
/// The greatest rate.
const MAX_RATE: u32 = 10_000;
/// The longest note, in characters.
pub(super) const MAX_NOTE: usize = 500;

/// The letters that a job works off, and how. Exactly one of `ids`, `fingerprint` and `filter` is given.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SettleBody {
    /// Dead letters by id, 1 to 1,000.
    #[schema(value_type = Option<Vec<Uuid>>, max_items = 1000, min_items = 1)]
    pub(crate) ids: Option<Vec<LetterId>>,
    /// All open dead letters with this cause.
    #[schema(example = "9f86d081884c7d65", min_length = 1)]
    pub(crate) fingerprint: Option<String>,
    /// All open dead letters that match; an empty object matches all.
    pub(crate) filter: Option<FilterBody>,
    /// Answer the outcomes that the job would have, and make no job.
    pub(crate) dry_run: bool,
    /// The most letters a second; without it, as fast as they are read.
    #[schema(minimum = 1, maximum = 10000)]
    pub(crate) rate: Option<u32>,
    /// A note that the job and its letters show.
    #[schema(max_length = 500, example = "template 7 is fixed")]
    pub(crate) note: Option<String>,
    /// The number of letters that are put back first, 1 to 1,000, or `true` for 10. The job waits until each has ended, and
    /// stops if more than `canary_tolerance` percent of them have failed again. Only for a replay.
    #[schema(value_type = Option<schemas::CanaryNumber>)]
    pub(crate) canary: Option<CanaryNumber>,
    /// The share of the canary that may fail again, in percent; 0 without it.
    #[schema(maximum = 99)]
    pub(crate) canary_tolerance: Option<u32>,
    /// A JSON Patch (RFC 6902) of the event in one letter, which is put back with it. Only for a replay of one id; of a
    /// delivery only `/data` can be edited. A record that cannot be read is replaced as a whole, with the path `""`.
    #[schema(value_type = Option<Vec<schemas::PatchOperation>>, max_items = 100, min_items = 1)]
    pub(crate) edit: Option<Box<RawValue>>,
}

/// The number of letters of a canary, or whether there is one.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum CanaryNumber {
    Wanted(bool),
    Letters(u32),
}

/// The id of a dead letter.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct LetterId(pub(crate) Uuid);

impl TryFrom<String> for LetterId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let id = text.parse().map(Self);
        id.map_err(|_| format!("expected the id of a dead letter (a UUID), not {}", quoted(&text)))
    }
}

/// Conditions on open dead letters, the same as in the list. A letter has to match one value of each list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FilterBody {
    /// Queues: push, email, sms, webhook, events.
    #[schema(value_type = Vec<schemas::QueueName>, required = false)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) channel: Vec<Queue>,
    /// Classes of failures.
    #[schema(value_type = Vec<schemas::FailureClassName>, required = false)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) class: Vec<FailureClass>,
    /// Provider accounts.
    #[schema(required = false)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) provider: Vec<String>,
    /// Structured codes.
    #[schema(required = false)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) code: Vec<String>,
    /// Event types.
    #[schema(required = false)]
    #[serde(rename = "type", skip_serializing_if = "Vec::is_empty")]
    pub(crate) event_type: Vec<String>,
    /// Jobs that had put them back before they died again.
    #[schema(required = false)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) replayed_by: Vec<Uuid>,
    /// Whether letters of ignored causes match too.
    #[schema(required = false)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) ignored: bool,
    /// Earliest time of death.
    #[schema(value_type = Option<schemas::MomentText>, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<Moment>,
    /// Time of death before this.
    #[schema(value_type = Option<schemas::MomentText>, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<Moment>,
}

/// A request that was checked.
#[derive(Debug)]
pub(crate) struct Settling {
    pub(crate) kind: JobKind,
    pub(crate) selection: DeadLetterFilter,
    pub(crate) rate: Option<u32>,
    pub(crate) note: Option<String>,
    pub(crate) canary: Option<Canary>,
    /// The edit of the only letter.
    pub(crate) edit: Option<Edit>,
    /// Whether letters of ignored causes are left out.
    leaves_ignored_out: bool,
}

/// The letters of a canary without a number.
const CANARY: u32 = 10;
/// The most letters of a canary.
const MAX_CANARY: u32 = 1_000;

impl SettleBody {
    /// Checks the request; all errors are named.
    pub(crate) fn checked(self, kind: JobKind) -> Result<Settling, ApiError> {
        let mut errors = Vec::new();
        let mut wrong =
            |pointer: &str, code: &str, text: String| errors.push(FieldError::new(pointer, code, text));
        let given = [
            self.ids.is_some(),
            self.fingerprint.is_some(),
            self.filter.is_some(),
        ];
        if given.into_iter().filter(|given| *given).count() != 1 {
            let text = "expected exactly one of ids, fingerprint and filter";
            wrong("", "selection", text.to_owned());
        }
        if let Some(count) = self.ids.as_ref().map(Vec::len)
            && !(1..=MAX_IDS).contains(&count)
        {
            let text = format!("expected 1 to 1,000 ids, not {count}; a filter selects more");
            wrong("/ids", "range", text);
        }
        if self.fingerprint.as_ref().is_some_and(String::is_empty) {
            let text = "expected a fingerprint, as GET /v1/dlq/groups lists them, not an empty text";
            wrong("/fingerprint", "empty", text.to_owned());
        }
        if let Some(filter) = &self.filter
            && let (Some(from), Some(to)) = (filter.from, filter.to)
            && to <= from
        {
            let text = format!("expected a time after from ({from}), not {to}");
            wrong("/filter/to", "range", text);
        }
        errors.extend(check_rate(self.rate).err());
        let note = match one_line("/note", self.note, MAX_NOTE) {
            Ok(note) => note,
            Err(error) => {
                errors.push(error);
                None
            }
        };
        let canary = canary(kind, self.canary, self.canary_tolerance, &mut errors);
        let edit = match self.edit {
            None => None,
            Some(_) if kind == JobKind::Discard => {
                let text = "expected no edit: discarded letters are not sent";
                errors.push(FieldError::new("/edit", "kind", text));
                None
            }
            Some(json) => edit(&json, self.ids.as_deref(), canary, &mut errors),
        };
        if !errors.is_empty() {
            return Err(ApiError::fields(errors));
        }
        let filter = self.filter.as_ref();
        Ok(Settling {
            kind,
            leaves_ignored_out: filter.is_some_and(|filter| !filter.ignored && filter.replayed_by.is_empty()),
            selection: selection(self.ids, self.fingerprint, self.filter),
            rate: self.rate,
            note,
            canary,
            edit,
        })
    }
}

/// A text of one line without the space around it; `None` if it is empty.
pub(super) fn one_line(
    pointer: &str,
    text: Option<String>,
    most: usize,
) -> Result<Option<String>, FieldError> {
    let text = text
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty());
    match &text {
        Some(given) if given.chars().count() > most || given.chars().any(char::is_control) => {
            let expected = format!(
                "expected at most {most} characters in one line, not {}",
                quoted(given)
            );
            Err(FieldError::new(pointer, "format", expected))
        }
        _ => Ok(text),
    }
}

/// Checks a rate.
pub(super) fn check_rate(rate: Option<u32>) -> Result<(), FieldError> {
    match rate {
        Some(rate) if !(1..=MAX_RATE).contains(&rate) => {
            let text = format!("expected 1 to 10,000 letters a second, not {rate}");
            Err(FieldError::new("/rate", "range", text))
        }
        _ => Ok(()),
    }
}

/// The canary of a replay by its fields.
pub(super) fn canary(
    kind: JobKind,
    number: Option<CanaryNumber>,
    tolerance: Option<u32>,
    errors: &mut Vec<FieldError>,
) -> Option<Canary> {
    let letters = match number {
        None | Some(CanaryNumber::Wanted(false)) => None,
        Some(CanaryNumber::Wanted(true)) => Some(CANARY),
        Some(CanaryNumber::Letters(letters)) => Some(letters),
    };
    let mut wrong = |pointer: &str, code: &str, text: String| {
        errors.push(FieldError::new(pointer, code, text));
    };
    if let Some(letters) = letters
        && !(1..=MAX_CANARY).contains(&letters)
    {
        wrong(
            "/canary",
            "range",
            format!("expected true or 1 to 1,000 letters, not {letters}"),
        );
    }
    if letters.is_some() && kind == JobKind::Discard {
        let text = "expected no canary: discarded letters are not sent";
        wrong("/canary", "kind", text.to_owned());
    }
    match tolerance {
        Some(percent) if percent > 99 => {
            wrong(
                "/canary_tolerance",
                "range",
                format!("expected 0 to 99 percent, not {percent}"),
            );
        }
        Some(_) if letters.is_none() => {
            wrong(
                "/canary_tolerance",
                "canary",
                "expected a canary beside it".to_owned(),
            );
        }
        _ => {}
    }
    letters.map(|letters| Canary {
        letters,
        tolerance: tolerance.unwrap_or(0),
    })
}

fn edit(
    json: &RawValue,
    ids: Option<&[LetterId]>,
    canary: Option<Canary>,
    errors: &mut Vec<FieldError>,
) -> Option<Edit> {
    let mut wrong = |text: &str| errors.push(FieldError::new("/edit", "selection", text));
    if ids.map(<[LetterId]>::len) != Some(1) {
        wrong("expected one id beside it: an edit is of one letter");
    }
    if canary.is_some() {
        wrong("expected no canary beside it: there is one letter");
    }
    match Edit::parse(json.get()) {
        Ok(edit) => Some(edit),
        Err(found) => {
            errors.extend(found.into_iter().map(|error| FieldError {
                pointer: format!("/edit{}", error.pointer),
                ..error
            }));
            None
        }
    }
}

/// The letters of the request. Letters by id are selected in any state, so that settled ones are counted. All other
/// letters are selected only while they are open.
fn selection(
    ids: Option<Vec<LetterId>>,
    fingerprint: Option<String>,
    filter: Option<FilterBody>,
) -> DeadLetterFilter {
    if let Some(ids) = ids {
        return DeadLetterFilter {
            ids: ids.into_iter().map(|LetterId(id)| id).collect(),
            ..DeadLetterFilter::default()
        };
    }
    let filter = filter.unwrap_or_default();
    DeadLetterFilter {
        ids: Vec::new(),
        state: vec![DeadLetterState::Open],
        queue: filter.channel.into_iter().map(Queue::channel).collect(),
        class: filter.class,
        provider: filter.provider,
        code: filter.code,
        fingerprint: fingerprint.into_iter().collect(),
        without: Vec::new(),
        event_type: filter.event_type,
        replayed_by: filter.replayed_by,
        from: filter.from.map(|Moment(at)| at),
        to: filter.to.map(|Moment(at)| at),
    }
}

impl Settling {
    /// Leaves out the letters of causes that are ignored now, unless the request asks for them.
    pub(crate) async fn without_ignored(
        mut self,
        state: &GatewayState,
        tenant: &TenantId,
    ) -> Result<Self, ApiError> {
        if self.leaves_ignored_out {
            self.selection.without = state.store.dead_letter_groups().ignored(tenant).await?;
        }
        Ok(self)
    }

    /// Checks the edit, if there is one, for a person with this sight; returns its changes.
    pub(crate) async fn check_edit(
        &self,
        state: &GatewayState,
        tenant: &TenantId,
        sight: Sight,
    ) -> Result<Vec<ChangeDocument>, ApiError> {
        match (&self.edit, self.selection.ids.as_slice()) {
            (Some(edit), [id]) => check_edit(state, tenant, sight, *id, edit).await,
            _ => Ok(Vec::new()),
        }
    }

    /// The letters in the read model.
    pub(crate) fn batch_of<'a>(&'a self, tenant: &'a TenantId, now: Timestamp) -> BatchOf<'a> {
        BatchOf {
            tenant,
            filter: &self.selection,
            until: self.selection.ids.is_empty().then_some(now),
            after: None,
            limit: 500,
        }
    }

    /// Refuses ids and causes that no letter of the tenant has. A cause whose letters are settled is known.
    pub(crate) async fn refuse_unknown(
        &self,
        state: &GatewayState,
        tenant: &TenantId,
    ) -> Result<(), ApiError> {
        let ids = &self.selection.ids;
        let known = state.store.dead_letters().known(tenant, ids).await?;
        let unknown = ids.iter().enumerate().filter(|(_, id)| !known.contains(id));
        let errors: Vec<FieldError> = unknown
            .map(|(index, id)| {
                let text = format!("expected the id of a dead letter; there is none with {id}");
                FieldError::new(format!("/ids/{index}"), "not-found", text)
            })
            .collect();
        if !errors.is_empty() {
            return Err(ApiError::fields(errors));
        }
        if let [fingerprint] = self.selection.fingerprint.as_slice()
            && !state
                .store
                .dead_letters()
                .knows_cause(tenant, fingerprint)
                .await?
        {
            let expected = "expected a fingerprint as GET /v1/dlq/groups lists them; no dead letter has";
            let text = format!("{expected} {}", quoted(fingerprint));
            return Err(ApiError::fields(vec![FieldError::new(
                "/fingerprint",
                "not-found",
                text,
            )]));
        }
        Ok(())
    }
}
