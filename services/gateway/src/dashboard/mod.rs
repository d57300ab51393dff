//! The dashboard: server-rendered pages on the API's port, without external content, as its content security policy states.
//! Only live views have a script, which shows how many rows are new; all else works without one.

mod acknowledge;
pub(crate) mod activity;
mod api;
mod cancel;
mod chosen;
mod dead_letters;
mod deliveries;
mod delivery;
mod edit;
mod event;
pub(crate) mod foreign;
mod group;
pub(crate) mod jobs;
mod keys;
mod lift;
mod live;
pub(crate) mod live_view;
mod overview;
pub(crate) mod page;
mod reveal;
mod session;
mod settle;
mod sign_in;
mod template;
mod templates;
mod user;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderValue, header},
    middleware::{Next, from_fn},
    response::Response,
    routing::{get, post},
};

use self::session::Sessions;
use crate::{live::Live, state::GatewayState};

/// The largest body of a form, in bytes.
const MAX_FORM: usize = 16 << 10;
/// The largest form with an event or a template, whose text may be encoded as three bytes a character.
const MAX_EDIT: usize = 2 << 20;
/// The content security policy of pages: our own style, frames with messages' HTML, forms to ourselves.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'",
);
/// Style, icon and script change only with a release.
const CACHED: &str = "public, max-age=3600";

/// State that all pages share.
#[derive(Clone)]
pub(crate) struct Dashboard {
    gateway: GatewayState,
    sessions: Sessions,
    live: Arc<Live>,
    /// The routes under `/v1`, which pages call in this process.
    api: Router,
}

/// The routes of all pages. `api` are the routes under `/v1`, which take the caller from the request's extensions.
pub(crate) fn router(state: GatewayState, api: Router) -> Router {
    let dashboard = Dashboard {
        sessions: Sessions::new(state.clock.clone()),
        live: Arc::new(Live::new(&state.config)),
        gateway: state,
        api,
    };
    let pages = Router::new()
        .route("/", get(overview::show))
        .route("/activity", get(activity::show))
        .route("/deliveries", get(deliveries::show))
        .route("/deliveries/{id}", get(delivery::show))
        .route("/deliveries/{id}/acknowledge", post(acknowledge::acknowledge))
        .route("/deliveries/{id}/cancel", post(cancel::delivery))
        .route("/deliveries/{id}/message", get(delivery::message))
        .route("/events/{id}", get(event::show))
        .route("/events/{id}/cancel", post(cancel::event))
        .route("/users/{id}", get(user::show))
        .route("/users/{id}/lift", post(lift::lift))
        .route("/templates", get(templates::list))
        .route("/keys", get(keys::list))
        .route("/keys/{id}/revoke", post(keys::revoke))
        .route("/live", get(live::listen))
        .route("/dlq", get(dead_letters::list))
        .route("/dlq/{id}", get(dead_letters::show))
        .route("/dlq/groups/{fingerprint}", get(group::show).post(group::tell))
        .route("/dlq/groups/{fingerprint}/ignore", post(group::ignore))
        .route("/dlq/groups/{fingerprint}/unignore", post(group::unignore))
        .route("/dlq/groups/{fingerprint}/planned-replay", post(group::plan))
        .route(
            "/dlq/groups/{fingerprint}/planned-replay/cancel",
            post(group::cancel_plan),
        )
        .route("/dlq/replay", get(settle::replay).post(settle::confirm_replay))
        .route("/dlq/discard", get(settle::discard).post(settle::confirm_discard))
        .route("/dlq/jobs", get(jobs::list))
        .route("/dlq/jobs/{id}", get(jobs::show))
        .route("/dlq/jobs/{id}/cancel", post(jobs::cancel))
        .route("/dlq/jobs/{id}/pause", post(jobs::pause))
        .route("/dlq/jobs/{id}/resume", post(jobs::resume))
        .route("/reveal", post(reveal::reveal))
        .route("/sign-in", get(sign_in::form).post(sign_in::enter))
        .route("/sign-out", post(sign_in::leave))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .route(
            "/dlq/{id}/edit",
            get(edit::show)
                .post(edit::send)
                .layer(DefaultBodyLimit::max(MAX_EDIT)),
        )
        .merge(
            Router::new()
                .route(
                    "/templates/{type}/{channel}",
                    get(template::show).post(template::save),
                )
                .route("/templates/{type}/{channel}/publish", post(template::publish))
                .route("/templates/{type}/{channel}/discard", post(template::discard))
                .layer(DefaultBodyLimit::max(MAX_EDIT)),
        )
        .with_state(dashboard);
    self::pages(pages.merge(assets()))
}

/// Adds the headers of all pages.
pub(crate) fn pages(router: Router) -> Router {
    router.layer(from_fn(protect))
}

fn assets() -> Router {
    let style = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, CACHED),
    ];
    let icon = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CACHE_CONTROL, CACHED),
    ];
    let script = [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::CACHE_CONTROL, CACHED),
    ];
    Router::new()
        .route(
            "/assets/live.js",
            get(move || async move { (script, include_str!("../../templates/live.js")) }),
        )
        .route(
            "/assets/dashboard.css",
            get(move || async move { (style, include_str!("../../templates/dashboard.css")) }),
        )
        .route(
            "/assets/icon.svg",
            get(move || async move { (icon, include_str!("../../templates/icon.svg")) }),
        )
}

/// Sets the headers of all pages; a page that sets its own policy keeps it.
async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    set_headers(&mut response);
    response
}

/// The headers of a page.
pub(crate) fn set_headers(response: &mut Response) {
    let headers = response.headers_mut();
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(POLICY);
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
}
