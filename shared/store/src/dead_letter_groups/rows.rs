//! Handlings as they are read and changed.

use carillon_domain::Timestamp;
use uuid::Uuid;

use super::plans::{PlanRow, PlannedReplay};
use crate::{api_keys::Principal, error::StoreError, suppressions::Change};

/// How people handle a cause.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handling {
    /// 0 while nobody has handled the cause; grows by 1 with each change.
    pub version: i64,
    /// A note for people.
    pub note: Option<String>,
    /// The person or team that works on it.
    pub owner: Option<String>,
    /// Since when it is ignored; `None` if it is not.
    pub ignored: Option<Ignored>,
    /// The latest planned replay.
    pub plan: Option<PlannedReplay>,
    pub(super) plan_id: Option<Uuid>,
}

/// An ignored cause raises no alert, and lists leave it out unless they are asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// Since when.
    pub at: Timestamp,
    /// The name of the API key.
    pub by: String,
}

/// A change of a handling.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HandlingPatch {
    /// The note.
    pub note: Change<String>,
    /// The owner.
    pub owner: Change<String>,
    /// Whether the cause is ignored; none means that it is not.
    pub ignored: Change<bool>,
}

impl HandlingPatch {
    pub(super) fn apply(&self, before: &Handling, who: &Principal, now: Timestamp) -> Handling {
        let mut after = before.clone();
        after.note = self.note.clone().of(after.note);
        after.owner = self.owner.clone().of(after.owner);
        let ignored = || Ignored {
            at: now,
            by: who.name.clone(),
        };
        match self.ignored {
            Change::Keep => {}
            Change::Set(Some(true)) => after.ignored = after.ignored.or_else(|| Some(ignored())),
            Change::Set(_) => after.ignored = None,
        }
        after
    }
}

/// The query of [`Row`], up to its condition.
macro_rules! HANDLING {
    () => {
        "SELECT g.fingerprint, g.version, g.note AS group_note, g.owner, g.ignored_at, g.ignored_by, g.plan_id, p.id, p.kind,
            p.subject, p.after_version, p.rate, p.note, p.canary, p.canary_tolerance, p.key_name, p.state, p.created_at,
            p.updated_at
        FROM dead_letter_groups g LEFT JOIN planned_replays p ON p.id = g.plan_id"
    };
}
pub(super) use HANDLING;

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    pub(super) fingerprint: String,
    version: i64,
    group_note: Option<String>,
    owner: Option<String>,
    ignored_at: Option<Timestamp>,
    ignored_by: Option<String>,
    plan_id: Option<Uuid>,
    #[sqlx(flatten)]
    plan: PlanRow,
}

impl Row {
    pub(super) fn handling(self) -> Result<Handling, StoreError> {
        let ignored = self.ignored_at.zip(self.ignored_by);
        Ok(Handling {
            version: self.version,
            note: self.group_note,
            owner: self.owner,
            ignored: ignored.map(|(at, by)| Ignored { at, by }),
            plan: self.plan.view()?,
            plan_id: self.plan_id,
        })
    }
}
