//! First or repeated: one call for a whole batch.

use std::sync::Arc;

use carillon_domain::{Event, TenantId, status::Origin};
use carillon_store::{
    Store, StoreError,
    events::{EventKey, RouteClaim, RouteVerdict},
};

/// Claims events by the records that carry them; one verdict each, in order.
pub(crate) async fn claim(
    store: &Store,
    events: &[(&TenantId, &Event, Origin)],
) -> Result<Vec<RouteVerdict>, StoreError> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let claims: Vec<RouteClaim> = events
        .iter()
        .map(|(tenant, event, origin)| RouteClaim {
            key: EventKey {
                tenant: (*tenant).clone(),
                event_id: event.id.clone(),
                source: Arc::clone(&event.source),
            },
            event_type: Arc::clone(&event.event_type),
            fingerprint: event.fingerprint(),
            origin: origin.clone(),
        })
        .collect();
    store.events().claim_route(&claims).await
}
