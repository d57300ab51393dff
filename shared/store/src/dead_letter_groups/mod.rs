//! The handling of causes of dead letters by people: note, owner and whether a cause is ignored (table
//! `dead_letter_groups`), and replays that begin by themselves (table `planned_replays`).

mod plans;
mod rows;

use std::{collections::HashMap, time::Duration};

use carillon_domain::{TenantId, Timestamp};
use carillon_runtime::http::Conditions;

pub use plans::{DuePlan, NewPlan, PlanCondition, PlanState, PlannedReplay};
pub use rows::{Handling, HandlingPatch, Ignored};

use self::rows::{HANDLING, Row};
use crate::{
    api_keys::Principal,
    audit_log::{self, AuditAction},
    db::{Db, Tx, again, execute, fetch},
    error::StoreError,
    versioned::{require, written},
};

/// The most ignored causes of a tenant. Lists leave them out one by one.
pub const MOST_IGNORED: usize = 1_000;

/// The handlings of causes.
#[derive(Debug, Clone)]
pub struct DeadLetterGroups {
    db: Db,
    /// The retention of settled letters in the read model.
    retention: Duration,
}

impl DeadLetterGroups {
    pub(crate) fn new(db: Db, history_retention: Duration) -> Self {
        Self {
            db,
            retention: history_retention,
        }
    }

    /// The handling of a cause; the default one if nobody has handled it.
    pub async fn get(&self, tenant: &TenantId, fingerprint: &str) -> Result<Handling, StoreError> {
        let row = fetch!(
            optional, self.db.read().await? => Row,
            concat!(HANDLING!(), " WHERE g.tenant = $1 AND g.fingerprint = $2"),
            tenant.as_str(), fingerprint
        )?;
        Ok(row.map(Row::handling).transpose()?.unwrap_or_default())
    }

    /// The handlings of a tenant's causes, by fingerprint. A cause that nobody has handled is not among them.
    pub async fn all(&self, tenant: &TenantId) -> Result<HashMap<String, Handling>, StoreError> {
        let rows = fetch!(
            all, self.db.read().await? => Row,
            concat!(HANDLING!(), " WHERE g.tenant = $1"),
            tenant.as_str()
        )?;
        rows.into_iter()
            .map(|row| Ok((row.fingerprint.clone(), row.handling()?)))
            .collect()
    }

    /// The fingerprints of a tenant's ignored causes.
    pub async fn ignored(&self, tenant: &TenantId) -> Result<Vec<String>, StoreError> {
        let rows = fetch!(
            all, self.db.read().await? => (String,),
            "SELECT fingerprint FROM dead_letter_groups WHERE tenant = $1 AND ignored_at IS NOT NULL
            ORDER BY fingerprint",
            tenant.as_str()
        )?;
        Ok(rows.into_iter().map(|(fingerprint,)| fingerprint).collect())
    }

    /// Changes the handling of a cause, if the conditions hold, and notes it in the audit log. A cause that nobody has
    /// handled counts as existing, with the version 0.
    pub async fn change(
        &self,
        who: &Principal,
        fingerprint: &str,
        patch: &HandlingPatch,
        conditions: &Conditions,
    ) -> Result<Handling, StoreError> {
        again(|| self.try_change(who, fingerprint, patch, conditions)).await?;
        self.get(&who.tenant, fingerprint).await
    }

    async fn try_change(
        &self,
        who: &Principal,
        fingerprint: &str,
        patch: &HandlingPatch,
        conditions: &Conditions,
    ) -> Result<(), StoreError> {
        let now = self.db.now();
        let mut tx = self.db.begin().await?;
        let before = lock(&mut tx, &who.tenant, fingerprint, conditions).await?;
        let after = patch.apply(&before, who, now);
        let is_told = (&after.note, &after.owner) != (&before.note, &before.owner);
        let is_turned = after.ignored.is_some() != before.ignored.is_some();
        if !is_told && !is_turned {
            return Ok(());
        }
        if is_turned && after.ignored.is_some() {
            refuse_more(&mut tx, &who.tenant).await?;
        }
        write(&mut tx, who, fingerprint, &before, &after, now).await?;
        let route = route(fingerprint);
        if is_told {
            audit_log::append(&mut tx, who, AuditAction::Annotate, &route, now).await?;
        }
        if is_turned {
            let action = match after.ignored {
                Some(_) => AuditAction::Ignore,
                None => AuditAction::Unignore,
            };
            audit_log::append(&mut tx, who, action, &route, now).await?;
        }
        tx.commit().await
    }

    /// Plans a replay of a cause, in the place of one that waits, and notes it in the audit log.
    pub async fn plan(
        &self,
        who: &Principal,
        fingerprint: &str,
        plan: &NewPlan,
        conditions: &Conditions,
    ) -> Result<Handling, StoreError> {
        again(|| async {
            let now = self.db.now();
            let mut tx = self.db.begin().await?;
            let before = lock(&mut tx, &who.tenant, fingerprint, conditions).await?;
            let mut after = before.clone();
            after.plan_id = Some(plan.id);
            // This write locks the cause, so that two plans never wait for it at once.
            write(&mut tx, who, fingerprint, &before, &after, now).await?;
            plans::cancel(&mut tx, &who.tenant, fingerprint, now).await?;
            plans::insert(&mut tx, who, fingerprint, plan, now).await?;
            audit_log::append(&mut tx, who, AuditAction::Plan, &plan_route(fingerprint), now).await?;
            tx.commit().await
        })
        .await?;
        self.get(&who.tenant, fingerprint).await
    }

    /// Cancels the planned replay of a cause, and notes it in the audit log. Returns [`StoreError::NotFound`] if none waits.
    pub async fn cancel_plan(
        &self,
        who: &Principal,
        fingerprint: &str,
        conditions: &Conditions,
    ) -> Result<Handling, StoreError> {
        again(|| async {
            let now = self.db.now();
            let mut tx = self.db.begin().await?;
            let before = lock(&mut tx, &who.tenant, fingerprint, conditions).await?;
            if before.version == 0 || !plans::cancel(&mut tx, &who.tenant, fingerprint, now).await? {
                return Err(StoreError::NotFound {
                    what: "planned replay",
                });
            }
            write(&mut tx, who, fingerprint, &before, &before, now).await?;
            audit_log::append(&mut tx, who, AuditAction::Cancel, &plan_route(fingerprint), now).await?;
            tx.commit().await
        })
        .await?;
        self.get(&who.tenant, fingerprint).await
    }

    /// The planned replays of all tenants whose conditions hold, oldest first.
    pub async fn due(&self) -> Result<Vec<DuePlan>, StoreError> {
        plans::due(&self.db).await
    }

    /// Makes the job of a planned replay, in the transaction that ends its wait. `false` if it does not wait any more: it
    /// was cancelled, or another process has made the job.
    pub async fn start(&self, due: &DuePlan, total: u64, at: Timestamp) -> Result<bool, StoreError> {
        again(|| plans::start(&self.db, due, total, at)).await
    }

    /// Deletes planned replays that have ended, once they are older than `age` and than the retention of the read model.
    /// Returns the number of rows.
    pub async fn prune(&self, age: Duration) -> Result<u64, StoreError> {
        self.db.prune(plans::PRUNABLE, age.max(self.retention)).await
    }
}

/// Reads the handling of a cause and takes its row's lock. Fails if the conditions do not hold for it.
async fn lock(
    tx: &mut Tx,
    tenant: &TenantId,
    fingerprint: &str,
    conditions: &Conditions,
) -> Result<Handling, StoreError> {
    execute!(
        tx,
        "UPDATE dead_letter_groups SET updated_at = updated_at WHERE tenant = $1 AND fingerprint = $2",
        tenant.as_str(),
        fingerprint
    )?;
    let row = fetch!(
        optional, tx => Row,
        concat!(HANDLING!(), " WHERE g.tenant = $1 AND g.fingerprint = $2"),
        tenant.as_str(), fingerprint
    )?;
    let handling = row.map(Row::handling).transpose()?.unwrap_or_default();
    require(conditions, true, Some(handling.version))?;
    Ok(handling)
}

/// Writes the handling of a cause, if it still has the version that was seen.
async fn write(
    tx: &mut Tx,
    who: &Principal,
    fingerprint: &str,
    before: &Handling,
    after: &Handling,
    now: Timestamp,
) -> Result<(), StoreError> {
    let ignored = after.ignored.as_ref();
    written(fetch!(
        optional, tx => (i64,),
        "INSERT INTO dead_letter_groups (tenant, fingerprint, version, note, owner, ignored_at, ignored_by, plan_id,
            updated_at, updated_by)
        VALUES ($1, $2, 1, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (tenant, fingerprint) DO UPDATE SET version = dead_letter_groups.version + 1, note = excluded.note,
            owner = excluded.owner, ignored_at = excluded.ignored_at, ignored_by = excluded.ignored_by,
            plan_id = excluded.plan_id, updated_at = excluded.updated_at, updated_by = excluded.updated_by
        WHERE dead_letter_groups.version = $10
        RETURNING version",
        who.tenant.as_str(),
        fingerprint,
        after.note.as_deref(),
        after.owner.as_deref(),
        ignored.map(|ignored| ignored.at),
        ignored.map(|ignored| ignored.by.as_str()),
        after.plan_id,
        now,
        who.name.as_str(),
        before.version
    )?)
    .map(drop)
}

async fn refuse_more(tx: &mut Tx, tenant: &TenantId) -> Result<(), StoreError> {
    let (count,) = fetch!(
        one, tx => (i64,),
        "SELECT COUNT(*) FROM dead_letter_groups WHERE tenant = $1 AND ignored_at IS NOT NULL",
        tenant.as_str()
    )?;
    if usize::try_from(count).unwrap_or(usize::MAX) < MOST_IGNORED {
        return Ok(());
    }
    Err(StoreError::Full {
        what: "ignored causes",
        most: MOST_IGNORED,
    })
}

/// The tenants and fingerprints of all ignored causes.
pub(crate) async fn ignored_causes(db: &Db) -> Result<Vec<(String, String)>, StoreError> {
    fetch!(
        all, db.read().await? => (String, String),
        "SELECT tenant, fingerprint FROM dead_letter_groups WHERE ignored_at IS NOT NULL"
    )
}

/// The cause's path, by which the audit log names it.
fn route(fingerprint: &str) -> String {
    format!("/v1/dlq/groups/{fingerprint}")
}

fn plan_route(fingerprint: &str) -> String {
    format!("{}/planned-replay", route(fingerprint))
}
