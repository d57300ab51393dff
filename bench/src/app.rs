//! A whole Carillon under load, in processes of its own, with the sink in place of FCM.

use std::{path::PathBuf, process::Command, sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use carillon_runtime::http::{ClientOptions, client};
use carillon_testkit::installation::{Installation, RoleArgs, Setup};
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use serde_json::json;

use crate::{
    backend::{Backend, repository},
    load::{Sink, Target, closed_loop},
    measure::Processes,
};

/// The number of users that receive the load.
pub(crate) const USERS: usize = 1_000;

/// The processes of the distributed mode, one for each role that takes part.
pub(crate) const ROLES: &[RoleArgs] = &[
    ("gateway", &["gateway"]),
    ("router", &["router"]),
    ("push", &["worker", "--channel", "push"]),
    ("tracker", &["tracker"]),
];

/// A running Carillon with its measurements.
pub(crate) struct App {
    pub(crate) installation: Installation,
    backend: Backend,
    client: reqwest::Client,
}

/// Deviations of an app from the default.
#[derive(Default)]
pub(crate) struct Options {
    /// The processes of the distributed mode; `None`: [`ROLES`].
    pub(crate) roles: Option<&'static [RoleArgs]>,
    /// Additional arguments of `carillon dev`.
    pub(crate) dev_args: &'static [&'static str],
    /// Additional settings, without the prefix `CARILLON_`.
    pub(crate) settings: Vec<(&'static str, String)>,
}

/// Runs work on an app with `USERS` users.
pub(crate) fn with_app<T, F: Future<Output = anyhow::Result<T>>>(
    backend: &Backend,
    sink_delay: Duration,
    options: Options,
    work: impl FnOnce(App, Sink) -> F,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Runtime::new()?;
    let sink = runtime.block_on(Sink::start(sink_delay))?;
    let mut settings = vec![
        ("PROVIDERS__FCM__KIND".to_owned(), "fcm".to_owned()),
        (
            "PROVIDERS__FCM__SERVICE_ACCOUNT".to_owned(),
            service_account(&sink)?,
        ),
        ("PROVIDERS__FCM__BASE_URL".to_owned(), sink.url.clone()),
        ("PROVIDERS__FCM__REQUEST_TIMEOUT".to_owned(), "4s".to_owned()),
        ("DATABASE__MAX_CONNECTIONS".to_owned(), "8".to_owned()),
        ("TELEMETRY__LOG".to_owned(), "warn".to_owned()),
    ];
    settings.extend(
        options
            .settings
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value)),
    );
    let setup = Setup {
        binary: binary()?,
        services: backend.services.clone(),
        roles: options.roles.unwrap_or(ROLES),
        settings,
        dev_args: options.dev_args,
    };
    Installation::with(setup, |installation| async {
        let app = App {
            installation,
            backend: backend.clone(),
            client: client(&ClientOptions::default())?,
        };
        app.put_users().await?;
        work(app, sink).await
    })
}

/// Builds the binary with the profile of this program, if it is out of date. Measurements use a release build; a
/// smoke run in CI need not.
fn binary() -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "-p", "carillon"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let status = build.current_dir(repository()).status()?;
    anyhow::ensure!(status.success(), "carillon does not build");
    let own = std::env::current_exe()?;
    let folder = own.parent().context("the folder of this program")?;
    Ok(folder.join("carillon").canonicalize()?)
}

pub(crate) fn service_account(sink: &Sink) -> anyhow::Result<String> {
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048)?;
    let account = json!({
        "project_id": "bench",
        "client_email": "bench@bench.iam.gserviceaccount.com",
        "private_key": key.to_pkcs8_pem(LineEnding::LF)?.to_string(),
        "token_uri": format!("{}/token", sink.url),
    });
    Ok(account.to_string())
}

/// An event with one push, number `n` of a run.
pub(crate) fn event(run: &str, n: usize, priority: &str) -> serde_json::Value {
    json!({
        "id": event_id(run, n), "type": "OrderShipped", "channels": ["push"], "priority": priority,
        "recipients": [{"user_id": format!("b-{}", n % USERS)}],
        "data": {"order_id": n.to_string(), "carrier": "DHL"},
    })
}

pub(crate) fn event_id(run: &str, n: usize) -> String {
    format!("{run}-{n}")
}

impl App {
    async fn put_users(&self) -> anyhow::Result<()> {
        // The chunks stay below the number of requests that a key may have in flight
        // (`gateway.key.others_in_flight`).
        for chunk in (0..USERS).collect::<Vec<_>>().chunks(32) {
            let puts = chunk.iter().map(|n| {
                let user =
                    json!({"devices": [{"platform": "android", "token": format!("bench-token-{n:04}")}]});
                let path = format!("/v1/users/b-{n}");
                async move { self.installation.put(&path, &user).await }
            });
            let statuses = futures::future::join_all(puts).await;
            anyhow::ensure!(
                statuses.iter().all(|status| *status < 300),
                "users were not put: {statuses:?}"
            );
        }
        Ok(())
    }

    fn posts(&self, body: impl Fn(usize) -> Bytes + Send + Sync + 'static) -> Target {
        Target {
            client: self.client.clone(),
            url: format!("{}/v1/events", self.installation.url),
            bearer: self.installation.key.clone(),
            body: Arc::new(body),
        }
    }

    /// Posts of a single event each.
    pub(crate) fn singles(&self, run: &str, priority: &'static str) -> Target {
        let run = run.to_owned();
        self.posts(move |n| Bytes::from(event(&run, n, priority).to_string()))
    }

    /// Posts `count` events in batches of `size`, several at a time; returns the seconds to the last answer.
    pub(crate) async fn post_batches(
        &self,
        run: &str,
        count: usize,
        size: usize,
        priority: &'static str,
    ) -> anyhow::Result<f64> {
        let run = run.to_owned();
        let batches = self.posts(move |batch| {
            let events = (batch * size..(batch + 1) * size).map(|n| event(&run, n, priority));
            Bytes::from(serde_json::Value::Array(events.collect()).to_string())
        });
        closed_loop(&batches, count.div_ceil(size), 4).await
    }

    /// Carillon's processes.
    pub(crate) fn own(&mut self) -> Processes {
        Processes::new(self.installation.roles().map(|(_, role)| role.pid()).collect())
    }

    /// Carillon's processes and those of the stores.
    pub(crate) fn all(&mut self) -> Processes {
        let own = self.installation.roles().map(|(_, role)| role.pid()).collect();
        self.backend.with_stores(own)
    }

    /// Waits until all events are in the read model.
    pub(crate) async fn settle(&self, acknowledged: usize) {
        let limit = Duration::from_mins(2);
        self.installation.settle_within(acknowledged as u64, limit).await;
    }
}
