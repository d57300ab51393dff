//! The common state of breakers within one process.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    BreakerReport, BreakerState, Breakers,
    kept::{KeptState, whole_millis},
};
use crate::redis_link::RedisFault;

const DAY: Duration = Duration::from_hours(24);

/// The state, for an installation of one process.
#[derive(Debug)]
pub struct InProcessBreakers {
    begin: Instant,
    records: Mutex<HashMap<String, KeptState>>,
    probes: Mutex<HashMap<String, (Uuid, Instant)>>,
}

impl Default for InProcessBreakers {
    fn default() -> Self {
        Self {
            begin: Instant::now(),
            records: Mutex::default(),
            probes: Mutex::default(),
        }
    }
}

impl InProcessBreakers {
    /// Milliseconds since a day before the begin: a run may have begun before, and version 0 means that nothing is known.
    fn now(&self) -> u64 {
        whole_millis(DAY + self.begin.elapsed())
    }
}

#[async_trait]
impl Breakers for InProcessBreakers {
    async fn exchange(&self, reports: &[BreakerReport]) -> Result<Vec<BreakerState>, RedisFault> {
        let now = self.now();
        let mut records = self.records.lock();
        let states = reports.iter().map(|report| {
            if let Some(change) = &report.change {
                let record = records.entry(report.account.clone()).or_default();
                record.apply(report.seen, change, now);
            }
            let record = records.get(&report.account);
            record.map(|record| record.at(now)).unwrap_or_default()
        });
        Ok(states.collect())
    }

    async fn take_probe(&self, account: &str, process: Uuid, lease: Duration) -> Result<bool, RedisFault> {
        let now = Instant::now();
        let mut probes = self.probes.lock();
        let is_taken = probes
            .get(account)
            .is_some_and(|(owner, until)| *owner != process && *until > now);
        if !is_taken {
            probes.insert(account.to_owned(), (process, now + lease));
        }
        Ok(!is_taken)
    }

    async fn give_probe_back(&self, account: &str, process: Uuid) -> Result<(), RedisFault> {
        let mut probes = self.probes.lock();
        if probes.get(account).is_some_and(|(owner, _)| *owner == process) {
            probes.remove(account);
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        "in-process"
    }
}
