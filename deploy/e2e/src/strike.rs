//! Carrying out the faults at their times.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    api::Api,
    console::Console,
    house::House,
    load::Journal,
    plan::{Fault, FaultKind},
    probe,
    recoveries::Strikes,
    services::Services,
};

/// The recovery time, in seconds, above which the report names the channel that recovered last.
const TELLING: f64 = 3.0;

/// The dependencies of a strike.
#[derive(Clone)]
pub(crate) struct Striker {
    pub(crate) house: House,
    pub(crate) services: Option<Arc<Services>>,
    pub(crate) api: Api,
    pub(crate) journal: Arc<Journal>,
    pub(crate) strikes: Arc<Strikes>,
    pub(crate) console: Console,
}

impl Striker {
    /// Carries out the faults at their times, independently of each other, and waits for the last recovery. Returns
    /// the faults that could not be carried out, and those without a recovery.
    pub(crate) async fn run(self, faults: Vec<Fault>) -> Vec<String> {
        let mut under_way = Vec::new();
        for (number, fault) in faults.into_iter().enumerate() {
            tokio::time::sleep_until(self.console.at(fault.at)).await;
            let striker = self.clone();
            under_way.push(tokio::spawn(async move { striker.strike(number, fault).await }));
        }
        let mut wrong = Vec::new();
        for strike in under_way {
            match strike.await {
                Ok(Ok(())) => {}
                Ok(Err(text)) => wrong.push(text),
                Err(error) => wrong.push(format!("a strike failed: {error}")),
            }
        }
        wrong
    }

    async fn strike(&self, number: usize, fault: Fault) -> Result<(), String> {
        let Fault { kind, lasts, .. } = fault;
        let index = self.strikes.begin(kind);
        let began = Instant::now();
        let done = self
            .inflict(kind, lasts)
            .await
            .map_err(|error| format!("{kind}: {error:#}"))?;
        let ended = self.strikes.end(index);
        let lasted = ended.saturating_duration_since(began).as_secs_f64();
        let what = match kind {
            FaultKind::Flush => format!("{kind}{done}"),
            FaultKind::Freeze(_) => format!("{kind}, SIGCONT after {lasted:.1} s"),
            _ => format!("{kind}, there again after {lasted:.1} s"),
        };
        let Some((at, last)) = probe::recovered(&self.api, &self.journal, number).await else {
            let text = format!("{what}: not recovered within {} s", probe::LIMIT.as_secs());
            self.console.say_at(began, format!("!! {text}"));
            return Err(text);
        };
        let took = at.saturating_duration_since(ended).as_secs_f64();
        let meanwhile = self.strikes.recover(index, at);
        let mut line = format!("{what}; recovered in {took:.2} s");
        if took > TELLING {
            line = format!("{line}, {last} last");
        }
        if !meanwhile.is_empty() {
            let others: Vec<String> = meanwhile.iter().map(ToString::to_string).collect();
            line = format!("{line} (meanwhile: {})", others.join(", "));
        }
        self.console.say_at(began, line);
        Ok(())
    }

    /// Carries out a fault and ends it.
    async fn inflict(&self, kind: FaultKind, lasts: Duration) -> anyhow::Result<&'static str> {
        match kind {
            FaultKind::Kill(name) => {
                self.house.kill(name);
                tokio::time::sleep(lasts).await;
                self.house.start(name);
            }
            FaultKind::Freeze(name) => {
                self.house.freeze(name);
                tokio::time::sleep(lasts).await;
                self.house.thaw(name);
            }
            FaultKind::KillService(name) => {
                let services = self.services()?;
                self.house.service(name, false);
                services.kill(name).await?;
                tokio::time::sleep(lasts).await;
                services.up(name).await?;
                self.house.service(name, true);
            }
            FaultKind::Flush => {
                // If Redis is down, it has no data to delete.
                let did = self.services()?.flush().await;
                return Ok(if did { "" } else { " (Redis was away)" });
            }
        }
        Ok("")
    }

    fn services(&self) -> anyhow::Result<&Services> {
        self.services
            .as_deref()
            .ok_or_else(|| anyhow::anyhow!("there are no services on this backend"))
    }
}
