//! The attacked installation, which is ended by SIGINT and started again.

use std::{path::PathBuf, sync::Arc, time::Duration};

use carillon_testkit::installation::{Installation, Setup};
use tokio::time::Instant;

use super::attacker::Attacker;
use crate::{
    api::Api,
    args::Args,
    house::ROLES,
    services::{self, Services},
};

/// The grace time of the installation, at least the longest request to a provider (8 s in `dev`).
const GRACE: Duration = Duration::from_secs(9);
/// The longest time of a process's end after the grace time.
const BESIDE: Duration = Duration::from_secs(2);
/// The longest time of a start.
const START: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(20);

/// The installation, its services, and an attacker's key.
pub(super) struct Stage {
    installation: Installation,
    services: Option<Arc<Services>>,
    api: Api,
    attacker: Attacker,
    names: Vec<&'static str>,
}

impl Stage {
    pub(super) async fn set(args: &Args) -> anyhow::Result<Self> {
        let services = if args.backend.is_real() {
            services::check()?;
            println!("starting Kafka, PostgreSQL and Redis");
            Some(Arc::new(Services::start().await?))
        } else {
            None
        };
        let addresses = services.as_ref().map(|services| services.addresses());
        let brokers = addresses.as_ref().map(|addresses| addresses.brokers.clone());
        let grace = format!("{}s", GRACE.as_secs());
        let mut installation = Installation::start(Setup {
            binary: args.binary()?,
            services: addresses,
            roles: ROLES,
            settings: vec![("SHUTDOWN__GRACE".to_owned(), grace)],
            dev_args: &[],
        })
        .await;
        let api = Api::new(&installation.url, &installation.simulator, &installation.key)?;
        let key = installation.another_tenant("mallory");
        let attacker = Attacker::new(&installation, key, brokers)?;
        let names = installation.roles().map(|(name, _)| name).collect();
        Ok(Self {
            installation,
            services,
            api,
            attacker,
            names,
        })
    }

    pub(super) fn attacker(&self) -> Attacker {
        self.attacker.clone()
    }

    /// The tenant that is not attacking.
    pub(super) fn victim(&self) -> Api {
        self.api.clone()
    }

    /// The folder of the installation's data and logs.
    pub(super) fn folder(&self) -> PathBuf {
        self.installation.dir().to_owned()
    }

    /// The health URLs of the processes.
    pub(super) fn health_urls(&mut self) -> Vec<(&'static str, String)> {
        let names = self.names.clone();
        names
            .into_iter()
            .map(|name| {
                (
                    name,
                    self.installation.ready_url(name).replace("/readyz", "/healthz"),
                )
            })
            .collect()
    }

    /// The ids of the processes.
    pub(super) fn processes(&mut self) -> Vec<(&'static str, i32)> {
        let id = |pid: u32| i32::try_from(pid).unwrap_or(i32::MAX);
        self.installation
            .roles()
            .map(|(name, role)| (name, id(role.pid())))
            .collect()
    }

    /// Asks each process to end, the simulator last because the others need its answers. Returns the processes that
    /// did not end in time.
    pub(super) async fn end(&mut self, slack: f64) -> Vec<String> {
        let mut late = Vec::new();
        for of_simulator in [false, true] {
            let is_meant = |name: &str| (name == "simulator") == of_simulator;
            for (name, role) in self.installation.roles().filter(|(name, _)| is_meant(name)) {
                if role.is_alive() {
                    role.interrupt();
                } else {
                    late.push(format!("{name} ended by itself: {:?}", role.ended()));
                }
            }
            let asked = Instant::now();
            let limit = (GRACE + BESIDE).mul_f64(slack.max(1.0));
            let mut running: Vec<&'static str> = Vec::new();
            while asked.elapsed() < limit {
                let roles = self.installation.roles().filter(|(name, _)| is_meant(name));
                running = roles
                    .filter_map(|(name, role)| role.is_alive().then_some(name))
                    .collect();
                if running.is_empty() {
                    break;
                }
                tokio::time::sleep(LOOK).await;
            }
            for name in running {
                late.push(format!("{name} did not end within {limit:?} of SIGINT"));
                self.installation.kill(name);
            }
        }
        late
    }

    /// Starts each process again and waits until the installation is ready.
    pub(super) async fn start_again(&mut self) -> anyhow::Result<()> {
        for name in self.names.clone() {
            self.installation.start_role(name);
        }
        let began = Instant::now();
        for name in self.names.clone() {
            let url = self.installation.ready_url(name);
            loop {
                let answer = self.api.http().get(&url).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    break;
                }
                anyhow::ensure!(
                    began.elapsed() < START,
                    "{name} is not ready {} s after its start\n{}",
                    START.as_secs(),
                    self.installation.logs()
                );
                tokio::time::sleep(LOOK).await;
            }
        }
        self.api.clear_faults().await
    }

    /// Keeps the files that may explain a failure.
    pub(super) fn keep(&mut self) {
        self.installation.keep_dir();
        println!("logs: {}", self.installation.dir().display());
        if let Some(services) = self.services.as_mut().and_then(Arc::get_mut) {
            services.keep();
            println!("logs of the services: {}", services.dir().display());
        }
    }
}
