//! The dry run: the outcome of each letter, by the rules that the scheduler applies.

use std::collections::{BTreeMap, HashMap, HashSet};

use carillon_bus::replay::{Replay, replay, replay_edited};
use carillon_domain::{FieldError, TenantId, Timestamp, dead_letter::SkipReason};
use carillon_store::{
    dead_letter_jobs::JobKind,
    dead_letters::{BatchOf, LetterRecord},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{editing::ChangeDocument, request::Settling};
use crate::{error::ApiError, privacy::Sight, state::GatewayState};

/// The most letters that a dry run examines.
const MAX_EXAMINED: u64 = 10_000;
/// The samples of each outcome.
const SAMPLES: usize = 5;

/// The answer to a dry run.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Rehearsal {
    pub(crate) would: Would,
    /// The number of letters that are selected.
    pub(crate) total: u64,
    /// The number of letters that were looked at, at most 10,000, oldest first. `would` and `reasons` count these.
    pub(crate) examined: u64,
    /// The numbers of letters that would stay as they are, by reason.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub(crate) reasons: BTreeMap<SkipReason, u64>,
    /// Letters of each outcome, at most five.
    pub(crate) samples: Vec<Sample>,
    /// The places that the edit changes, at most 200; empty without one.
    pub(crate) changes: Vec<ChangeDocument>,
}

/// The numbers of letters by outcome.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Would {
    /// Put back, to be sent or decided.
    pub(crate) send: u64,
    /// Left as they are, because their expiry has passed.
    pub(crate) expire: u64,
    /// Given up.
    pub(crate) discard: u64,
    /// Left as they are for another reason.
    pub(crate) unchanged: u64,
}

/// A letter and its outcome.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sample {
    pub(crate) id: Uuid,
    /// `send`, `expire`, `discard` or `unchanged`.
    pub(crate) outcome: &'static str,
    /// The stable word for the reason; null if the letter would get the verdict.
    #[schema(required, value_type = Option<String>)]
    pub(crate) code: Option<SkipReason>,
    /// The reason as a sentence.
    #[schema(required)]
    pub(crate) reason: Option<&'static str>,
}

/// Rehearses a job.
pub(crate) async fn rehearse(
    state: &GatewayState,
    tenant: &TenantId,
    sight: Sight,
    settling: &Settling,
) -> Result<Rehearsal, ApiError> {
    let now = state.clock.now();
    settling.refuse_unknown(state, tenant).await?;
    let changes = settling.check_edit(state, tenant, sight).await?;
    let of = settling.batch_of(tenant, now);
    let mut rehearsal = Rehearsal {
        total: state.store.dead_letters().count(of).await?,
        changes,
        ..Rehearsal::default()
    };
    let mut after = None;
    let mut sampled: HashMap<&'static str, usize> = HashMap::new();
    loop {
        let batch = state.store.dead_letters().batch(BatchOf { after, ..of }).await?;
        for (id, skipped) in outcomes(state, tenant, settling, &batch.letters, now).await? {
            rehearsal.examined += 1;
            let would = &mut rehearsal.would;
            let (outcome, count) = match (settling.kind, skipped) {
                (JobKind::Replay, None) => ("send", &mut would.send),
                (JobKind::Discard, None) => ("discard", &mut would.discard),
                (_, Some(SkipReason::Expired)) => ("expire", &mut would.expire),
                (_, Some(_)) => ("unchanged", &mut would.unchanged),
            };
            *count += 1;
            if let Some(reason) = skipped {
                *rehearsal.reasons.entry(reason).or_default() += 1;
            }
            let taken = sampled.entry(outcome).or_default();
            if *taken < SAMPLES {
                *taken += 1;
                rehearsal.samples.push(Sample {
                    id,
                    outcome,
                    code: skipped,
                    reason: skipped.map(SkipReason::sentence),
                });
            }
        }
        if !batch.has_more || rehearsal.examined >= MAX_EXAMINED {
            return Ok(rehearsal);
        }
        after = batch.end;
    }
}

/// Refuses a job over ids if no letter would get its verdict. The error has the reason for each.
pub(super) async fn refuse_fruitless(
    state: &GatewayState,
    tenant: &TenantId,
    settling: &Settling,
    now: Timestamp,
) -> Result<(), ApiError> {
    let of = settling.batch_of(tenant, now);
    let mut reasons = HashMap::new();
    let mut after = None;
    loop {
        let batch = state.store.dead_letters().batch(BatchOf { after, ..of }).await?;
        for (id, skipped) in outcomes(state, tenant, settling, &batch.letters, now).await? {
            let Some(reason) = skipped else { return Ok(()) };
            reasons.insert(id, reason);
        }
        if !batch.has_more {
            break;
        }
        after = batch.end;
    }
    let places = settling.selection.ids.iter().enumerate();
    let errors = places.filter_map(|(index, id)| {
        let reason: SkipReason = *reasons.get(id)?;
        let text = format!(
            "expected a dead letter that can be settled: {}",
            reason.sentence()
        );
        let code: &'static str = reason.into();
        Some(FieldError::new(
            format!("/ids/{index}"),
            &code.replace('_', "-"),
            text,
        ))
    });
    Err(ApiError::fields(errors.collect()))
}

/// For each letter, in order, the reason for which it would stay as it is.
async fn outcomes(
    state: &GatewayState,
    tenant: &TenantId,
    settling: &Settling,
    letters: &[LetterRecord],
    now: Timestamp,
) -> Result<Vec<(Uuid, Option<SkipReason>)>, ApiError> {
    let ids: Vec<Uuid> = letters.iter().map(|letter| letter.id).collect();
    let settled = state.store.dead_letter_jobs().verdicts(tenant, &ids).await?;
    let settled: HashSet<Uuid> = settled.into_iter().map(|verdict| verdict.letter_id).collect();
    let (mut outcomes, mut events, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for letter in letters {
        let skipped = if settled.contains(&letter.id) {
            Some(SkipReason::AlreadySettled)
        } else if settling.kind == JobKind::Discard {
            None
        } else {
            let (topics, stored) = (state.bus.topics(), letter.stored(tenant));
            let replayed = match &settling.edit {
                Some(edit) => replay_edited(topics, stored, edit, Uuid::nil(), now),
                None => replay(topics, stored, Uuid::nil(), now),
            };
            if let Some(event) = replayed.as_ref().ok().and_then(Replay::event) {
                places.push(outcomes.len());
                events.push(event.clone());
            }
            replayed.err()
        };
        outcomes.push((letter.id, skipped));
    }
    let in_the_way = state.store.events().standing_in_the_way(tenant, &events).await?;
    for (place, reason) in places.into_iter().zip(in_the_way) {
        outcomes[place].1 = reason;
    }
    Ok(outcomes)
}
