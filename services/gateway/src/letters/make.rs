//! Making a job.

use carillon_store::{api_keys::Principal, dead_letter_jobs::NewJob};
use uuid::Uuid;

use super::{rehearsal, request::Settling};
use crate::{error::ApiError, privacy::Sight, state::GatewayState};

/// Makes a job with this id and returns the number of its letters. A replay of ids is refused if no letter can be put
/// back; the error has the reason for each. An edit is checked for a person with this sight.
pub(crate) async fn create(
    state: &GatewayState,
    who: &Principal,
    sight: Sight,
    settling: Settling,
    id: Uuid,
) -> Result<u64, ApiError> {
    let now = state.clock.now();
    settling.refuse_unknown(state, &who.tenant).await?;
    settling.check_edit(state, &who.tenant, sight).await?;
    if !settling.selection.ids.is_empty() {
        rehearsal::refuse_fruitless(state, &who.tenant, &settling, now).await?;
    }
    let letters = state.store.dead_letters();
    let total = letters.count(settling.batch_of(&who.tenant, now)).await?;
    let job = NewJob {
        id,
        kind: settling.kind,
        selection: settling.selection,
        total,
        rate: settling.rate,
        note: settling.note,
        canary: settling.canary,
        edit: settling.edit,
        at: now,
    };
    state.store.dead_letter_jobs().create(who, &job).await?;
    Ok(total)
}
