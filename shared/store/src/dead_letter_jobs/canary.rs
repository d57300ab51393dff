//! The canary of a job: the letters that it puts back first. Nothing further is put back until each of them has ended, and
//! the job stops if too many have failed again.

use carillon_domain::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr};
use uuid::Uuid;

use super::{DeadLetterJobs, TakenJob};
use crate::{
    columns::int,
    db::{fetch, write_one},
    error::StoreError,
};

/// The letters that go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canary {
    /// Their number.
    pub letters: u32,
    /// The share of them that may fail again, in percent.
    pub tolerance: u32,
}

/// The phase of a canary.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, AsRefStr, Display, EnumString, IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum CanaryPhase {
    /// Its letters are being put back.
    Sending,
    /// Its letters are back, and some have not ended.
    Watching,
    /// Its letters have ended, and no more of them failed than the tolerance allows. The job goes on.
    Passed,
    /// Too many have failed again. The job has stopped.
    Failed,
    /// It had failed, and a person let the job go on.
    Overruled,
}

/// A canary as it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CanaryView {
    /// The letters.
    pub canary: Canary,
    /// Its phase.
    pub phase: CanaryPhase,
    /// The letters that were put back, as last seen.
    pub sent: u32,
    /// Those of them that have ended.
    pub ended: u32,
    /// Those of them that have failed again.
    pub failed: u32,
}

impl Canary {
    /// Whether `failed` of `sent` letters are more than the tolerated share.
    #[must_use]
    pub fn is_failed(self, failed: u32, sent: u32) -> bool {
        u64::from(failed) * 100 > u64::from(sent) * u64::from(self.tolerance)
    }
}

/// The fates of a canary's letters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CanaryFates {
    /// The letters that were put back.
    pub sent: u32,
    /// Those of them that have ended.
    pub ended: u32,
    /// Those of them that have failed again.
    pub failed: u32,
}

impl CanaryFates {
    /// The phase that follows.
    #[must_use]
    pub fn phase(self, canary: Canary) -> CanaryPhase {
        if canary.is_failed(self.failed, self.sent) {
            CanaryPhase::Failed
        } else if self.ended < self.sent {
            CanaryPhase::Watching
        } else {
            CanaryPhase::Passed
        }
    }
}

/// A letter that a job has put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct PutBack {
    /// The letter.
    pub letter_id: Uuid,
    /// The generation of its delivery; 0 for an event.
    generation: i32,
}

impl PutBack {
    /// The generation of its delivery; `None` for an event.
    #[must_use]
    pub fn generation(self) -> Option<u32> {
        Some(self.generation.unsigned_abs()).filter(|generation| *generation > 0)
    }
}

impl DeadLetterJobs {
    /// The letters that a job has put back, at most `limit`, in the order of their ids.
    pub async fn put_back(
        &self,
        tenant: &TenantId,
        job: Uuid,
        limit: u32,
    ) -> Result<Vec<PutBack>, StoreError> {
        fetch!(
            all, self.db.read().await? => PutBack,
            "SELECT letter_id, COALESCE(generation, 0) AS generation FROM dead_letter_verdicts
            WHERE job_id = $1 AND tenant = $2 AND verdict = 'replayed' ORDER BY letter_id LIMIT $3",
            job, tenant.as_str(), i64::from(limit)
        )
    }

    /// Notes the fates of a canary's letters and the phase that follows. A failed canary stops its job.
    pub async fn watch(
        &self,
        taken: &TakenJob,
        fates: CanaryFates,
        phase: CanaryPhase,
        next_step_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let written = write_one!(
            self.db,
            "UPDATE dead_letter_jobs SET canary_phase = $1, canary_sent = $2, canary_ended = $3, canary_failed = $4,
                step_at = $5, updated_at = $6, owner = NULL, lease_until = NULL,
                state = CASE WHEN $1 = 'failed' THEN 'paused' ELSE state END
            WHERE id = $7 AND owner = $8 AND state = 'running'",
            <&str>::from(phase),
            int(fates.sent),
            int(fates.ended),
            int(fates.failed),
            next_step_at,
            self.db.now(),
            taken.job.id,
            taken.lease.owner
        )?;
        Ok(written > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_fails_as_soon_as_more_have_failed_than_may_and_passes_once_all_have_ended() {
        let phase = |tolerance, sent, ended, failed| {
            CanaryFates { sent, ended, failed }.phase(Canary {
                letters: 10,
                tolerance,
            })
        };
        assert_eq!(phase(0, 10, 9, 0), CanaryPhase::Watching);
        assert_eq!(phase(0, 10, 1, 1), CanaryPhase::Failed);
        assert_eq!(phase(0, 10, 10, 0), CanaryPhase::Passed);
        assert_eq!(phase(20, 10, 10, 2), CanaryPhase::Passed);
        assert_eq!(phase(20, 10, 9, 2), CanaryPhase::Watching);
        assert_eq!(phase(20, 10, 3, 3), CanaryPhase::Failed);
        assert_eq!(
            phase(0, 0, 0, 0),
            CanaryPhase::Passed,
            "no letter could be put back"
        );
    }
}
