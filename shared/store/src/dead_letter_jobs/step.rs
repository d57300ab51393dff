//! One step of a job: one transaction.

use std::collections::{BTreeMap, HashSet};

use carillon_domain::{Timestamp, dead_letter::SkipReason};
use uuid::Uuid;

use super::{
    canary::CanaryPhase,
    rows::{JobStep, SettledLetter, StepEnd, TakenJob},
};
use crate::{
    columns::int,
    db::{Db, Document, Input, Tx, execute, fetch},
    error::StoreError,
    outbox,
};

pub(super) async fn write(
    db: &Db,
    taken: &TakenJob,
    step: &JobStep,
    now: Timestamp,
) -> Result<StepEnd, StoreError> {
    let records = step
        .letters
        .iter()
        .map(|letter| letter.records.len())
        .sum::<usize>();
    let mut tx = db.begin_batch(step.letters.len() + records + 1).await?;
    // The first statement locks the job: a cancellation, or another process that takes the job over, comes before this
    // step or after it.
    let held = fetch!(
        optional, tx => (Document,),
        "UPDATE dead_letter_jobs SET updated_at = $1 WHERE id = $2 AND owner = $3 AND state = 'running'
        RETURNING skipped",
        now, taken.job.id, taken.lease.owner
    )?;
    let Some((skipped,)) = held else {
        return Ok(StepEnd::Lost);
    };
    let won = judge(&mut tx, taken, &step.letters, now).await?;
    let winners = step.letters.iter().filter(|letter| won.contains(&letter.id));
    outbox::append(&mut tx, winners.flat_map(|letter| &letter.records), now).await?;
    let mut skipped: BTreeMap<SkipReason, u64> = skipped.parse("a job's counts")?;
    for (reason, count) in &step.skipped {
        *skipped.entry(*reason).or_default() += count;
    }
    let lost = step.letters.len() - won.len();
    if lost > 0 {
        *skipped.entry(SkipReason::AlreadySettled).or_default() += lost as u64;
    }
    let settled = taken.job.settled + won.len() as u64;
    let canary = taken.job.canary.as_ref();
    let is_sent = canary.is_some_and(|canary| {
        canary.phase == CanaryPhase::Sending && settled >= u64::from(canary.canary.letters)
    });
    execute!(
        tx,
        "UPDATE dead_letter_jobs SET settled = settled + $1, skipped = $2, after_at = COALESCE($3, after_at),
            after_id = COALESCE($4, after_id), owner = NULL, lease_until = NULL,
            next_step_at = CASE WHEN step_at IS NULL THEN $5 ELSE next_step_at END,
            step_at = CASE WHEN step_at IS NULL THEN NULL ELSE $5 END,
            state = CASE WHEN $6 THEN 'done' ELSE state END, ended_at = CASE WHEN $6 THEN $7 ELSE ended_at END,
            canary_phase = CASE WHEN $8 AND NOT $6 THEN 'watching' ELSE canary_phase END
        WHERE id = $9",
        i64::try_from(won.len()).unwrap_or(i64::MAX),
        &Document::of(&skipped, "a job's counts")?,
        step.end.map(|end| end.at),
        step.end.map(|end| end.id),
        step.next_step_at,
        step.is_last,
        now,
        is_sent,
        taken.job.id
    )?;
    tx.commit().await?;
    Ok(StepEnd::Written(won.len() as u64))
}

/// Gives the verdicts. Returns the letters that had none.
async fn judge(
    tx: &mut Tx,
    taken: &TakenJob,
    letters: &[SettledLetter],
    now: Timestamp,
) -> Result<HashSet<Uuid>, StoreError> {
    let mut letters: Vec<&SettledLetter> = letters.iter().collect();
    letters.sort_by_key(|letter| letter.id);
    let job = &taken.job;
    let won: Vec<(Uuid,)> = Input::new(letters.len())
        .uuid("letter_id", letters.iter().map(|letter| letter.id))
        .text("tenant", letters.iter().map(|_| job.tenant.as_str()))
        .text(
            "verdict",
            letters.iter().map(|_| <&str>::from(job.kind.verdict())),
        )
        // Generations begin with 1; 0 stands for none.
        .int(
            "generation",
            letters.iter().map(|letter| int(letter.generation.unwrap_or(0))),
        )
        .uuid("job_id", letters.iter().map(|_| job.id))
        .time("at", letters.iter().map(|_| now))
        .text("actor", letters.iter().map(|_| job.key_name.as_str()))
        .fetch(
            tx.conn(),
            "INSERT INTO dead_letter_verdicts (letter_id, tenant, verdict, generation, job_id, at, actor)
            SELECT letter_id, tenant, verdict, NULLIF(generation, 0), job_id, at, actor FROM input WHERE true
            ON CONFLICT (letter_id) DO NOTHING RETURNING letter_id",
        )
        .await?;
    Ok(won.into_iter().map(|(id,)| id).collect())
}
