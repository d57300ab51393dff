//! `carillon doctor`: checks each dependency and the local process, and reports current faults.

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use carillon_bus::{Bus, BusError};
use carillon_domain::{Channel, Moment, SystemClock, Timestamp, clock::SharedClock};
use carillon_runtime::causes;
use carillon_store::{DatabaseUrl, Store, StoreError};
use serde::Serialize;

use super::{
    folder,
    readiness::{self, Silent},
    target,
};
use crate::{
    check,
    cli::Stores,
    config::Config,
    foundation, output,
    roles::{self, ProcessRole},
};

/// The longest wait for the local process's readiness.
const WITHIN: Duration = Duration::from_secs(5);

/// The part of the report about the process at an address.
const PROCESS: &str = "running process";

/// A provider account, or a part of one, that a worker has closed.
#[derive(Debug)]
struct Closed {
    what: String,
    channel: Channel,
    cause: String,
    ends_at: Option<Timestamp>,
}

struct Finding {
    what: String,
    /// Whether there is no fault.
    ok: bool,
    detail: String,
    /// Whether there was something to check.
    is_checked: bool,
}

/// A finding as JSON.
#[derive(Serialize)]
struct FindingDocument<'a> {
    what: &'a str,
    /// Whether there is no fault; null if there was nothing to check.
    ok: Option<bool>,
    detail: &'a str,
}

impl Finding {
    fn document(&self) -> FindingDocument<'_> {
        FindingDocument {
            what: &self.what,
            ok: self.is_checked.then_some(self.ok),
            detail: &self.detail,
        }
    }

    fn verdict(&self) -> &'static str {
        match (self.is_checked, self.ok) {
            (false, _) => "–",
            (true, true) => "ok",
            (true, false) => "WRONG",
        }
    }
}

fn finding(what: impl Into<String>, result: Result<String, String>) -> Finding {
    let ok = result.is_ok();
    Finding {
        what: what.into(),
        ok,
        detail: result.unwrap_or_else(|detail| detail),
        is_checked: true,
    }
}

/// The state of the database, and the provider accounts that workers have closed. Workers record these in the database.
async fn database(config: &Config, clock: &SharedClock) -> Result<(String, Vec<Closed>), String> {
    if folder::names_no_stores(config) {
        return Err(folder::no_stores());
    }
    let settings = config.store_config().map_err(|error| error.to_string())?;
    // Opening a file would create it.
    if let Some(file) = settings.file()
        && !file.exists()
    {
        return Err(absent(&file));
    }
    let store = Store::connect(&settings, Arc::clone(clock))
        .await
        .map_err(|error| of_database(config, &error))?;
    let checked = store.check().await;
    let dialect = store.dialect().as_str();
    let holds = match checked {
        Ok(()) => closed_accounts(&store).await,
        Err(error) => Err(error),
    };
    store.close().await;
    let holds = holds.map_err(|error| of_database(config, &error))?;
    let state = format!("{dialect} answers and takes writes; the schema is up to date");
    Ok((state, holds))
}

/// The accounts and parts of accounts that workers have closed.
async fn closed_accounts(store: &Store) -> Result<Vec<Closed>, StoreError> {
    let accounts = store.account_holds().all().await?.into_iter().map(|hold| Closed {
        what: format!("account {}", hold.account),
        channel: hold.channel,
        cause: hold.cause,
        ends_at: hold.ends_at,
    });
    let parts = store.account_part_holds().all().await?;
    let parts = parts.into_iter().map(|hold| Closed {
        what: format!("account {} for {}", hold.account, hold.part),
        channel: hold.channel,
        cause: hold.cause,
        ends_at: hold.ends_at,
    });
    Ok(accounts.chain(parts).collect())
}

/// A fault of the database, with its place.
fn of_database(config: &Config, error: &StoreError) -> String {
    let place = config.database.url.as_ref().map(DatabaseUrl::place);
    format!("{}: {}", place.unwrap_or_default(), causes(error))
}

/// A fault of the bus, with the brokers.
fn of_bus(config: &Config, error: &BusError) -> String {
    if config.is_distributed() {
        format!("{}: {}", config.kafka.brokers, causes(error))
    } else {
        causes(error)
    }
}

/// A finding for each account that a worker has closed, unless the readiness of the examined process has already
/// reported it.
fn closed(holds: Vec<Closed>, told: &[Finding]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for hold in holds {
        let what = hold.what;
        let is_told = told.iter().any(|finding| finding.detail.contains(&hold.cause));
        if !is_told && findings.iter().all(|finding| finding.what != what) {
            let ends = hold.ends_at.map_or_else(
                || "; the next message tries it".to_owned(),
                |ends_at| format!("; the next message tries it at {}", Moment(ends_at)),
            );
            let detail = format!("a worker of {} says: {}{ends}", hold.channel, hold.cause);
            findings.push(finding(what, Err(detail)));
        }
    }
    findings
}

/// The fault of a file that is not there.
fn absent(file: &Path) -> String {
    format!(
        "there is no file {}: a role creates it at its first start, and so does carillon setup",
        file.display()
    )
}

async fn bus(config: &Config, clock: &SharedClock) -> Result<String, String> {
    if folder::names_no_stores(config) {
        return Err("neither kafka.brokers nor bus.path is set".to_owned());
    }
    if !config.is_distributed() && !config.bus.path.exists() {
        return Err(absent(&config.bus.path));
    }
    let settings = config.bus_config().map_err(|error| error.to_string())?;
    let bus = match Bus::connect(settings, Arc::clone(clock)).await {
        Ok(bus) => bus,
        // The log works, but another process uses it.
        Err(BusError::InUse { log, .. }) => {
            return Ok(format!("in use by a running carillon ({})", log.display()));
        }
        Err(error) => return Err(of_bus(config, &error)),
    };
    bus.check().await.map_err(|error| of_bus(config, &error))?;
    Ok(format!("{} answers; every topic is there", bus.backend_name()))
}

async fn limits(config: &Config) -> Result<String, String> {
    let Some(url) = &config.redis.url else {
        return Ok("kept in the process (redis.url is not set): right for one router only".to_owned());
    };
    let quotas = foundation::quotas(config).map_err(|error| causes(error.as_ref()))?;
    match quotas.check().await {
        Ok(()) => Ok("redis answers and takes writes".to_owned()),
        Err(fault) => Err(format!("{}: {fault}", url.place())),
    }
}

/// The readiness of each part of the process at an address. If no process is running there, this is a fault only if
/// one is expected.
async fn running(url: &str, is_expected: bool) -> Vec<Finding> {
    let absent = |detail: String| {
        vec![if is_expected {
            finding(PROCESS, Err(detail))
        } else {
            Finding {
                is_checked: false,
                ..finding(
                    PROCESS,
                    Ok(format!("{detail}; --url names another process to check")),
                )
            }
        }]
    };
    let report = match readiness::ask(url, WITHIN).await {
        Ok(report) => report,
        Err(error @ Silent::Client(_)) => return vec![finding(PROCESS, Err(causes(&error)))],
        Err(error) => return absent(error.to_string()),
    };
    if report.parts.keys().all(|part| part == roles::SIMULATOR) {
        return absent(format!(
            "a provider simulator answers at {url} instead of a role of carillon"
        ));
    }
    let mut findings: Vec<Finding> = report
        .parts
        .into_iter()
        .filter(|(_, part)| !part.ready || !part.note.is_empty())
        .map(|(name, part)| {
            let detail = part.fault().unwrap_or(part.note);
            finding(format!("running {name}"), Err(detail))
        })
        .collect();
    if findings.is_empty() {
        findings.push(finding(PROCESS, Ok(format!("{url} is ready"))));
    }
    findings
}

/// The address at which the process of this folder or configuration listens.
fn address(config: &Config, folder: Option<&Path>) -> String {
    match folder.map(target::running) {
        Some(Ok(address)) => address,
        _ => format!("http://{}", config.http.listen),
    }
}

fn providers(config: &Config, clock: &SharedClock) -> Vec<Finding> {
    Channel::ALL
        .into_iter()
        .map(|channel| {
            let accounts = carillon_workers::accounts(
                &config.providers,
                &config.channels,
                &config.workers,
                channel,
                clock,
            );
            let result = match accounts {
                Ok(accounts) if accounts.is_empty() => Err("no provider is configured".to_owned()),
                Ok(accounts) => {
                    let names: Vec<&str> = accounts.iter().map(|account| &**account.name()).collect();
                    let verb = if names.len() == 1 { "is" } else { "are" };
                    let mut sentence = format!("{} {verb} configured", names.join(", "));
                    for warning in check::warnings(config, &[ProcessRole::Worker(channel)]) {
                        sentence.push_str("; ");
                        sentence.push_str(&warning);
                    }
                    Ok(sentence)
                }
                Err(error) => Err(causes(&error)),
            };
            finding(format!("provider of {channel}"), result)
        })
        .collect()
}

/// Checks the configured stores, or those in the folder of a `carillon dev`, and the readiness of a process: the one
/// at `url`, which must answer, or else the one at the configured address, which need not be running.
async fn examine(config: Config, folder: Option<&Path>, url: Option<&str>) -> anyhow::Result<Vec<Finding>> {
    let clock: SharedClock = Arc::new(SystemClock);
    let named = url.map(|url| url.trim_end_matches('/').to_owned());
    let is_named = named.is_some();
    let address = named.unwrap_or_else(|| address(&config, folder));
    let config = match folder {
        Some(folder) => folder::within(config, folder)?,
        None => config,
    };
    let mut findings = vec![finding("configuration", Ok("valid".to_owned()))];
    findings.extend(running(&address, is_named).await);
    let (state, holds) = match database(&config, &clock).await {
        Ok((state, holds)) => (Ok(state), holds),
        Err(fault) => (Err(fault), Vec::new()),
    };
    let closed = closed(holds, &findings);
    findings.push(finding("database", state));
    findings.extend(closed);
    findings.push(finding("bus", bus(&config, &clock).await));
    findings.push(finding("limits", limits(&config).await));
    if folder.is_some() {
        let simulated = "the simulator of carillon dev, where nothing else is configured".to_owned();
        findings.push(finding("providers", Ok(simulated)));
    } else {
        findings.extend(providers(&config, &clock));
    }
    Ok(findings)
}

pub(super) async fn run(
    config: Config,
    url: Option<&str>,
    json: bool,
    stores: &Stores,
) -> anyhow::Result<ExitCode> {
    let folder = folder::chosen(&config, stores)?;
    let findings = Box::pin(examine(config, folder, url)).await?;
    if json {
        output::json(&findings.iter().map(Finding::document).collect::<Vec<_>>())?;
    } else {
        let rows = findings
            .iter()
            .map(|finding| vec![finding.what.as_str(), finding.verdict(), finding.detail.as_str()]);
        output::table(&["what", "", "detail"], rows)?;
    }
    let well = findings.iter().all(|finding| finding.ok);
    Ok(if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use carillon_runtime::http::Readiness;
    use carillon_store::account_holds::AccountHold;

    use super::*;
    use crate::commands::readiness::tests::serve;

    #[tokio::test]
    async fn a_bus_that_a_running_carillon_uses_is_in_use_and_not_broken() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.bus.path = dir.path().join("bus.db");
        let clock: SharedClock = Arc::new(SystemClock);
        let running = Bus::connect(config.bus_config().unwrap(), Arc::clone(&clock))
            .await
            .unwrap();
        let said = bus(&config, &clock).await.unwrap();
        assert!(said.starts_with("in use by a running carillon"), "{said}");
        drop(running);

        config.bus.path = dir.path().to_owned();
        let said = bus(&config, &clock).await.unwrap_err();
        assert!(!said.contains("in use"), "{said}");
    }

    #[tokio::test]
    async fn doctor_creates_no_database_and_no_log_where_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("misspelt");
        let mut config = Config::default();
        config.database.url = Some(DatabaseUrl::sqlite(&missing.join("store.db")));
        config.bus.path = missing.join("bus.db");
        let clock: SharedClock = Arc::new(SystemClock);
        for fault in [
            database(&config, &clock).await.unwrap_err(),
            bus(&config, &clock).await.unwrap_err(),
        ] {
            assert!(
                fault.contains("there is no file") && fault.contains("misspelt"),
                "{fault}"
            );
        }
        assert!(!missing.exists());
    }

    #[tokio::test]
    async fn doctor_reports_each_fault_of_a_running_process_with_its_cause() {
        let readiness = Readiness::default();
        readiness.register("bus").ready();
        readiness
            .register("database")
            .not_ready("the database is read-only");
        let worker = readiness.register("push worker");
        worker.ready();
        worker.note("account", Some("the account fcm is parked".to_owned()));
        let (url, serving) = serve(readiness).await;

        let findings = running(&url, true).await;
        assert_eq!(findings.len(), 2);
        assert!(!findings[0].ok && !findings[1].ok);
        assert_eq!(findings[1].detail, "the account fcm is parked");
        assert_eq!(findings[0].what, "running database");
        assert!(
            findings[0].detail.ends_with("the database is read-only"),
            "{}",
            findings[0].detail
        );
        serving.abort();
        let _ = serving.await;

        let (simulator, simulating) = serve(roles::simulator_readiness()).await;
        let findings = running(&simulator, true).await;
        assert!(
            !findings[0].ok && findings[0].detail.contains("instead of a role"),
            "{}",
            findings[0].detail
        );
        simulating.abort();

        let absent = running(&url, false).await;
        let document = serde_json::to_value(absent[0].document()).unwrap();
        assert_eq!(document["ok"], serde_json::Value::Null);
        assert!(absent[0].ok, "that none runs where none was named is no fault");
        assert_eq!(
            (absent[0].verdict(), &*absent[0].detail),
            (
                "–",
                &*format!("no process answers at {url}; --url names another process to check")
            )
        );
        assert!(
            !running(&url, true).await[0].ok,
            "that none runs where one was named is a fault"
        );
    }

    #[tokio::test]
    async fn doctor_examines_the_folder_of_a_running_carillon_dev_and_finds_only_accounts_that_workers_have_closed()
     {
        let dir = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let mut running = Config::default();
        running.bus.path = dir.path().join("bus.db");
        running.database.url = Some(DatabaseUrl::sqlite(&dir.path().join("store.db")));
        let store = Store::connect(&running.store_config().unwrap(), Arc::clone(&clock))
            .await
            .unwrap();
        let _bus = Bus::connect(running.bus_config().unwrap(), clock).await.unwrap();
        let mut config = Config::default();
        config.http.listen = ([127, 0, 0, 1], 1).into();
        let findings = examine(config.clone(), Some(dir.path()), None).await.unwrap();
        for finding in &findings {
            assert!(finding.ok, "{}: {}", finding.what, finding.detail);
        }
        assert!(
            findings
                .iter()
                .any(|finding| finding.what == "bus" && finding.detail.starts_with("in use"))
        );

        // The hold of a worker whose address `doctor` does not know.
        let hold = AccountHold {
            account: "relay".to_owned(),
            channel: Channel::Email,
            cause: "the provider account relay is parked: 535".to_owned(),
            ends_at: Some(store.now() + Duration::from_mins(1)),
            park: Some("operator".to_owned()),
        };
        for process in [1, 2] {
            let process = uuid::Uuid::from_u128(process);
            store.account_holds().put(process, &hold).await.unwrap();
        }
        let findings = examine(config, Some(dir.path()), None).await.unwrap();
        let wrong: Vec<_> = findings.iter().filter(|finding| !finding.ok).collect();
        assert_eq!(wrong.len(), 1, "one finding for two processes");
        assert_eq!(wrong[0].what, "account relay");
        assert!(
            wrong[0]
                .detail
                .starts_with("a worker of email says: the provider account relay is parked: 535; the next message tries it at 2"),
            "{}",
            wrong[0].detail
        );
    }

    #[test]
    fn doctor_warns_of_a_password_that_goes_unencrypted_to_a_relay_on_the_internet() {
        let relay = |host: &str| {
            let mut config = Config::default();
            let settings = carillon_providers::SmtpConfig {
                host: host.parse().unwrap(),
                port: std::num::NonZeroU16::MIN,
                tls: carillon_providers::SmtpTls::None,
                username: Some("u".to_owned()),
                password: Some("hunter2".to_owned().into()),
                from: "shop@example.com".parse().unwrap(),
                max_connections: std::num::NonZeroU16::MIN,
                request_timeout: WITHIN,
                rate_per_second: None,
            };
            config.providers.insert("relay", settings);
            let clock: SharedClock = Arc::new(SystemClock);
            let mut findings = providers(&config, &clock);
            findings.remove(1).detail
        };
        assert_eq!(
            relay("smtp.example.com"),
            "relay is configured; providers.relay.tls: expected starttls or implicit, not none, because the password goes to \
             smtp.example.com unencrypted"
        );
        assert_eq!(relay("simulator"), "relay is configured");
    }
}
