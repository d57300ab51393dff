//! Letters that died again after a job had put them back.

use carillon_domain::TenantId;
use carillon_store::dead_letters::{BatchOf, DeadLetterFilter};
use uuid::Uuid;

use crate::{error::ApiError, state::GatewayState};

/// The number of letters of a job that died again, in any state.
pub(crate) async fn died_again(state: &GatewayState, tenant: &TenantId, job: Uuid) -> Result<u64, ApiError> {
    let filter = DeadLetterFilter {
        replayed_by: vec![job],
        ..DeadLetterFilter::default()
    };
    let of = BatchOf {
        tenant,
        filter: &filter,
        until: None,
        after: None,
        limit: 1,
    };
    Ok(state.store.dead_letters().count(of).await?)
}
