//! Causes of dead letters with their handling: note, owner, whether they are ignored, and their planned replay.

use carillon_domain::{FieldError, TenantId, Timestamp};
use carillon_runtime::http::Conditions;
use carillon_store::{
    StoreError,
    api_keys::Principal,
    dead_letter_groups::{Handling, HandlingPatch},
    dead_letters::DeadLetterGroup,
    etag,
    suppressions::Change,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    planned::PlanDocument,
    request::{MAX_NOTE, one_line},
};
use crate::{
    error::ApiError,
    privacy::{mask_group, masked},
    state::GatewayState,
};

/// The longest name of an owner, in characters.
const MAX_OWNER: usize = 100;

/// A cause and its handling.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct GroupDocument {
    #[serde(flatten)]
    pub(crate) group: DeadLetterGroup,
    pub(crate) note: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) ignored: bool,
    pub(crate) ignored_at: Option<Timestamp>,
    pub(crate) ignored_by: Option<String>,
    pub(crate) planned_replay: Option<PlanDocument>,
    #[serde(skip)]
    version: i64,
}

impl GroupDocument {
    fn of(mut group: DeadLetterGroup, handling: Handling) -> Self {
        mask_group(&mut group);
        let ignored = handling.ignored;
        Self {
            group,
            note: handling.note.as_deref().map(masked),
            owner: handling.owner.as_deref().map(masked),
            ignored: ignored.is_some(),
            ignored_at: ignored.as_ref().map(|ignored| ignored.at),
            ignored_by: ignored.map(|ignored| ignored.by),
            planned_replay: handling.plan.map(PlanDocument::of),
            version: handling.version,
        }
    }

    /// The version of the handling as an entity tag.
    pub(crate) fn etag(&self) -> String {
        etag(self.version)
    }

    /// The planned replay, while it waits.
    pub(crate) fn waiting(&self) -> Option<&PlanDocument> {
        self.planned_replay.as_ref().filter(|plan| plan.is_waiting())
    }
}

/// The causes that a list shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Shown {
    /// Those that are not ignored.
    #[default]
    False,
    /// The ignored ones.
    True,
    /// All.
    Any,
}

impl Shown {
    fn shows(self, is_ignored: bool) -> bool {
        match self {
            Self::False => !is_ignored,
            Self::True => is_ignored,
            Self::Any => true,
        }
    }
}

/// The causes that a list does not show because they are ignored.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
pub(crate) struct Hidden {
    /// The number of ignored causes that are not listed.
    pub(crate) causes: u64,
    /// The number of their open letters.
    pub(crate) open: u64,
    /// The number of those that died again since their last replay.
    pub(crate) again: u64,
}

/// A list of causes.
#[derive(Debug, Serialize)]
pub(crate) struct Groups {
    pub(crate) items: Vec<GroupDocument>,
    /// Always none: all causes are on one page.
    next_cursor: Option<String>,
    pub(crate) hidden: Hidden,
}

/// The causes, those with the most open letters first.
pub(crate) async fn groups(
    state: &GatewayState,
    tenant: &TenantId,
    shown: Shown,
) -> Result<Groups, ApiError> {
    let found = state.store.dead_letters().groups(tenant).await?;
    let mut handlings = state.store.dead_letter_groups().all(tenant).await?;
    let (mut items, mut hidden) = (Vec::new(), Hidden::default());
    for group in found {
        let handling = handlings.remove(&group.fingerprint).unwrap_or_default();
        if shown.shows(handling.ignored.is_some()) {
            items.push(GroupDocument::of(group, handling));
        } else if handling.ignored.is_some() {
            hidden.causes += 1;
            hidden.open += group.open;
            hidden.again += group.again;
        }
    }
    Ok(Groups {
        items,
        next_cursor: None,
        hidden,
    })
}

/// A cause.
pub(crate) async fn group(
    state: &GatewayState,
    tenant: &TenantId,
    fingerprint: &str,
) -> Result<GroupDocument, ApiError> {
    let found = state.store.dead_letters().group(tenant, fingerprint).await?;
    let group = found.ok_or_else(|| ApiError::missing_name("cause of dead letters", fingerprint))?;
    let handling = state.store.dead_letter_groups().get(tenant, fingerprint).await?;
    Ok(GroupDocument::of(group, handling))
}

/// A change of a cause's handling. A field that is absent stays as it is; null removes it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HandlingBody {
    /// A note for other people.
    #[schema(value_type = Option<String>, max_length = 500, example = "the carrier's template lacks a variable")]
    #[serde(default)]
    pub(crate) note: Change<String>,
    /// The person or team that works on it.
    #[schema(value_type = Option<String>, max_length = 100, example = "team checkout")]
    #[serde(default)]
    pub(crate) owner: Change<String>,
    /// Whether it is ignored: it raises no alert, and lists leave it out unless they are asked for it. Its letters are kept.
    #[schema(value_type = Option<bool>)]
    #[serde(default)]
    pub(crate) ignored: Change<bool>,
}

impl HandlingBody {
    fn checked(self) -> Result<HandlingPatch, ApiError> {
        let mut errors = Vec::new();
        let mut text = |pointer: &str, change: Change<String>, most: usize| match change {
            Change::Keep => Change::Keep,
            Change::Set(value) => Change::Set(one_line(pointer, value, most).unwrap_or_else(|error| {
                errors.push(error);
                None
            })),
        };
        let patch = HandlingPatch {
            note: text("/note", self.note, MAX_NOTE),
            owner: text("/owner", self.owner, MAX_OWNER),
            ignored: self.ignored,
        };
        if errors.is_empty() {
            Ok(patch)
        } else {
            Err(ApiError::fields(errors))
        }
    }
}

/// Changes the handling of a cause, if the conditions hold.
pub(crate) async fn change(
    state: &GatewayState,
    who: &Principal,
    fingerprint: &str,
    body: HandlingBody,
    conditions: &Conditions,
) -> Result<GroupDocument, ApiError> {
    let patch = body.checked()?;
    let before = group(state, &who.tenant, fingerprint).await?;
    let groups = state.store.dead_letter_groups();
    let changed = groups.change(who, fingerprint, &patch, conditions).await;
    let handling = changed.map_err(|error| match error {
        StoreError::Full { .. } => {
            ApiError::fields(vec![FieldError::new("/ignored", "range", error.to_string())])
        }
        error => error.into(),
    })?;
    Ok(GroupDocument::of(before.group, handling))
}
