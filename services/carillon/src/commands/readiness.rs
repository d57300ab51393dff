//! The readiness of a running process, as its `/readyz` tells it, and `carillon ready`, the health check of the image.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use anyhow::bail;
use carillon_runtime::http::{ClientOptions, client};
use serde::Deserialize;

use crate::output;

/// The longest wait of a health check for an answer. The image's health check has 3 s for the whole command.
const WITHIN: Duration = Duration::from_secs(2);

/// The answer of `/readyz`; see [`carillon_runtime::http::ReadinessReport`].
#[derive(Deserialize)]
pub(super) struct ReadyAnswer {
    /// Whether all parts are ready.
    pub(super) ready: bool,
    /// Each part of the process.
    pub(super) parts: BTreeMap<String, ReadyPart>,
}

#[derive(Deserialize)]
pub(super) struct ReadyPart {
    pub(super) ready: bool,
    for_seconds: u64,
    #[serde(default)]
    cause: String,
    /// A fault that does not make the part unready, such as a parked account.
    #[serde(default)]
    pub(super) note: String,
}

impl ReadyPart {
    /// The cause for which a part is not ready, and the seconds for which it has not been.
    pub(super) fn fault(&self) -> Option<String> {
        (!self.ready).then(|| format!("not ready for {} s: {}", self.for_seconds, self.cause))
    }
}

/// The reason for which the readiness at an address is unknown.
#[derive(Debug, thiserror::Error)]
pub(super) enum Silent {
    /// The client cannot be built.
    #[error("the HTTP client")]
    Client(#[source] reqwest::Error),
    /// No answer came.
    #[error("no process answers at {0}")]
    Absent(String),
    /// The answer is no report.
    #[error("the server at {0} is not a carillon")]
    Foreign(String),
}

/// Asks the process at an address.
pub(super) async fn ask(url: &str, within: Duration) -> Result<ReadyAnswer, Silent> {
    let options = ClientOptions {
        request_timeout: within,
        ..ClientOptions::default()
    };
    let client = client(&options).map_err(Silent::Client)?;
    let asked = client.get(format!("{url}/readyz")).send().await;
    let answer = asked.map_err(|_| Silent::Absent(url.to_owned()))?;
    answer.json().await.map_err(|_| Silent::Foreign(url.to_owned()))
}

/// Succeeds if the process at the address is ready. The error names the parts that are not, with their causes.
pub(crate) async fn ready(url: &str) -> anyhow::Result<ExitCode> {
    let url = url.trim_end_matches('/');
    let report = ask(url, WITHIN).await?;
    if report.ready {
        output::say(&format!("{url} is ready"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let faults = report
        .parts
        .iter()
        .filter_map(|(name, part)| Some(format!("{name}: {}", part.fault()?)));
    bail!("{}", faults.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
pub(super) mod tests {
    use carillon_runtime::{
        http::{self, Readiness},
        telemetry::MetricsHandle,
    };
    use tokio::task::JoinHandle;

    use super::*;

    /// A process with this readiness: its address, and its task.
    pub(crate) async fn serve(readiness: Readiness) -> (String, JoinHandle<std::io::Result<()>>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = http::operations(readiness, MetricsHandle::detached());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await });
        (url, serving)
    }

    #[tokio::test]
    async fn a_health_check_fails_with_the_cause_and_passes_with_a_note() {
        let readiness = Readiness::default();
        let bus = readiness.register("bus");
        bus.not_ready("no broker answers");
        let worker = readiness.register("push worker");
        worker.ready();
        worker.note("account", Some("the account fcm is parked".to_owned()));
        let (url, serving) = serve(readiness).await;

        let said = ready(&url).await.unwrap_err().to_string();
        assert_eq!(said, "bus: not ready for 0 s: no broker answers");
        bus.ready();
        assert_eq!(ready(&format!("{url}/")).await.unwrap(), ExitCode::SUCCESS);

        serving.abort();
        let _ = serving.await;
        let said = ready(&url).await.unwrap_err().to_string();
        assert_eq!(said, format!("no process answers at {url}"));
    }
}
