//! The admission of requests to the API: one layer, because each layer clones those below it for each request.

use axum::{
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use carillon_runtime::http::{one_authorization, traced};

use crate::{
    auth,
    error::ApiError,
    limits::{self, RequestKind},
    state::GatewayState,
};

/// Traces a request, authenticates it and takes its place before its body is read. A request without a valid key is
/// passed on; its handler refuses it if it needs a key.
pub(crate) async fn admit(State(state): State<GatewayState>, request: Request, next: Next) -> Response {
    traced(request, |request| admitted(state, request, next)).await
}

async fn admitted(state: GatewayState, mut request: Request, next: Next) -> Response {
    if let Err(problem) = one_authorization(request.headers()) {
        return problem.into_response();
    }
    let Some(secret) = auth::secret(request.headers()) else {
        return next.run(request).await;
    };
    let principal = match state.store.api_keys().verify(secret).await {
        Ok(Some(principal)) => principal,
        Ok(None) => return next.run(request).await,
        Err(error) => return ApiError::from(error).into_response(),
    };
    let is_post = request.method() == Method::POST && request.uri().path() == "/v1/events";
    let kind = if is_post {
        RequestKind::Post
    } else {
        RequestKind::Other
    };
    let slot = match state.0.limits.admit(&principal, kind) {
        Ok(slot) => slot,
        Err(refusal) => return limits::refused(refusal).into_response(),
    };
    request = match limits::hold(request, &slot) {
        Ok(request) => request,
        Err(refusal) => return limits::refused(refusal).into_response(),
    };
    request.extensions_mut().insert(principal);
    // A handler whose work continues after its client has left takes a clone.
    request.extensions_mut().insert(slot.clone());
    let response = next.run(request).await;
    drop(slot);
    response
}
