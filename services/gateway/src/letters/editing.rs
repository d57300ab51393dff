//! Edits of dead letters: a letter as the person who edits it sees it, and the result of an edit.
//!
//! An edit shows a role no value that is hidden from it: the domain applies the edit both to the shown event and to the true
//! one. An event that keeps a hidden value is edited only by an admin who has revealed it, because a changed link or
//! recipient could carry the value off.

use std::sync::Arc;

use carillon_bus::replay;
use carillon_domain::{
    Event, FieldError, TenantId,
    edit::{Change, Document, Edit, Seen, changes},
    event::{Defaults, MAX_EVENT_BYTES},
    mask::{Mask, mask_addresses},
    stored_letter::StoredLetter,
};
use carillon_store::dead_letters::DeadLetterView;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    error::ApiError,
    ingest,
    privacy::{Sight, mask_of},
    state::GatewayState,
};

/// Begins the pointers of errors in the event as the edit would leave it.
const EDITED: &str = "/edited";

/// A place that an edit changes.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ChangeDocument {
    /// JSON pointer into the event.
    pub(crate) pointer: String,
    /// The value before; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = serde_json::Value, required = false)]
    pub(crate) before: Option<Box<RawValue>>,
    /// The value after; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = serde_json::Value, required = false)]
    pub(crate) after: Option<Box<RawValue>>,
}

impl ChangeDocument {
    fn of(change: Change) -> Self {
        let raw = |json: Option<String>| json.and_then(|json| RawValue::from_string(json).ok());
        Self {
            pointer: mask_addresses(&change.pointer).into_owned(),
            before: raw(change.before),
            after: raw(change.after),
        }
    }
}

/// The event in a letter: as it is, and as a person sees it.
pub(crate) struct Editable {
    pub(crate) document: Document,
    pub(crate) shown: Document,
}

/// The event in a letter for a person with this sight. Viewers see none.
pub(crate) async fn editable(
    state: &GatewayState,
    tenant: &TenantId,
    sight: Sight,
    letter: &DeadLetterView,
) -> Result<Editable, ApiError> {
    let stored = stored(tenant, letter);
    let document = replay::document(stored);
    let shown = match sight {
        Sight::Revealed => document.clone(),
        Sight::Viewer => Document::null(),
        Sight::Masked => {
            let mask = mask_of(state, tenant, letter.event_type.as_deref()).await?;
            masked(&mask, letter, &document)
        }
    };
    Ok(Editable { document, shown })
}

/// The letter as a replay reads it, without its key.
pub(super) fn stored<'a>(tenant: &'a TenantId, letter: &'a DeadLetterView) -> StoredLetter<'a> {
    StoredLetter {
        tenant,
        channel: letter.channel,
        source_topic: &letter.source_topic,
        headers: &letter.headers,
        key: None,
        value: &letter.value,
    }
}

/// The document with hidden values masked; null if that is not possible.
fn masked(mask: &Mask, letter: &DeadLetterView, document: &Document) -> Document {
    let is_binary = letter.channel.is_none() && letter.headers.iter().any(|(name, _)| name == "ce_type");
    let text = if is_binary {
        let attributes = letter.headers.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix("ce_")?;
            Some((name, mask.attribute(name, value)))
        });
        // An event in binary mode is masked in both readings of its value, as the letter's page shows it.
        document.at("/data").map_or_else(
            || replay::event_document(attributes.clone(), ""),
            |data| replay::event_document(attributes.clone(), mask.binary(&data)?.get()),
        )
    } else {
        mask.event(&document.text()).map(|masked| masked.get().to_owned())
    };
    text.and_then(|text| Document::parse(&text))
        .unwrap_or_else(Document::null)
}

/// Finds a letter, and checks an edit of it: that it can be applied, keeps hidden values hidden, and leaves an event that the
/// catalog accepts. Returns the changes as the person may see them.
pub(crate) async fn check_edit(
    state: &GatewayState,
    tenant: &TenantId,
    sight: Sight,
    id: Uuid,
    edit: &Edit,
) -> Result<Vec<ChangeDocument>, ApiError> {
    let found = state.store.dead_letters().get(tenant, id).await?;
    let letter = found.ok_or_else(|| ApiError::missing("dead letter", id))?;
    let editable = editable(state, tenant, sight, &letter).await?;
    let (document, shown, own) = (editable.document.clone(), editable.shown.clone(), edit.clone());
    let applied = ingest::aside_long(state, move || own.apply_seen(&document, &shown)).await;
    let seen = applied.map_err(|error| at_edit(&error))?;
    let after = shown_after(state, tenant, sight, &letter, &seen).await?;
    if !sight.is_revealed() {
        if seen.keeps_secrets() {
            let text = "expected an event without hidden values: an edit could carry them elsewhere; an admin can make it, \
                        with reveal=true";
            return Err(refused("hidden", text));
        }
        if let Some(pointer) = seen.uncovers(&after) {
            let pointer = mask_addresses(&pointer).into_owned();
            let text =
                format!("expected hidden values to stay hidden: the edit would show the one at {pointer}");
            return Err(refused("hidden", &text));
        }
    }
    check_result(state, tenant, sight, &letter, &seen).await?;
    let (found, _) = changes(&editable.shown, &after);
    if found.is_empty() {
        return Err(refused("unchanged", "expected an edit that changes something"));
    }
    Ok(found.into_iter().map(ChangeDocument::of).collect())
}

/// The changes that a job has made to a letter, for a person with this sight.
pub(crate) async fn changes_by(
    state: &GatewayState,
    tenant: &TenantId,
    sight: Sight,
    letter: &DeadLetterView,
    job: Uuid,
) -> Result<Vec<ChangeDocument>, ApiError> {
    let job = state.store.dead_letter_jobs().get(tenant, job).await?;
    match job.and_then(|job| job.edit) {
        Some(edit) => changes_of(state, tenant, sight, letter, &edit).await,
        None => Ok(Vec::new()),
    }
}

/// The changes that an edit has made, for a person with this sight. Viewers see none.
async fn changes_of(
    state: &GatewayState,
    tenant: &TenantId,
    sight: Sight,
    letter: &DeadLetterView,
    edit: &Edit,
) -> Result<Vec<ChangeDocument>, ApiError> {
    if sight == Sight::Viewer {
        return Ok(Vec::new());
    }
    let Editable { document, shown } = editable(state, tenant, sight, letter).await?;
    // An edit that was made after a reveal may read what this person does not see; so it is applied to the true document.
    let Ok(edited) = edit.apply_seen(&document, &document) else {
        return Ok(Vec::new());
    };
    let after = shown_after(state, tenant, sight, letter, &edited).await?;
    let (found, _) = changes(&shown, &after);
    Ok(found.into_iter().map(ChangeDocument::of).collect())
}

fn refused(code: &str, text: &str) -> ApiError {
    ApiError::fields(vec![FieldError::new("/edit", code, text)])
}

/// The error of an operation.
fn at_edit(error: &FieldError) -> ApiError {
    let message = mask_addresses(&error.message).into_owned();
    let pointer = format!("/edit{}", error.pointer);
    ApiError::fields(vec![FieldError::new(pointer, &error.code, message)])
}

/// The edited document as it will be shown: by the mask of the type that it has then.
async fn shown_after(
    state: &GatewayState,
    tenant: &TenantId,
    sight: Sight,
    letter: &DeadLetterView,
    seen: &Seen,
) -> Result<Document, ApiError> {
    if sight.is_revealed() {
        return Ok(seen.document.clone());
    }
    let event_type = match letter.channel {
        Some(_) => letter.event_type.clone(),
        None => seen.document.text_at("/type"),
    };
    let mask = mask_of(state, tenant, event_type.as_deref()).await?;
    let masked = mask.event(&seen.document.text());
    Ok(masked
        .and_then(|masked| Document::parse(masked.get()))
        .unwrap_or_else(Document::null))
}

/// Checks the event that an edit leaves.
async fn check_result(
    state: &GatewayState,
    tenant: &TenantId,
    sight: Sight,
    letter: &DeadLetterView,
    seen: &Seen,
) -> Result<(), ApiError> {
    let errors = match letter.channel {
        Some(_) => data_errors(state, tenant, letter, &seen.document).await?,
        None => event_errors(state, tenant, &seen.document).await?,
    };
    if errors.is_empty() {
        return Ok(());
    }
    let shown = errors.into_iter().map(|error| {
        let message = if sight.is_revealed() {
            error.message
        } else if seen.hides(&error.pointer) {
            "expected another value than the hidden one".to_owned()
        } else {
            mask_addresses(&error.message).into_owned()
        };
        FieldError::new(format!("{EDITED}{}", error.pointer), &error.code, message)
    });
    Err(ApiError::fields(shown.collect()))
}

/// The errors of a delivery's data.
async fn data_errors(
    state: &GatewayState,
    tenant: &TenantId,
    letter: &DeadLetterView,
    edited: &Document,
) -> Result<Vec<FieldError>, ApiError> {
    let only_data = edited.members() == ["data"];
    let Some(data) = edited.at("/data").filter(|_| only_data) else {
        let text = "expected nothing but data: of a delivery only /data is edited";
        return Ok(vec![FieldError::new("", "data", text)]);
    };
    if data.len() > MAX_EVENT_BYTES {
        let text = format!(
            "expected at most {MAX_EVENT_BYTES} bytes of data, not {}",
            data.len()
        );
        return Ok(vec![FieldError::new("/data", "size", text)]);
    }
    let Some((catalog, event_type)) = state.catalogs.get(tenant).await?.zip(letter.event_type.clone()) else {
        return Ok(Vec::new());
    };
    let Some(name) = catalog.lookup(&event_type).map(|found| Arc::clone(found.name)) else {
        return Ok(Vec::new());
    };
    let Ok(raw) = RawValue::from_string(data) else {
        return Ok(vec![FieldError::new("/data", "malformed-json", "expected JSON")]);
    };
    Ok(ingest::aside_long(state, move || catalog.validate_data(&name, &raw)).await)
}

/// The errors of an event, as a post of it would be answered.
async fn event_errors(
    state: &GatewayState,
    tenant: &TenantId,
    edited: &Document,
) -> Result<Vec<FieldError>, ApiError> {
    if !edited.is_object() {
        let text = "expected an event, a JSON object; a record that cannot be read is replaced as a whole, with the path \"\"";
        return Ok(vec![FieldError::new("", "type", text)]);
    }
    let text = edited.text();
    let parsed = Event::from_cloudevent(text.as_bytes(), Defaults::at(state.clock.now()));
    let checked = ingest::check(state, tenant, vec![(String::new(), parsed)]).await?;
    let Some(Err(problem)) = checked.into_iter().next() else {
        return Ok(Vec::new());
    };
    if problem.errors.is_empty() {
        return Ok(vec![FieldError::new("", "event", problem.detail)]);
    }
    let errors = problem.errors.into_iter();
    Ok(errors
        .map(|error| FieldError::new(error.pointer, &error.code, error.message))
        .collect())
}
