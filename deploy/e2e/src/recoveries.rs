//! The recovery time after each fault.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::plan::FaultKind;

/// A fault that was carried out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strike {
    pub(crate) kind: FaultKind,
    pub(crate) began: Instant,
    pub(crate) ended: Option<Instant>,
    pub(crate) recovered: Option<Instant>,
}

/// All faults so far.
#[derive(Debug, Default)]
pub(crate) struct Strikes(Mutex<Vec<Strike>>);

impl Strikes {
    pub(crate) fn begin(&self, kind: FaultKind) -> usize {
        let mut strikes = self.0.lock();
        strikes.push(Strike {
            kind,
            began: Instant::now(),
            ended: None,
            recovered: None,
        });
        strikes.len() - 1
    }

    pub(crate) fn end(&self, index: usize) -> Instant {
        let now = Instant::now();
        self.0.lock()[index].ended = Some(now);
        now
    }

    /// Notes the recovery from a fault; returns the other faults that may have delayed it.
    pub(crate) fn recover(&self, index: usize, at: Instant) -> Vec<FaultKind> {
        let mut strikes = self.0.lock();
        strikes[index].recovered = Some(at);
        disturbances(&strikes, index)
    }

    /// All faults.
    pub(crate) fn all(&self) -> Vec<Strike> {
        self.0.lock().clone()
    }

    /// Lines for the report: the recovery times by kind of fault, those of faults that no other fault disturbed, and all.
    pub(crate) fn summary(&self) -> Vec<String> {
        let strikes = self.0.lock();
        let mut by_kind: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
        let (mut undisturbed, mut all) = (Vec::new(), Vec::new());
        for (index, strike) in strikes.iter().enumerate() {
            let (Some(ended), Some(recovered)) = (strike.ended, strike.recovered) else {
                continue;
            };
            let took = recovered.saturating_duration_since(ended);
            all.push(took);
            if disturbances(&strikes, index).is_empty() {
                undisturbed.push(took);
                by_kind.entry(strike.kind.to_string()).or_default().push(took);
            }
        }
        let mut lines: Vec<String> = by_kind
            .into_iter()
            .map(|(kind, times)| line(&kind, times))
            .collect();
        lines.push(line("all that no other fault disturbed", undisturbed));
        lines.push(line("all", all));
        lines
    }
}

/// The other faults between the end of a fault and the recovery from it.
fn disturbances(strikes: &[Strike], index: usize) -> Vec<FaultKind> {
    let strike = strikes[index];
    match (strike.ended, strike.recovered) {
        (Some(from), Some(to)) => others(strikes, index, from, to),
        _ => Vec::new(),
    }
}

/// The other faults within a period.
pub(crate) fn others(strikes: &[Strike], index: usize, from: Instant, to: Instant) -> Vec<FaultKind> {
    let others = strikes.iter().enumerate().filter(|(other, _)| *other != index);
    others
        .filter(|(_, other)| other.began < to && other.ended.is_none_or(|ended| ended > from))
        .map(|(_, other)| other.kind)
        .collect()
}

/// A line with the number, the median and the longest of some times.
pub(crate) fn line(what: &str, mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let Some(longest) = times.last() else {
        return format!("{what:<34} none");
    };
    let median = times[times.len() / 2];
    format!(
        "{what:<34} {:>3}   median {:>6.2} s   max {:>6.2} s",
        times.len(),
        median.as_secs_f64(),
        longest.as_secs_f64()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_lasts_into_anothers_recovery_disturbs_it() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let strike = |began, ended, recovered| Strike {
            kind: FaultKind::Flush,
            began: at(began),
            ended: Some(at(ended)),
            recovered: Some(at(recovered)),
        };
        let strikes = [strike(0, 1, 5), strike(4, 8, 9), strike(20, 21, 22)];
        assert_eq!(disturbances(&strikes, 0).len(), 1);
        assert_eq!(
            disturbances(&strikes, 1).len(),
            0,
            "the first had ended when this one did"
        );
        assert!(disturbances(&strikes, 2).is_empty());
    }
}
