//! Jobs as they are made and read, and the verdicts that they give.

use std::collections::BTreeMap;

use carillon_domain::{
    TenantId, Timestamp,
    dead_letter::{LetterVerdict, SkipReason},
    edit::Edit,
};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr};
use uuid::Uuid;

use super::canary::{Canary, CanaryPhase, CanaryView};
use crate::{
    columns::{self, unsigned},
    db::Document,
    dead_letters::DeadLetterFilter,
    error::StoreError,
    lease::Lease,
    outbox::OutboxRecord,
    page::Cursor,
};

/// The kind of a job.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, AsRefStr, Display, EnumString, IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum JobKind {
    /// It puts their records back.
    Replay,
    /// It gives them up.
    Discard,
}

impl JobKind {
    /// The verdict that it gives.
    #[must_use]
    pub fn verdict(self) -> LetterVerdict {
        match self {
            Self::Replay => LetterVerdict::Replayed,
            Self::Discard => LetterVerdict::Discarded,
        }
    }
}

/// The state of a job.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, AsRefStr, Display, EnumString, IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum JobState {
    /// It has letters left, or has not looked yet.
    Running,
    /// A person has stopped it, and it goes on when it is resumed.
    Paused,
    /// Its canary has failed. It goes on only when a person resumes it.
    Stopped,
    /// Each of its letters has a verdict or was skipped.
    Done,
    /// It was cancelled; verdicts given before stay.
    Cancelled,
    /// A fault of Carillon's code ended it; verdicts given before stay.
    Failed,
}

/// A job to be made.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its id, a UUID of version 7. A job with this id that exists already stays as it is.
    pub id: Uuid,
    /// Its kind.
    pub kind: JobKind,
    /// Its letters.
    pub selection: DeadLetterFilter,
    /// The number of its letters.
    pub total: u64,
    /// The most letters a second.
    pub rate: Option<u32>,
    /// A note for people.
    pub note: Option<String>,
    /// The letters that go first.
    pub canary: Option<Canary>,
    /// The edit of its letter. Such a job has one letter.
    pub edit: Option<Edit>,
    /// The time at which the letters were counted. Letters that die later are no part of it.
    pub at: Timestamp,
}

/// A job as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobView {
    /// Its id.
    pub id: Uuid,
    /// The tenant.
    pub tenant: TenantId,
    /// Its kind.
    pub kind: JobKind,
    /// Its letters.
    pub selection: DeadLetterFilter,
    /// Its state.
    pub state: JobState,
    /// The number of letters that the selection had.
    pub total: u64,
    /// The number of letters to which it gave its verdict.
    pub settled: u64,
    /// The numbers of letters that stay as they are, by reason.
    pub skipped: BTreeMap<SkipReason, u64>,
    /// The last letter that was worked off.
    pub after: Option<Cursor>,
    /// The most letters a second.
    pub rate: Option<u32>,
    /// A note for people.
    pub note: Option<String>,
    /// The letters that go first, and their fate.
    pub canary: Option<CanaryView>,
    /// The edit of its letter.
    pub edit: Option<Edit>,
    /// The API key that asked for it.
    pub key_id: Uuid,
    /// The key's name.
    pub key_name: String,
    /// The reason for which it failed.
    pub error: Option<String>,
    /// The time at which it was made.
    pub created_at: Timestamp,
    /// The time of its last step.
    pub updated_at: Timestamp,
    /// The time at which it ended.
    pub ended_at: Option<Timestamp>,
}

impl JobView {
    /// The number of letters that it has worked off.
    #[must_use]
    pub fn processed(&self) -> u64 {
        self.settled + self.skipped.values().sum::<u64>()
    }
}

/// A job whose next step this process may take.
#[derive(Debug, Clone)]
pub struct TakenJob {
    /// The job.
    pub job: JobView,
    /// The lease of the step.
    pub lease: Lease,
}

/// A letter that is to get the job's verdict.
#[derive(Debug)]
pub struct SettledLetter {
    /// The letter.
    pub id: Uuid,
    /// The generation of the delivery that is put back.
    pub generation: Option<u32>,
    /// The records that are to be published if the verdict is this job's.
    pub records: Vec<OutboxRecord>,
}

/// A step of a job.
#[derive(Debug, Default)]
pub struct JobStep {
    /// Letters that are to get the verdict.
    pub letters: Vec<SettledLetter>,
    /// Letters that stay as they are, by reason.
    pub skipped: BTreeMap<SkipReason, u64>,
    /// The last letter of the step.
    pub end: Option<Cursor>,
    /// Whether no letter is left after it.
    pub is_last: bool,
    /// The earliest time of the next step.
    pub next_step_at: Timestamp,
}

/// The end of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepEnd {
    /// The step was written; the number of letters that got the verdict.
    Written(u64),
    /// Nothing was written: the job was cancelled, or another process has taken it over.
    Lost,
}

/// The answer to a cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// No further letter gets a verdict.
    Now(Box<JobView>),
    /// The job had ended before.
    HadEnded(Box<JobView>),
}

/// The answer to a pause or a resumption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Whether the job's state has changed; otherwise it was another one than expected.
    pub is_moved: bool,
    /// The job.
    pub job: JobView,
}

/// A verdict as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictView {
    /// The letter.
    pub letter_id: Uuid,
    /// The verdict.
    pub verdict: LetterVerdict,
    /// The time at which it was given.
    pub at: Timestamp,
    /// The name of the API key that asked for it.
    pub actor: String,
    /// The job that gave it.
    pub job_id: Uuid,
    /// The generation of the delivery that was put back.
    pub generation: Option<u32>,
    /// The job's note.
    pub note: Option<String>,
    /// Whether its record was put back with an edit.
    pub is_edited: bool,
}

/// The columns of [`JobRow`].
macro_rules! job_columns {
    () => {
        "id, tenant, kind, selection, state, total, settled, skipped, after_at, after_id, rate, note, canary,
        canary_tolerance, canary_phase, canary_sent, canary_ended, canary_failed, edit, key_id, key_name, error,
        created_at, updated_at, ended_at"
    };
}
pub(super) use job_columns;

#[derive(sqlx::FromRow)]
pub(super) struct JobRow {
    id: Uuid,
    tenant: String,
    kind: String,
    selection: Document,
    state: String,
    total: i64,
    settled: i64,
    skipped: Document,
    after_at: Option<Timestamp>,
    after_id: Option<Uuid>,
    rate: Option<i32>,
    note: Option<String>,
    canary: Option<i32>,
    canary_tolerance: Option<i32>,
    canary_phase: Option<String>,
    canary_sent: Option<i32>,
    canary_ended: Option<i32>,
    canary_failed: Option<i32>,
    edit: Option<Document>,
    key_id: Uuid,
    key_name: String,
    error: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
    ended_at: Option<Timestamp>,
}

impl JobRow {
    pub(super) fn view(self) -> Result<JobView, StoreError> {
        let canary = self.canary()?;
        let is_stopped = canary
            .as_ref()
            .is_some_and(|canary| canary.phase == CanaryPhase::Failed);
        let state = match columns::parse(&self.state, "a job's state")? {
            JobState::Paused if is_stopped => JobState::Stopped,
            state => state,
        };
        Ok(JobView {
            canary,
            id: self.id,
            tenant: TenantId::from(self.tenant),
            kind: columns::parse(&self.kind, "a job's kind")?,
            selection: self.selection.parse("a job's selection")?,
            state,
            total: unsigned(self.total),
            settled: unsigned(self.settled),
            skipped: self.skipped.parse("a job's counts")?,
            after: self.after_at.zip(self.after_id).map(|(at, id)| Cursor { at, id }),
            rate: self.rate.map(i32::unsigned_abs),
            note: self.note,
            edit: self.edit.map(|edit| edit.parse("a job's edit")).transpose()?,
            key_id: self.key_id,
            key_name: self.key_name,
            error: self.error,
            created_at: self.created_at,
            updated_at: self.updated_at,
            ended_at: self.ended_at,
        })
    }
}

impl JobRow {
    fn canary(&self) -> Result<Option<CanaryView>, StoreError> {
        let Some((letters, phase)) = self.canary.zip(self.canary_phase.as_deref()) else {
            return Ok(None);
        };
        let number = |column: Option<i32>| column.map_or(0, i32::unsigned_abs);
        Ok(Some(CanaryView {
            canary: Canary {
                letters: letters.unsigned_abs(),
                tolerance: number(self.canary_tolerance),
            },
            phase: columns::parse(phase, "a canary's phase")?,
            sent: number(self.canary_sent),
            ended: number(self.canary_ended),
            failed: number(self.canary_failed),
        }))
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct VerdictRow {
    letter_id: Uuid,
    verdict: String,
    at: Timestamp,
    actor: String,
    job_id: Uuid,
    generation: Option<i32>,
    note: Option<String>,
    is_edited: bool,
}

impl VerdictRow {
    pub(super) fn view(self) -> Result<VerdictView, StoreError> {
        Ok(VerdictView {
            letter_id: self.letter_id,
            verdict: columns::parse(&self.verdict, "a verdict")?,
            at: self.at,
            actor: self.actor,
            job_id: self.job_id,
            generation: self.generation.map(i32::unsigned_abs),
            note: self.note,
            is_edited: self.is_edited,
        })
    }
}
