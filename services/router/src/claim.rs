//! Deduplication: claims the events of a batch with one call.

use std::sync::Arc;

use carillon_domain::{Event, TenantId, status::Origin};
use carillon_store::{
    Store, StoreError,
    events::{EventKey, RouteClaim, RouteVerdict},
};

/// The claim of an event by the record that carries it.
pub(crate) fn of(
    tenant: &TenantId,
    event: &Event,
    type_name: &Arc<str>,
    fingerprint: [u8; 32],
    origin: Origin,
) -> RouteClaim {
    RouteClaim {
        key: EventKey {
            tenant: tenant.clone(),
            event_id: event.id.clone(),
            source: Arc::clone(&event.source),
        },
        event_type: Arc::clone(type_name),
        fingerprint,
        origin,
    }
}

/// Claims events; returns one verdict for each, in order.
pub(crate) async fn claim(store: &Store, claims: &[RouteClaim]) -> Result<Vec<RouteVerdict>, StoreError> {
    if claims.is_empty() {
        return Ok(Vec::new());
    }
    store.events().claim_route(claims).await
}
