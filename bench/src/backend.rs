//! The storage under a benchmark: embedded, or real Kafka, PostgreSQL and Redis.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use carillon_testkit::installation::Services;
use clap::ValueEnum;

use crate::measure::Processes;

/// The kind of storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendName {
    Embedded,
    Real,
}

/// The storage and its processes.
#[derive(Debug, Clone)]
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    pub(crate) services: Option<Services>,
    service_pids: Vec<u32>,
}

impl Backend {
    /// Uses the services from the environment, or starts `deploy/ci/services`.
    pub(crate) fn open(name: BackendName) -> anyhow::Result<Self> {
        if name == BackendName::Embedded {
            return Ok(Self {
                name: "embedded",
                services: None,
                service_pids: Vec::new(),
            });
        }
        let services = match Services::from_env() {
            Some(services) => services,
            None => start_services()?,
        };
        let pids = ["kafka", "postgres", "redis"].iter().filter_map(|name| {
            let pid = services_script(&["pid", name]).ok()?;
            pid.trim().parse().ok()
        });
        Ok(Self {
            name: "Kafka, PostgreSQL, Redis",
            services: Some(services),
            service_pids: pids.collect(),
        })
    }

    pub(crate) fn is_embedded(&self) -> bool {
        self.services.is_none()
    }

    /// The given processes together with those of the stores.
    pub(crate) fn with_stores(&self, mut pids: Vec<u32>) -> Processes {
        pids.extend(&self.service_pids);
        Processes::new(pids)
    }

    /// The value for this backend.
    pub(crate) fn pick<T>(&self, embedded: T, real: T) -> T {
        if self.is_embedded() { embedded } else { real }
    }
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn services_script(args: &[&str]) -> anyhow::Result<String> {
    let script = repository().join("deploy/ci/services");
    let output = Command::new(&script)
        .args(args)
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| script.display().to_string())?;
    anyhow::ensure!(output.status.success(), "deploy/ci/services {args:?} failed");
    Ok(String::from_utf8(output.stdout)?)
}

fn start_services() -> anyhow::Result<Services> {
    services_script(&["up"])?;
    let exports = services_script(&["env"])?;
    let value = |name: &str| {
        let start = format!("export {name}=");
        let line = exports.lines().find_map(|line| line.strip_prefix(&start));
        line.map(|value| value.trim_matches(['\'', '"']).to_owned())
            .with_context(|| format!("deploy/ci/services env names no {name}"))
    };
    Ok(Services {
        brokers: value("CARILLON_KAFKA__BROKERS")?,
        database: value("CARILLON_DATABASE__URL")?,
        redis: value("CARILLON_REDIS__URL")?,
    })
}
