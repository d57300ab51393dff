//! Planned replays: a replay of a cause that begins by itself once its condition holds.

use std::time::Duration;

use carillon_domain::{TenantId, Timestamp};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr};
use uuid::Uuid;

use crate::{
    api_keys::{Principal, Role},
    columns::{self, int},
    db::{Db, Prunable, Tx, execute, fetch, prunable},
    dead_letter_jobs::{self, Canary, JobKind, NewJob},
    dead_letters::{DeadLetterFilter, DeadLetterState},
    error::StoreError,
};

pub(super) const PRUNABLE: Prunable = prunable!("planned_replays", "updated_at", "state <> 'waiting'");

/// A hold of a process that has ended counts for this long, so that a restart of workers does not look as if their accounts
/// had opened.
const PATIENCE: Duration = Duration::from_mins(5);

/// The time within which every renderer has loaded a version that was published. A replay before that would fail again.
const LOADED: Duration = Duration::from_secs(15);

/// The condition under which a planned replay begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanCondition {
    /// A version of the template above `after` is published, for any locale.
    Template {
        /// `<type>/<channel>`.
        id: String,
        /// The version that does not suffice.
        after: u32,
    },
    /// No worker holds the provider account.
    Account(String),
}

/// The state of a planned replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsRefStr, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum PlanState {
    /// Its condition does not hold yet.
    Waiting,
    /// Its job was made.
    Started,
    /// It was cancelled, or another plan has replaced it.
    Cancelled,
}

/// A replay to be planned.
#[derive(Debug, Clone)]
pub struct NewPlan {
    /// The id of the job to be made, a UUID of version 7.
    pub id: Uuid,
    /// Its condition.
    pub condition: PlanCondition,
    /// The most letters a second.
    pub rate: Option<u32>,
    /// A note that the job shows.
    pub note: Option<String>,
    /// The letters that go first.
    pub canary: Option<Canary>,
}

/// A planned replay as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedReplay {
    /// The id of its job, which exists once the plan has started.
    pub id: Uuid,
    /// Its condition.
    pub condition: PlanCondition,
    /// The most letters a second.
    pub rate: Option<u32>,
    /// A note that the job shows.
    pub note: Option<String>,
    /// The letters that go first.
    pub canary: Option<Canary>,
    /// Its state.
    pub state: PlanState,
    /// The name of the API key that planned it.
    pub key_name: String,
    /// The time at which it was planned.
    pub created_at: Timestamp,
    /// The time at which it reached its state.
    pub updated_at: Timestamp,
}

/// A planned replay whose condition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuePlan {
    /// The API key that planned it, with its tenant.
    pub who: Principal,
    /// The cause.
    pub fingerprint: String,
    /// The plan.
    pub plan: PlannedReplay,
}

impl DuePlan {
    /// The letters that its job works off.
    #[must_use]
    pub fn selection(&self) -> DeadLetterFilter {
        DeadLetterFilter {
            state: vec![DeadLetterState::Open],
            fingerprint: vec![self.fingerprint.clone()],
            ..DeadLetterFilter::default()
        }
    }
}

impl PlanCondition {
    /// The condition as a sentence, which follows "once".
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Template { id, after: 0 } => format!("a version of {id} is published"),
            Self::Template { id, after } => format!("a version of {id} above {after} is published"),
            Self::Account(name) => format!("the account {name} is open again"),
        }
    }

    fn columns(&self) -> (&'static str, &str, Option<i64>) {
        match self {
            Self::Template { id, after } => ("template", id, Some(i64::from(*after))),
            Self::Account(name) => ("account", name, None),
        }
    }
}

/// The columns of a plan. All are null in a join without a plan.
#[derive(sqlx::FromRow)]
pub(super) struct PlanRow {
    id: Option<Uuid>,
    kind: Option<String>,
    subject: Option<String>,
    after_version: Option<i64>,
    rate: Option<i32>,
    note: Option<String>,
    canary: Option<i32>,
    canary_tolerance: Option<i32>,
    key_name: Option<String>,
    state: Option<String>,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
}

impl PlanRow {
    pub(super) fn view(self) -> Result<Option<PlannedReplay>, StoreError> {
        const CORRUPT: StoreError = StoreError::Corrupt {
            what: "a planned replay",
        };
        let Some(id) = self.id else { return Ok(None) };
        let subject = self.subject.ok_or(CORRUPT)?;
        let condition = match (self.kind.as_deref(), self.after_version) {
            (Some("template"), Some(after)) => PlanCondition::Template {
                id: subject,
                after: columns::version(after)?,
            },
            (Some("account"), _) => PlanCondition::Account(subject),
            _ => return Err(CORRUPT),
        };
        Ok(Some(PlannedReplay {
            id,
            condition,
            rate: self.rate.map(i32::unsigned_abs),
            note: self.note,
            canary: self.canary.map(|letters| Canary {
                letters: letters.unsigned_abs(),
                tolerance: self.canary_tolerance.map_or(0, i32::unsigned_abs),
            }),
            state: columns::parse(&self.state.ok_or(CORRUPT)?, "a planned replay's state")?,
            key_name: self.key_name.ok_or(CORRUPT)?,
            created_at: self.created_at.ok_or(CORRUPT)?,
            updated_at: self.updated_at.ok_or(CORRUPT)?,
        }))
    }
}

/// Cancels the plan that waits for a cause. `false` if there is none.
pub(super) async fn cancel(
    tx: &mut Tx,
    tenant: &TenantId,
    fingerprint: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let cancelled = execute!(
        tx,
        "UPDATE planned_replays SET state = 'cancelled', updated_at = $1
        WHERE tenant = $2 AND fingerprint = $3 AND state = 'waiting'",
        now,
        tenant.as_str(),
        fingerprint
    )?;
    Ok(cancelled > 0)
}

pub(super) async fn insert(
    tx: &mut Tx,
    who: &Principal,
    fingerprint: &str,
    plan: &NewPlan,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (kind, subject, after) = plan.condition.columns();
    execute!(
        tx,
        "INSERT INTO planned_replays (id, tenant, fingerprint, kind, subject, after_version, rate, note, canary,
            canary_tolerance, key_id, key_name, state, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'waiting', $13, $13)",
        plan.id,
        who.tenant.as_str(),
        fingerprint,
        kind,
        subject,
        after,
        plan.rate.map(int),
        plan.note.as_deref(),
        plan.canary.map(|canary| int(canary.letters)),
        plan.canary.map(|canary| int(canary.tolerance)),
        who.key_id,
        who.name.as_str(),
        now
    )?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct DueRow {
    tenant: String,
    fingerprint: String,
    key_id: Uuid,
    #[sqlx(flatten)]
    plan: PlanRow,
}

pub(super) async fn due(db: &Db) -> Result<Vec<DuePlan>, StoreError> {
    let now = db.now();
    let rows = fetch!(
        all, db.read().await? => DueRow,
        "SELECT p.tenant, p.fingerprint, p.key_id, p.id, p.kind, p.subject, p.after_version, p.rate, p.note, p.canary,
            p.canary_tolerance, p.key_name, p.state, p.created_at, p.updated_at
        FROM planned_replays p
        WHERE p.state = 'waiting' AND (
            (p.kind = 'template' AND EXISTS (
                SELECT 1 FROM template_published t
                JOIN template_versions v ON v.tenant = t.tenant AND v.id = t.id AND v.version = t.version
                WHERE t.tenant = p.tenant AND t.id = p.subject AND t.version > p.after_version
                    AND v.created_at <= $3))
            OR (p.kind = 'account' AND NOT EXISTS (
                SELECT 1 FROM account_holds h
                WHERE h.account = p.subject AND (h.noted_at >= $1 OR h.ends_at > $2))))
        ORDER BY p.id",
        now - PATIENCE,
        now,
        now - LOADED
    )?;
    let due = rows.into_iter().filter_map(|row| {
        let plan = row.plan.view().transpose()?;
        Some(plan.map(|plan| DuePlan {
            who: Principal {
                key_id: row.key_id,
                name: plan.key_name.clone(),
                tenant: TenantId::from(row.tenant),
                role: Role::Operator,
            },
            fingerprint: row.fingerprint,
            plan,
        }))
    });
    due.collect()
}

pub(super) async fn start(db: &Db, due: &DuePlan, total: u64, at: Timestamp) -> Result<bool, StoreError> {
    let plan = &due.plan;
    let mut tx = db.begin().await?;
    let ended = execute!(
        tx,
        "UPDATE planned_replays SET state = 'started', updated_at = $1 WHERE id = $2 AND state = 'waiting'",
        at,
        plan.id
    )?;
    if ended == 0 {
        return Ok(false);
    }
    let job = NewJob {
        id: plan.id,
        kind: JobKind::Replay,
        selection: due.selection(),
        total,
        rate: plan.rate,
        note: Some(match &plan.note {
            Some(note) => note.clone(),
            None => format!("planned: once {}", plan.condition.sentence()),
        }),
        canary: plan.canary,
        edit: None,
        at,
    };
    dead_letter_jobs::insert(&mut tx, &due.who, &job).await?;
    tx.commit().await?;
    Ok(true)
}
