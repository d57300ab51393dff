//! Starting roles on a foundation.

use std::{io::ErrorKind, net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::{
    Router,
    extract::{FromRequestParts as _, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use carillon_domain::Channel;
use carillon_gateway::{Caller, Extension, GatewayDeps, GatewayState, ReceiptAccounts};
use carillon_router::RouterDeps;
use carillon_runtime::{Lifecycle, http, os_sentence};
use carillon_scheduler::SchedulerDeps;
use carillon_sources::SourcesDeps;
use carillon_store::api_keys;
use carillon_templates::{TemplatesApi, TemplatesRole};
use carillon_tracker::TrackerDeps;
use carillon_workers::{Routes, WorkerDeps};
use tokio::net::TcpListener;

use crate::foundation::{Foundation, TEMPLATE_REFRESH};

/// A role of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessRole {
    Gateway,
    Router,
    Worker(Channel),
    Templates,
    Tracker,
    Scheduler,
}

/// The roles of `carillon all` and `carillon dev`. Templates are rendered in the workers there.
pub(crate) const ALL: [ProcessRole; 8] = [
    ProcessRole::Gateway,
    ProcessRole::Router,
    ProcessRole::Worker(Channel::Push),
    ProcessRole::Worker(Channel::Email),
    ProcessRole::Worker(Channel::Sms),
    ProcessRole::Worker(Channel::Webhook),
    ProcessRole::Tracker,
    ProcessRole::Scheduler,
];

impl ProcessRole {
    /// The `service.name` of its traces.
    pub(crate) fn service_name(self) -> &'static str {
        match self {
            Self::Gateway => "carillon-gateway",
            Self::Router => "carillon-router",
            Self::Worker(Channel::Push) => "carillon-worker-push",
            Self::Worker(Channel::Email) => "carillon-worker-email",
            Self::Worker(Channel::Sms) => "carillon-worker-sms",
            Self::Worker(Channel::Webhook) => "carillon-worker-webhook",
            Self::Templates => "carillon-templates",
            Self::Tracker => "carillon-tracker",
            Self::Scheduler => "carillon-scheduler",
        }
    }

    /// Logs one line: the role that is starting, its stores and bus, and its address.
    fn announce(self, foundation: &Foundation, listen: SocketAddr) {
        let bus = &foundation.bus;
        let (role, group) = match self {
            Self::Gateway => ("gateway".to_owned(), None),
            Self::Router => ("router".to_owned(), Some(carillon_router::group(bus))),
            Self::Worker(channel) => (
                format!("{channel} worker"),
                Some(carillon_workers::group(bus, channel)),
            ),
            Self::Templates => ("templates".to_owned(), None),
            Self::Tracker => ("tracker".to_owned(), Some(carillon_tracker::projection_name(bus))),
            Self::Scheduler => ("scheduler".to_owned(), None),
        };
        tracing::info!(role, version = env!("CARGO_PKG_VERSION"), bus = bus.backend_name(),
            database = foundation.store.backend_name(), limits = foundation.quotas.name(), %listen, group,
            topics = foundation.config.bus.prefix, "a role starts");
    }
}

/// Binds an address. `option` names the option that sets it, for the error.
pub(crate) fn bind(listen: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    http::listen(listen).map_err(|error| taken(listen, option, &error))
}

/// The error of an address that cannot be bound.
pub(crate) fn taken(listen: SocketAddr, option: &str, error: &std::io::Error) -> anyhow::Error {
    let why = match error.kind() {
        ErrorKind::AddrInUse => "is in use by another process".to_owned(),
        ErrorKind::AddrNotAvailable => "is not an address of this machine".to_owned(),
        ErrorKind::PermissionDenied => "is not permitted to this user".to_owned(),
        _ => format!("cannot be listened on ({})", os_sentence(error)),
    };
    anyhow::anyhow!("{listen} {why}; choose another address with {option}")
}

/// The one part of a simulator's readiness, by which `doctor` recognises a simulator.
pub(crate) const SIMULATOR: &str = "simulator";

/// The readiness of a simulator, which serves nothing before it has started.
pub(crate) fn simulator_readiness() -> http::Readiness {
    let readiness = http::Readiness::default();
    readiness.register(SIMULATOR).ready();
    readiness
}

/// Starts roles, and one HTTP server for their routes. Returns its address.
pub(crate) fn spawn(
    foundation: &Foundation,
    roles: &[ProcessRole],
    listener: TcpListener,
    lifecycle: &mut Lifecycle,
) -> anyhow::Result<SocketAddr> {
    let address = listener.local_addr()?;
    for role in roles {
        role.announce(foundation, address);
        match role {
            ProcessRole::Router => {
                spawn_router(foundation, lifecycle);
                spawn_sources(foundation, lifecycle);
            }
            ProcessRole::Worker(channel) => spawn_worker(foundation, *channel, lifecycle)?,
            ProcessRole::Tracker => spawn_tracker(foundation, lifecycle),
            ProcessRole::Scheduler => spawn_scheduler(foundation, lifecycle),
            ProcessRole::Gateway | ProcessRole::Templates => {}
        }
    }
    keep_fresh(foundation, lifecycle);
    follow_dependencies(foundation, roles, lifecycle);
    if roles.contains(&ProcessRole::Templates) {
        spawn_templates(foundation, listener, lifecycle)?;
        return Ok(address);
    }
    let app = if roles.contains(&ProcessRole::Gateway) {
        gateway(foundation)?
    } else {
        http::operations(foundation.readiness.clone(), foundation.metrics.clone())
    };
    let (bounds, shutdown) = (foundation.config.http.clone(), foundation.shutdown.clone());
    lifecycle.spawn("http", async move {
        Ok(http::serve(listener, app, bounds, shutdown).await?)
    });
    Ok(address)
}

/// Lets the readiness follow database and bus: the process is ready while they answer and take writes. A router also
/// needs that limits can be counted. The templates role needs no bus.
fn follow_dependencies(foundation: &Foundation, roles: &[ProcessRole], lifecycle: &mut Lifecycle) {
    let (switch, shutdown) = (
        foundation.readiness.register("database"),
        foundation.shutdown.clone(),
    );
    let store = foundation.store.clone();
    lifecycle.spawn("database check", async move {
        http::follow(switch, "database", || store.check(), shutdown).await;
        Ok(())
    });
    if roles.contains(&ProcessRole::Router) {
        let (switch, shutdown) = (
            foundation.readiness.register("limits"),
            foundation.shutdown.clone(),
        );
        let quotas = Arc::clone(&foundation.quotas);
        lifecycle.spawn("limits check", async move {
            http::follow(switch, "limits", || quotas.check(), shutdown).await;
            Ok(())
        });
    }
    if roles.iter().all(|role| *role == ProcessRole::Templates) {
        return;
    }
    let (switch, shutdown) = (foundation.readiness.register("bus"), foundation.shutdown.clone());
    let bus = foundation.bus.clone();
    lifecycle.spawn("bus check", async move {
        http::follow(switch, "bus", || bus.check(), shutdown).await;
        Ok(())
    });
}

/// Keeps the catalogs and templates in memory up to date with the database.
fn keep_fresh(foundation: &Foundation, lifecycle: &mut Lifecycle) {
    let (catalogs, shutdown) = (foundation.catalogs.clone(), foundation.shutdown.clone());
    lifecycle.spawn("catalogs", async move {
        catalogs.run(shutdown).await;
        Ok(())
    });
    let (renderer, shutdown) = (Arc::clone(&foundation.in_process), foundation.shutdown.clone());
    lifecycle.spawn("template snapshots", async move {
        tokio::select! {
            () = renderer.refresh_every(TEMPLATE_REFRESH) => {}
            () = shutdown.soft() => {}
        }
        Ok(())
    });
}

fn gateway(foundation: &Foundation) -> anyhow::Result<Router> {
    foundation.readiness.register("gateway").ready();
    let deps = GatewayDeps {
        endpoint_rules: foundation.config.providers.endpoint_rules(),
        bus: foundation.bus.clone(),
        store: foundation.store.clone(),
        catalogs: foundation.catalogs.clone(),
        quotas: Arc::clone(&foundation.quotas),
        renderer: Some(Arc::clone(&foundation.renderer)),
        links: foundation.config.unsubscribe_links(),
        clock: Arc::clone(&foundation.clock),
        receipts: Arc::new(ReceiptAccounts::new(
            &foundation.config.providers,
            foundation.config.gateway.receipts_per_second,
        )?),
        config: foundation.config.gateway.clone(),
        readiness: foundation.readiness.clone(),
        metrics: foundation.metrics.clone(),
        shutdown: foundation.shutdown.clone(),
    };
    let templates = TemplatesApi {
        store: foundation.store.clone(),
        renderer: Arc::clone(&foundation.in_process),
    };
    Ok(carillon_gateway::router(deps, |state| {
        vec![behind_api_keys(carillon_templates::router(templates), state)]
    }))
}

/// The template routes, with the gateway's API keys in front.
fn behind_api_keys(routes: Extension, state: &GatewayState) -> Extension {
    routes.layer(from_fn_with_state(state.clone(), authenticate))
}

async fn authenticate(State(state): State<GatewayState>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match Caller::from_request_parts(&mut parts, &state).await {
        Ok(Caller(principal)) => {
            parts
                .extensions
                .insert(carillon_templates::TemplateCaller::Tenant {
                    refusal: refusal_of_templates(principal.role),
                    tenant: principal.tenant,
                });
            next.run(Request::from_parts(parts, body)).await
        }
        Err(error) => error.into_response(),
    }
}

/// The reason for which a role may not change templates. A role may change them if it may change the catalog.
fn refusal_of_templates(role: api_keys::Role) -> Option<String> {
    let needed = api_keys::Role::Admin;
    (role < needed).then(|| format!("this needs the role {needed}; the key has the role {role}"))
}

fn spawn_router(foundation: &Foundation, lifecycle: &mut Lifecycle) {
    let deps = RouterDeps {
        bus: foundation.bus.clone(),
        store: foundation.store.clone(),
        catalogs: foundation.catalogs.clone(),
        quotas: Arc::clone(&foundation.quotas),
        clock: Arc::clone(&foundation.clock),
        ready: foundation.readiness.register("router"),
        config: foundation.config.router.clone(),
    };
    let shutdown = foundation.shutdown.clone();
    lifecycle.spawn("router", async move {
        Ok(carillon_router::run(deps, shutdown).await?)
    });
}

/// Starts reading the topics of other systems, if the configuration lists any.
fn spawn_sources(foundation: &Foundation, lifecycle: &mut Lifecycle) {
    let config = foundation.config.sources.clone();
    if config.topics.is_empty() {
        return;
    }
    tracing::info!(
        topics = config.names().join(", "),
        "the router's process reads sources"
    );
    let deps = SourcesDeps {
        bus: foundation.bus.clone(),
        catalogs: foundation.catalogs.clone(),
        clock: Arc::clone(&foundation.clock),
        ready: foundation.readiness.register("sources"),
        config,
    };
    let shutdown = foundation.shutdown.clone();
    lifecycle.spawn("sources", async move {
        carillon_sources::run(deps, shutdown).await;
        Ok(())
    });
}

fn spawn_worker(foundation: &Foundation, channel: Channel, lifecycle: &mut Lifecycle) -> anyhow::Result<()> {
    let config = &foundation.config;
    let accounts = carillon_workers::accounts(
        &config.providers,
        &config.channels,
        &config.workers,
        channel,
        &foundation.clock,
    )?;
    let deps = WorkerDeps {
        bus: foundation.bus.clone(),
        store: foundation.store.clone(),
        renderer: Arc::clone(&foundation.renderer),
        clock: Arc::clone(&foundation.clock),
        accounts,
        routes: Routes::of(&config.channels, channel, &config.providers)?,
        breakers: Arc::clone(&foundation.breakers),
        links: foundation.config.unsubscribe_links(),
        config: foundation.config.workers.clone(),
        only_process: !foundation.config.is_distributed(),
        ready: foundation.readiness.register(&format!("worker-{channel}")),
    };
    let shutdown = foundation.shutdown.clone();
    let name = match channel {
        Channel::Push => "push worker",
        Channel::Email => "email worker",
        Channel::Sms => "sms worker",
        Channel::Webhook => "webhook worker",
    };
    lifecycle.spawn(name, async move {
        Ok(Box::pin(carillon_workers::run(deps, channel, shutdown)).await?)
    });
    Ok(())
}

fn spawn_tracker(foundation: &Foundation, lifecycle: &mut Lifecycle) {
    let deps = TrackerDeps {
        bus: foundation.bus.clone(),
        store: foundation.store.clone(),
        clock: Arc::clone(&foundation.clock),
        ready: foundation.readiness.register("tracker"),
    };
    let shutdown = foundation.shutdown.clone();
    lifecycle.spawn("tracker", async move {
        Ok(Box::pin(carillon_tracker::run(deps, shutdown)).await?)
    });
}

fn spawn_scheduler(foundation: &Foundation, lifecycle: &mut Lifecycle) {
    let deps = SchedulerDeps {
        bus: foundation.bus.clone(),
        store: foundation.store.clone(),
        clock: Arc::clone(&foundation.clock),
        only_process: !foundation.config.is_distributed(),
        ready: foundation.readiness.register("scheduler"),
    };
    let shutdown = foundation.shutdown.clone();
    lifecycle.spawn("scheduler", async move {
        Ok(Box::pin(carillon_scheduler::run(deps, shutdown)).await?)
    });
}

fn spawn_templates(
    foundation: &Foundation,
    listener: TcpListener,
    lifecycle: &mut Lifecycle,
) -> anyhow::Result<()> {
    let token = foundation.config.security.internal_token.clone();
    let role = TemplatesRole {
        store: foundation.store.clone(),
        listener,
        http: foundation.config.http.clone(),
        token: token.context("security.internal_token: expected a secret text, as in the workers")?,
        refresh: TEMPLATE_REFRESH,
        readiness: foundation.readiness.clone(),
        metrics: foundation.metrics.clone(),
    };
    let shutdown = foundation.shutdown.clone();
    lifecycle.spawn("templates", async move {
        Ok(carillon_templates::run(role, shutdown).await?)
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_published_by_admins_alone() {
        use api_keys::Role::{Admin, Operator, Viewer};
        let refusal = |role: &str| Some(format!("this needs the role admin; the key has the role {role}"));
        assert_eq!(
            [Viewer, Operator, Admin].map(refusal_of_templates),
            [refusal("viewer"), refusal("operator"), None]
        );
    }
}
