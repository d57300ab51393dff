//! The dashboard: server-rendered pages on the API's port.

use axum::Router;

use crate::state::GatewayState;

/// Every page.
pub(crate) fn router(state: GatewayState) -> Router {
    Router::new().with_state(state)
}
