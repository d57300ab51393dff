//! `carillon doctor`: asks each dependency and says what is wrong.

use std::{process::ExitCode, sync::Arc};

use carillon_bus::{Bus, BusError};
use carillon_domain::{Channel, SystemClock, clock::SharedClock};
use carillon_store::{
    Store,
    quota::{RedisQuotas, RedisQuotasConfig},
};
use serde::Serialize;

use crate::{config::Config, output};

#[derive(Serialize)]
struct Finding {
    what: String,
    ok: bool,
    detail: String,
}

fn finding(what: impl Into<String>, result: Result<String, String>) -> Finding {
    let ok = result.is_ok();
    Finding {
        what: what.into(),
        ok,
        detail: result.unwrap_or_else(|detail| detail),
    }
}

/// The whole chain of an error, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

async fn database(config: &Config, clock: &SharedClock) -> Result<String, String> {
    let settings = config.store_config().map_err(|error| error.to_string())?;
    let store = Store::connect(&settings, Arc::clone(clock))
        .await
        .map_err(|error| chain(&error))?;
    store.check().await.map_err(|error| chain(&error))?;
    Ok(format!(
        "{} answers; the schema is up to date",
        store.dialect().as_str()
    ))
}

async fn bus(config: &Config, clock: &SharedClock) -> Result<String, String> {
    let settings = config.bus_config().map_err(|error| error.to_string())?;
    let bus = match Bus::connect(settings, Arc::clone(clock)).await {
        Ok(bus) => bus,
        // It works, for somebody else.
        Err(BusError::InUse(path)) => {
            return Ok(format!("in use by a running carillon ({})", path.display()));
        }
        Err(error) => return Err(chain(&error)),
    };
    bus.check().await.map_err(|error| chain(&error))?;
    Ok(format!("{} answers; every topic is there", bus.backend_name()))
}

async fn limits(config: &Config) -> Result<String, String> {
    let Some(url) = &config.redis.url else {
        return Ok("kept in the process (redis.url is not set): right for one router only".to_owned());
    };
    let quotas = RedisQuotas::connect(RedisQuotasConfig::new(url.clone())).map_err(|error| chain(&error))?;
    if quotas.check().await {
        Ok("redis answers".to_owned())
    } else {
        Err("redis does not answer".to_owned())
    }
}

pub(super) async fn run(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let clock: SharedClock = Arc::new(SystemClock);
    let mut findings = vec![
        finding("configuration", Ok("valid".to_owned())),
        finding("database", database(config, &clock).await),
        finding("bus", bus(config, &clock).await),
        finding("limits", limits(config).await),
    ];
    for channel in Channel::ALL {
        let accounts = carillon_workers::accounts(&config.providers, channel, &clock);
        let result = match accounts {
            Ok(accounts) if accounts.is_empty() => Err("no provider is configured".to_owned()),
            Ok(accounts) => {
                let names: Vec<&str> = accounts.iter().map(|account| &**account.name()).collect();
                Ok(format!("{} is configured", names.join(", ")))
            }
            Err(error) => Err(chain(&error)),
        };
        findings.push(finding(format!("provider of {channel}"), result));
    }
    if json {
        output::json(&findings)?;
    } else {
        let rows = findings.iter().map(|finding| {
            let verdict = if finding.ok { "ok" } else { "WRONG" };
            vec![finding.what.as_str(), verdict, finding.detail.as_str()]
        });
        output::table(&["what", "", "detail"], rows);
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
    use super::*;

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
}
