//! Jobs that work dead letters off (table `dead_letter_jobs`), and the verdicts that they give (table
//! `dead_letter_verdicts`). A letter gets at most one verdict, and the records of a replay are written into the outbox in
//! the transaction that gives it. So each letter is put back exactly once, even if a process dies at any point.

mod canary;
mod rows;
mod step;
mod verdicts;

use std::time::Duration;

use carillon_domain::{TenantId, Timestamp};
use uuid::Uuid;

pub use canary::{Canary, CanaryFates, CanaryPhase, CanaryView, PutBack};
pub use rows::{
    Cancelled, JobKind, JobState, JobStep, JobView, Moved, NewJob, SettledLetter, StepEnd, TakenJob,
    VerdictView,
};
pub(crate) use verdicts::given;

use self::rows::{JobRow, job_columns};
use crate::{
    api_keys::Principal,
    audit_log::{self, AuditAction},
    columns::int,
    config::Dialect,
    db::{Db, Document, Dynamic, Prunable, Tx, again, execute, fetch, prunable, write_one},
    error::StoreError,
    lease::Lease,
    page::{Cursor, Page, PageOf},
};

const JOBS: Prunable = prunable!(
    "dead_letter_jobs",
    "updated_at",
    "state NOT IN ('running', 'paused')"
);
/// The time of a step that the former release never takes.
const NEVER: Timestamp = Timestamp::from_timestamp_nanos(9_000_000_000_000_000_000);
const VERDICTS: Prunable = prunable!("dead_letter_verdicts", "at");

const TAKE_ONE: &str = concat!(
    "UPDATE dead_letter_jobs SET owner = $1, lease_until = $2 WHERE id = (
        SELECT id FROM dead_letter_jobs
        WHERE state = 'running' AND COALESCE(step_at, next_step_at) <= $3
            AND (lease_until IS NULL OR lease_until < $3 OR $4)
        ORDER BY COALESCE(step_at, next_step_at), id LIMIT 1)
    RETURNING ",
    job_columns!()
);

/// Like [`TAKE_ONE`], for several processes.
const TAKE_UNLOCKED: &str = concat!(
    "UPDATE dead_letter_jobs SET owner = $1, lease_until = $2 WHERE id = (
        SELECT id FROM dead_letter_jobs
        WHERE state = 'running' AND COALESCE(step_at, next_step_at) <= $3
            AND (lease_until IS NULL OR lease_until < $3 OR $4)
        ORDER BY COALESCE(step_at, next_step_at), id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING ",
    job_columns!()
);

/// The jobs and their verdicts.
#[derive(Debug, Clone)]
pub struct DeadLetterJobs {
    db: Db,
    /// The retention of settled letters in the read model, with some slack.
    retention: Duration,
}

impl DeadLetterJobs {
    pub(crate) fn new(db: Db, history_retention: Duration) -> Self {
        Self {
            db,
            // Settled letters are deleted once an hour.
            retention: history_retention + Duration::from_hours(24),
        }
    }

    /// Makes a job and its entry in the audit log, in one transaction. A job that exists already stays as it is, so that a
    /// form that is sent twice makes one job.
    pub async fn create(&self, who: &Principal, job: &NewJob) -> Result<(), StoreError> {
        again(|| async {
            let mut tx = self.db.begin().await?;
            insert(&mut tx, who, job).await?;
            tx.commit().await
        })
        .await
    }

    /// A job.
    pub async fn get(&self, tenant: &TenantId, id: Uuid) -> Result<Option<JobView>, StoreError> {
        let row = fetch!(
            optional, self.db.read().await? => JobRow,
            concat!("SELECT ", job_columns!(), " FROM dead_letter_jobs WHERE tenant = $1 AND id = $2"),
            tenant.as_str(), id
        )?;
        row.map(JobRow::view).transpose()
    }

    /// A tenant's jobs, newest first.
    pub async fn list(&self, tenant: &TenantId, page: Page) -> Result<PageOf<JobView>, StoreError> {
        let mut query = Dynamic::new(concat!(
            "SELECT ",
            job_columns!(),
            " FROM dead_letter_jobs WHERE tenant = "
        ));
        query.value(tenant.as_str());
        if let Some(after) = page.after {
            query
                .sql(" AND (created_at, id) < (")
                .value(after.at)
                .sql(", ")
                .value(after.id)
                .sql(")");
        }
        query
            .sql(" ORDER BY created_at DESC, id DESC LIMIT ")
            .value(page.rows() + 1);
        let rows: Vec<JobRow> = query.fetch(self.db.read().await?.conn()).await?;
        let jobs = rows
            .into_iter()
            .map(JobRow::view)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(PageOf::cut(jobs, &page, |job| Cursor {
            at: job.created_at,
            id: job.id,
        }))
    }

    /// Ends a job, and notes it in the audit log. A step that is under way writes nothing more. `None` if there is no such
    /// job.
    pub async fn cancel(&self, who: &Principal, id: Uuid) -> Result<Option<Cancelled>, StoreError> {
        let now = self.db.now();
        let is_cancelled = again(|| async {
            let mut tx = self.db.begin().await?;
            let ended = execute!(
                tx,
                "UPDATE dead_letter_jobs SET state = 'cancelled', ended_at = $1, updated_at = $1, owner = NULL,
                    lease_until = NULL
                WHERE tenant = $2 AND id = $3 AND state IN ('running', 'paused')",
                now,
                who.tenant.as_str(),
                id
            )?;
            if ended > 0 {
                audit_log::append(&mut tx, who, AuditAction::Cancel, &route(id), now).await?;
            }
            tx.commit().await?;
            Ok::<_, StoreError>(ended > 0)
        })
        .await?;
        let job = self.get(&who.tenant, id).await?.map(Box::new);
        Ok(job.map(|job| {
            if is_cancelled {
                Cancelled::Now(job)
            } else {
                Cancelled::HadEnded(job)
            }
        }))
    }

    /// Stops a running job until it is resumed, and notes it in the audit log. A step that is under way writes nothing more.
    /// `None` if there is no such job.
    pub async fn pause(&self, who: &Principal, id: Uuid) -> Result<Option<Moved>, StoreError> {
        let now = self.db.now();
        let is_moved = again(|| async {
            let mut tx = self.db.begin().await?;
            let paused = execute!(
                tx,
                "UPDATE dead_letter_jobs SET state = 'paused', updated_at = $1, owner = NULL, lease_until = NULL
                WHERE tenant = $2 AND id = $3 AND state = 'running'",
                now,
                who.tenant.as_str(),
                id
            )?;
            if paused > 0 {
                audit_log::append(&mut tx, who, AuditAction::Pause, &route(id), now).await?;
            }
            tx.commit().await?;
            Ok::<_, StoreError>(paused > 0)
        });
        self.moved(who, id, is_moved.await?).await
    }

    /// Lets a job that was paused, or that its canary has stopped, go on where it stopped, and notes it in the audit log. `None` if there is no such job.
    pub async fn resume(&self, who: &Principal, id: Uuid) -> Result<Option<Moved>, StoreError> {
        let now = self.db.now();
        let is_moved = again(|| async {
            let mut tx = self.db.begin().await?;
            let resumed = execute!(
                tx,
                "UPDATE dead_letter_jobs SET state = 'running', updated_at = $1,
                    next_step_at = CASE WHEN step_at IS NULL THEN $1 ELSE next_step_at END,
                    step_at = CASE WHEN step_at IS NULL THEN NULL ELSE $1 END,
                    canary_phase = CASE WHEN canary_phase = 'failed' THEN 'overruled' ELSE canary_phase END
                WHERE tenant = $2 AND id = $3 AND state = 'paused'",
                now,
                who.tenant.as_str(),
                id
            )?;
            if resumed > 0 {
                audit_log::append(&mut tx, who, AuditAction::Resume, &route(id), now).await?;
            }
            tx.commit().await?;
            Ok::<_, StoreError>(resumed > 0)
        });
        self.moved(who, id, is_moved.await?).await
    }

    async fn moved(&self, who: &Principal, id: Uuid, is_moved: bool) -> Result<Option<Moved>, StoreError> {
        let job = self.get(&who.tenant, id).await?;
        Ok(job.map(|job| Moved { is_moved, job }))
    }

    /// Takes the job whose next step is due first, of any tenant, for one step. A lease of another process counts until its
    /// end, unless other processes are known to be dead.
    pub async fn take(&self, lease: Lease, others_are_dead: bool) -> Result<Option<TakenJob>, StoreError> {
        let now = self.db.now();
        // Usually no job is due; then nothing is written.
        let due = fetch!(
            optional, self.db.read().await? => (i32,),
            "SELECT 1 FROM dead_letter_jobs WHERE state = 'running' AND COALESCE(step_at, next_step_at) <= $1 LIMIT 1",
            now
        )?;
        if due.is_none() {
            return Ok(None);
        }
        let statement = match self.db.dialect() {
            Dialect::Sqlite => TAKE_ONE,
            Dialect::Postgres => TAKE_UNLOCKED,
        };
        let row = again(|| async {
            let mut write = self.db.write().await?;
            let row = fetch!(
                optional, write => JobRow,
                statement, lease.owner, lease.until, now, others_are_dead
            )?;
            write.commit().await?;
            Ok::<_, StoreError>(row)
        })
        .await?;
        let job = row.map(JobRow::view).transpose()?;
        Ok(job.map(|job| TakenJob { job, lease }))
    }

    /// Writes a step: verdicts, the records of the letters that got theirs from this job, the job's progress and its
    /// position, in one transaction.
    pub async fn step(&self, taken: &TakenJob, step: &JobStep) -> Result<StepEnd, StoreError> {
        let now = self.db.now();
        again(|| step::write(&self.db, taken, step, now)).await
    }

    /// Gives a step back without a result.
    pub async fn release(&self, taken: &TakenJob) -> Result<(), StoreError> {
        write_one!(
            self.db,
            "UPDATE dead_letter_jobs SET owner = NULL, lease_until = NULL WHERE id = $1 AND owner = $2",
            taken.job.id,
            taken.lease.owner
        )?;
        Ok(())
    }

    /// Ends a job with an error.
    pub async fn fail(&self, taken: &TakenJob, error: &str) -> Result<(), StoreError> {
        write_one!(
            self.db,
            "UPDATE dead_letter_jobs SET state = 'failed', error = $1, ended_at = $2, updated_at = $2, owner = NULL,
                lease_until = NULL
            WHERE id = $3 AND owner = $4 AND state = 'running'",
            error,
            self.db.now(),
            taken.job.id,
            taken.lease.owner
        )?;
        Ok(())
    }

    /// The verdicts about letters of a tenant, in no particular order.
    pub async fn verdicts(
        &self,
        tenant: &TenantId,
        letters: &[Uuid],
    ) -> Result<Vec<VerdictView>, StoreError> {
        verdicts::views(&self.db, tenant, letters).await
    }

    /// The numbers of running jobs, and of letters that these have left.
    pub async fn running(&self) -> Result<(u64, u64), StoreError> {
        let rows = fetch!(
            all, self.db.read().await? => JobRow,
            concat!("SELECT ", job_columns!(), " FROM dead_letter_jobs WHERE state = 'running'")
        )?;
        let jobs = rows
            .into_iter()
            .map(JobRow::view)
            .collect::<Result<Vec<_>, _>>()?;
        let left = jobs.iter().map(|job| job.total.saturating_sub(job.processed()));
        Ok((jobs.len() as u64, left.sum()))
    }

    /// Deletes verdicts, and jobs that have ended, that are older than `age` and than the retention of the read model. A
    /// verdict has to outlast its letter there and in the dead letter topic, from which it may be read again. Returns the
    /// number of rows.
    pub async fn prune(&self, age: Duration) -> Result<u64, StoreError> {
        let age = age.max(self.retention);
        Ok(self.db.prune(VERDICTS, age).await? + self.db.prune(JOBS, age).await?)
    }
}

/// The job's path, by which the audit log names it.
fn route(job: Uuid) -> String {
    format!("/v1/dlq/jobs/{job}")
}

/// Makes a job and its entry in the audit log. A job that exists already stays as it is.
pub(crate) async fn insert(tx: &mut Tx, who: &Principal, job: &NewJob) -> Result<(), StoreError> {
    let selection = Document::of(&job.selection, "a job's selection")?;
    let edit = job.edit.as_ref();
    let edit = edit.map(|edit| Document::of(edit, "a job's edit")).transpose()?;
    // The former release must not take a job whose canary, edit or left out causes it does not know.
    let is_new = job.canary.is_some() || edit.is_some() || !job.selection.without.is_empty();
    let next_step_at = if is_new { NEVER } else { job.at };
    let made = execute!(
        tx,
        "INSERT INTO dead_letter_jobs (id, tenant, kind, selection, state, total, settled, skipped, rate, note,
            key_id, key_name, created_at, updated_at, next_step_at, step_at, canary, canary_tolerance,
            canary_phase, edit)
        VALUES ($1, $2, $3, $4, 'running', $5, 0, $6, $7, $8, $9, $10, $11, $11, $12, $13, $14, $15, $16, $17)
        ON CONFLICT (id) DO NOTHING",
        job.id,
        who.tenant.as_str(),
        <&str>::from(job.kind),
        &selection,
        i64::try_from(job.total).unwrap_or(i64::MAX),
        &Document("{}".to_owned()),
        job.rate.map(int),
        job.note.as_deref(),
        who.key_id,
        who.name.as_str(),
        job.at,
        next_step_at,
        is_new.then_some(job.at),
        job.canary.map(|canary| int(canary.letters)),
        job.canary.map(|canary| int(canary.tolerance)),
        job.canary.map(|_| <&str>::from(CanaryPhase::Sending)),
        edit.as_ref()
    )?;
    if made > 0 {
        let action = match (job.kind, &job.edit) {
            (JobKind::Replay, None) => AuditAction::Replay,
            (JobKind::Replay, Some(_)) => AuditAction::Edit,
            (JobKind::Discard, _) => AuditAction::Discard,
        };
        audit_log::append(tx, who, action, &route(job.id), job.at).await?;
    }
    Ok(())
}
