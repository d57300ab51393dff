//! Planned replays: makes the job of each whose condition holds. The job is made in the transaction that ends the plan's wait,
//! so several schedulers make one job.

use std::time::Duration;

use carillon_store::dead_letters::BatchOf;

use crate::{SchedulerDeps, SchedulerError};

/// The interval at which conditions are looked at.
pub(crate) const POLL: Duration = Duration::from_secs(2);

/// Starts planned replays.
pub struct Planner {
    deps: SchedulerDeps,
}

impl Planner {
    /// A planner with these dependencies.
    #[must_use]
    pub fn new(deps: SchedulerDeps) -> Self {
        Self { deps }
    }

    /// Makes the jobs of the planned replays whose conditions hold. Returns the number of jobs that this process has made.
    pub async fn step(&self) -> Result<u64, SchedulerError> {
        let (groups, letters) = (
            self.deps.store.dead_letter_groups(),
            self.deps.store.dead_letters(),
        );
        let mut started = 0;
        for due in groups.due().await? {
            let (now, selection) = (self.deps.clock.now(), due.selection());
            let total = letters
                .count(BatchOf {
                    tenant: &due.who.tenant,
                    filter: &selection,
                    until: Some(now),
                    after: None,
                    limit: 1,
                })
                .await?;
            if groups.start(&due, total, now).await? {
                started += 1;
                metrics::counter!("carillon_dlq_planned_started_total").increment(1);
                tracing::info!(
                    job = %due.plan.id, fingerprint = due.fingerprint, letters = total,
                    "a planned replay has started: {}", due.plan.condition.sentence()
                );
            }
        }
        Ok(started)
    }
}
