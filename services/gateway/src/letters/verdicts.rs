//! The verdicts about dead letters that are shown.

use std::collections::HashMap;

use carillon_domain::{TenantId, Timestamp, dead_letter::LetterVerdict};
use carillon_store::{dead_letter_jobs::VerdictView, dead_letters::DeadLetterView};
use serde::Serialize;
use uuid::Uuid;

use crate::{error::ApiError, state::GatewayState};

/// The verdict about a dead letter.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct VerdictDocument {
    pub(crate) verdict: LetterVerdict,
    pub(crate) at: Timestamp,
    /// The name of the API key that asked for it.
    pub(crate) by: String,
    pub(crate) job_id: Uuid,
    /// The job's note.
    pub(crate) note: Option<String>,
    /// Whether its record was put back with an edit.
    pub(crate) edited: bool,
}

impl From<VerdictView> for VerdictDocument {
    fn from(view: VerdictView) -> Self {
        Self {
            verdict: view.verdict,
            at: view.at,
            by: view.actor,
            job_id: view.job_id,
            note: view.note,
            edited: view.is_edited,
        }
    }
}

/// The verdicts about letters, by letter. The letters get the states of their verdicts, which the read model may not have
/// yet.
pub(crate) async fn verdicts_of(
    state: &GatewayState,
    tenant: &TenantId,
    letters: &mut [DeadLetterView],
) -> Result<HashMap<Uuid, VerdictDocument>, ApiError> {
    let ids: Vec<Uuid> = letters.iter().map(|letter| letter.id).collect();
    let found = state.store.dead_letter_jobs().verdicts(tenant, &ids).await?;
    let verdicts: HashMap<Uuid, VerdictDocument> = found
        .into_iter()
        .map(|verdict| (verdict.letter_id, verdict.into()))
        .collect();
    for letter in letters {
        if let Some(given) = verdicts.get(&letter.id) {
            letter.state = given.verdict.into();
        }
    }
    Ok(verdicts)
}
