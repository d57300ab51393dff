//! The templates role: rendering and templates over HTTP, behind an internal token.

use std::{sync::Arc, time::Duration};

use carillon_render::InProcess;
use carillon_runtime::{
    Secret, Shutdown,
    http::{self, HttpConfig, Readiness},
    telemetry::MetricsHandle,
};
use carillon_store::Store;
use tokio::net::TcpListener;

use crate::{StoreTemplates, TemplatesApi, access::behind_token, router};

/// The services and settings of the role.
pub struct TemplatesRole {
    /// Templates are stored here.
    pub store: Store,
    /// The socket on which the role listens.
    pub listener: TcpListener,
    /// The bounds of a connection.
    pub http: HttpConfig,
    /// The token that callers must send.
    pub token: Secret,
    /// The period between two looks for newly published templates.
    pub refresh: Duration,
    /// The process's readiness; the role adds `templates`.
    pub readiness: Readiness,
    /// The process's metrics.
    pub metrics: MetricsHandle,
}

/// Why the role ended.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// The listener failed.
    #[error("the templates role cannot serve")]
    Serve(#[source] std::io::Error),
}

/// Serves until the shutdown.
pub async fn run(role: TemplatesRole, shutdown: Shutdown) -> Result<(), RoleError> {
    let ready = role.readiness.register("templates");
    let renderer = Arc::new(InProcess::new(Arc::new(StoreTemplates::new(role.store.clone()))));
    let (routes, _) = router(TemplatesApi {
        store: role.store,
        renderer: Arc::clone(&renderer),
    })
    .split_for_parts();
    let routes = behind_token(routes, role.token).layer(axum::middleware::from_fn(http::trace));
    let app = routes.merge(http::operations(role.readiness, role.metrics));
    let app = http::measured(app);
    ready.ready();
    let served = tokio::select! {
        served = http::serve(role.listener, app, role.http, shutdown) => served,
        () = renderer.refresh_every(role.refresh) => Ok(()),
    };
    ready.not_ready("the role has ended");
    served.map_err(RoleError::Serve)
}
