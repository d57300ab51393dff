//! The job runner: takes the job whose step is due first, works a batch of its letters off, and writes verdicts, outbox
//! and progress in one transaction. Jobs take turns step by step, so that a slow one does not keep others waiting. A step
//! that was not written, because its process died or the job was cancelled, has had no effect.

use std::time::Duration;

use carillon_domain::{Timestamp, clock::later};
use carillon_runtime::panics;
use carillon_store::{
    Lease,
    dead_letter_jobs::{Canary, CanaryPhase, StepEnd, TakenJob},
    dead_letters::{BatchOf, LetterBatch},
};
use uuid::Uuid;

use crate::{LEASE, SchedulerDeps, SchedulerError, canary, plan};

/// The interval at which an idle runner looks for jobs.
pub(crate) const POLL: Duration = Duration::from_millis(500);
/// The most letters of a step.
const MAX_LETTERS: u32 = 500;
/// The number of records in the outbox at which no further step is taken, so that the database does not fill while the
/// bus is away.
const FULL: u32 = 5_000;

/// Runs jobs.
pub struct Runner {
    deps: SchedulerDeps,
}

/// The effect of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stepped {
    /// A step was taken.
    Worked,
    /// No step is due, or the outbox is full.
    Idle,
}

impl Runner {
    /// A runner with these dependencies.
    #[must_use]
    pub fn new(deps: SchedulerDeps) -> Self {
        Self { deps }
    }

    /// Takes the step that is due first.
    pub async fn step(&self) -> Result<Stepped, SchedulerError> {
        let (jobs, outbox) = (self.deps.store.dead_letter_jobs(), self.deps.store.outbox());
        if outbox.count_up_to(FULL).await? >= u64::from(FULL) {
            return Ok(Stepped::Idle);
        }
        let lease = Lease {
            owner: Uuid::now_v7(),
            until: later(self.deps.clock.now(), LEASE),
        };
        let Some(taken) = jobs.take(lease, self.deps.only_process).await? else {
            return Ok(Stepped::Idle);
        };
        match panics::catch(panics::role(), self.work(&taken)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                // Without an answer the lease ends by itself.
                let _ = jobs.release(&taken).await;
                return Err(error);
            }
            Err(panic) => jobs.fail(&taken, &panic.to_string()).await?,
        }
        Ok(Stepped::Worked)
    }

    async fn work(&self, taken: &TakenJob) -> Result<(), SchedulerError> {
        let (job, store) = (&taken.job, &self.deps.store);
        let canary = job.canary.as_ref();
        if let Some(canary) = canary.filter(|canary| canary.phase == CanaryPhase::Watching) {
            return self.watch(taken, canary.canary).await;
        }
        let limit = job.rate.map_or(MAX_LETTERS, |rate| rate.clamp(1, MAX_LETTERS));
        // The canary's letters go first, and none of the others.
        let first = canary.filter(|canary| canary.phase == CanaryPhase::Sending);
        let first = first.map(|canary| u64::from(canary.canary.letters).saturating_sub(job.settled));
        let first = first.map_or(MAX_LETTERS, |left| u32::try_from(left).unwrap_or(MAX_LETTERS));
        let limit = limit.min(first).max(1);
        let batch = store
            .dead_letters()
            .batch(BatchOf {
                tenant: &job.tenant,
                filter: &job.selection,
                // Letters that the job names by id may have died at any time; others must have died before the job was
                // made.
                until: job.selection.ids.is_empty().then_some(job.created_at),
                after: job.after,
                limit,
            })
            .await?;
        let now = self.deps.clock.now();
        let mut step = plan::step(&self.deps, job, &batch, now).await?;
        step.next_step_at = next_step(now, step.letters.len(), job.rate);
        let LetterBatch { has_more, end, .. } = batch;
        (step.end, step.is_last) = (end, !has_more);
        match store.dead_letter_jobs().step(taken, &step).await? {
            StepEnd::Written(settled) => {
                let kind: &'static str = job.kind.into();
                metrics::counter!("carillon_dlq_settled_total", "kind" => kind).increment(settled);
                for (reason, count) in &step.skipped {
                    let reason: &'static str = (*reason).into();
                    metrics::counter!("carillon_dlq_skipped_total", "reason" => reason).increment(*count);
                }
                tracing::debug!(job = %job.id, settled, is_last = step.is_last, "a step of a job was written");
                store.outbox().wake();
            }
            StepEnd::Lost => {
                tracing::info!(job = %job.id, "a step was given up: the job was cancelled or taken over");
            }
        }
        Ok(())
    }

    /// Looks at the fates of a canary's letters. Meanwhile nothing is put back.
    async fn watch(&self, taken: &TakenJob, canary: Canary) -> Result<(), SchedulerError> {
        let job = &taken.job;
        let fates = canary::fates(&self.deps, job).await?;
        let phase = fates.phase(canary);
        let now = self.deps.clock.now();
        let wait = match phase {
            CanaryPhase::Watching => canary::next_look(now, job.updated_at),
            _ => Duration::ZERO,
        };
        let jobs = self.deps.store.dead_letter_jobs();
        if jobs.watch(taken, fates, phase, later(now, wait)).await? && phase == CanaryPhase::Failed {
            metrics::counter!("carillon_dlq_canaries_failed_total").increment(1);
            tracing::warn!(
                job = %job.id, failed = fates.failed, sent = fates.sent,
                "a job has stopped: its canary has failed"
            );
        }
        Ok(())
    }
}

/// The time at which a job with a rate may take its next step.
fn next_step(now: Timestamp, letters: usize, rate: Option<u32>) -> Timestamp {
    let letters = u32::try_from(letters).unwrap_or(MAX_LETTERS);
    match rate {
        Some(rate) => later(now, Duration::from_secs(1) * letters / rate.max(1)),
        None => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_spaces_the_steps() {
        let now: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
        assert_eq!(next_step(now, 500, None), now);
        assert_eq!(next_step(now, 10, Some(10)), later(now, Duration::from_secs(1)));
        assert_eq!(
            next_step(now, 500, Some(2_000)),
            later(now, Duration::from_millis(250))
        );
        assert_eq!(next_step(now, 0, Some(1)), now, "letters that stay cost no time");
    }
}
