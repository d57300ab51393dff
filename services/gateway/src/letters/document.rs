//! A job as it is answered.

use std::{collections::BTreeMap, time::Duration};

use carillon_domain::{
    Moment, Timestamp, clock::later, dead_letter::SkipReason, edit::Operation, mask::mask_addresses,
};
use carillon_store::dead_letter_jobs::{CanaryPhase, CanaryView, JobKind, JobState, JobView};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::request::FilterBody;
use crate::{api::dlq::Queue, openapi::schemas};

/// A job that replays or discards dead letters.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct JobDocument {
    pub(crate) id: Uuid,
    #[schema(value_type = schemas::JobKindName)]
    pub(crate) kind: JobKind,
    #[schema(value_type = schemas::JobStateName)]
    pub(crate) state: JobState,
    pub(crate) selection: SelectionDocument,
    /// The number of letters that were selected when the job was made.
    pub(crate) total: u64,
    /// The number of letters that are worked off: settled and skipped.
    pub(crate) processed: u64,
    /// The number of letters that this job has replayed or discarded.
    pub(crate) settled: u64,
    /// The number of letters that stay as they are.
    pub(crate) skipped: u64,
    /// The numbers of letters that stay as they are, by reason.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub(crate) reasons: BTreeMap<SkipReason, u64>,
    /// The most letters a second; null if it is not limited.
    #[schema(required)]
    pub(crate) rate: Option<u32>,
    #[schema(required)]
    pub(crate) note: Option<String>,
    /// The letters that go first; null if it was made without a canary.
    #[schema(required)]
    pub(crate) canary: Option<CanaryDocument>,
    /// The operations of its edit, without their values; null if it was made without an edit.
    #[schema(required, value_type = Option<Vec<schemas::EditOperation>>)]
    pub(crate) edit: Option<Vec<Operation>>,
    /// The API key that asked for it.
    pub(crate) key_id: Uuid,
    pub(crate) key_name: String,
    /// The reason for which it failed.
    #[schema(required)]
    pub(crate) error: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    /// The time of its last step.
    pub(crate) updated_at: DateTime<Utc>,
    #[schema(required)]
    pub(crate) ended_at: Option<DateTime<Utc>>,
    /// When it will probably have ended; null if it has ended, or nothing is known yet.
    #[schema(required)]
    pub(crate) eta: Option<DateTime<Utc>>,
    pub(crate) status_url: String,
}

/// The canary of a job.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct CanaryDocument {
    /// The number of letters that go first.
    pub(crate) letters: u32,
    /// The share of them that may fail again, in percent.
    pub(crate) tolerance: u32,
    #[schema(value_type = schemas::CanaryPhaseName)]
    pub(crate) phase: CanaryPhase,
    /// The number of letters that were put back, as last seen.
    pub(crate) sent: u32,
    /// The number of those that have ended.
    pub(crate) ended: u32,
    /// The number of those that have failed again.
    pub(crate) failed: u32,
    /// The phase as a sentence.
    pub(crate) sentence: String,
}

impl From<CanaryView> for CanaryDocument {
    fn from(view: CanaryView) -> Self {
        let CanaryView {
            canary,
            phase,
            sent,
            ended,
            failed,
        } = view;
        let may = match canary.tolerance {
            0 => "none may".to_owned(),
            percent => format!("{percent} % may"),
        };
        let sentence = match phase {
            CanaryPhase::Sending => format!("the first {} letters go first", canary.letters),
            CanaryPhase::Watching => {
                format!(
                    "{ended} of the first {} letters have ended; the other letters wait until all of these have",
                    canary.letters
                )
            }
            CanaryPhase::Passed => {
                format!("{failed} of the first {sent} letters failed again; {may}, so the job went on")
            }
            CanaryPhase::Failed => {
                format!("{failed} of the first {sent} letters failed again and {may}, so the job has stopped")
            }
            CanaryPhase::Overruled => {
                format!("{failed} of the first {sent} letters failed again; a person let the job go on")
            }
        };
        Self {
            letters: canary.letters,
            tolerance: canary.tolerance,
            phase,
            sent,
            ended,
            failed,
            sentence,
        }
    }
}

/// The letters of a job.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct SelectionDocument {
    /// The number of ids; null if it was made with a fingerprint or filter.
    #[schema(required)]
    pub(crate) ids: Option<usize>,
    /// The fingerprint; null if it was made without.
    #[schema(required)]
    pub(crate) fingerprint: Option<String>,
    /// The filter; null if it was made without.
    #[schema(required)]
    pub(crate) filter: Option<FilterBody>,
    /// The fingerprints of the causes that were ignored when it was made. Their letters are left out.
    pub(crate) without: Vec<String>,
}

impl JobDocument {
    pub(crate) fn of(job: JobView) -> Self {
        let selection = &job.selection;
        let fingerprint = selection.fingerprint.first().cloned();
        let is_filter = selection.ids.is_empty() && fingerprint.is_none();
        Self {
            id: job.id,
            kind: job.kind,
            state: job.state,
            total: job.total,
            processed: job.processed(),
            settled: job.settled,
            skipped: job.skipped.values().sum(),
            rate: job.rate,
            key_id: job.key_id,
            created_at: job.created_at,
            updated_at: job.updated_at,
            ended_at: job.ended_at,
            eta: eta(&job),
            status_url: format!("/v1/dlq/jobs/{}", job.id),
            selection: SelectionDocument {
                ids: (!selection.ids.is_empty()).then_some(selection.ids.len()),
                fingerprint,
                filter: is_filter.then(|| FilterBody {
                    channel: selection.queue.iter().copied().map(Queue::of).collect(),
                    class: selection.class.clone(),
                    provider: selection.provider.clone(),
                    code: selection.code.clone(),
                    event_type: selection.event_type.clone(),
                    replayed_by: selection.replayed_by.clone(),
                    ignored: false,
                    from: selection.from.map(Moment),
                    to: selection.to.map(Moment),
                }),
                without: selection.without.clone(),
            },
            canary: job.canary.map(CanaryDocument::from),
            edit: job.edit.as_ref().map(|edit| {
                let mut operations = edit.operations();
                for operation in &mut operations {
                    operation.path = mask_addresses(&operation.path).into_owned();
                    operation.from = operation
                        .from
                        .as_deref()
                        .map(|from| mask_addresses(from).into_owned());
                }
                operations
            }),
            reasons: job.skipped,
            note: job.note,
            key_name: job.key_name,
            error: job.error,
        }
    }

    /// The progress in percent.
    pub(crate) fn percent(&self) -> u64 {
        match self.total {
            0 => 100,
            total => (self.processed * 100 / total).min(100),
        }
    }
}

/// The probable end: by the rate, or else by the speed so far.
fn eta(job: &JobView) -> Option<Timestamp> {
    if job.state != JobState::Running {
        return None;
    }
    let left = u32::try_from(job.total.saturating_sub(job.processed())).unwrap_or(u32::MAX);
    let by_speed = || {
        let so_far = (job.updated_at - job.created_at).to_std().ok()?;
        let done = u32::try_from(job.processed()).ok().filter(|done| *done > 0)?;
        Some(so_far.mul_f64(f64::from(left) / f64::from(done)))
    };
    let wait = match job.rate {
        Some(rate) => Some(Duration::from_secs(u64::from(left / rate.max(1)))),
        None => by_speed(),
    };
    wait.map(|wait| later(job.updated_at, wait))
}
