//! CPU time and memory of processes, from `/proc`.

use std::collections::{HashMap, HashSet};

use procfs::process::{Process, all_processes};

/// Processes with all their descendants.
#[derive(Debug, Clone)]
pub(crate) struct Processes(Vec<u32>);

impl Processes {
    /// The process trees below these roots.
    pub(crate) fn new(roots: Vec<u32>) -> Self {
        Self(roots)
    }

    /// The CPU seconds, user and system, used so far. (A descendant that has ended is included in the parent that
    /// waited for it.)
    #[expect(clippy::cast_precision_loss, reason = "ticks of a benchmark's length")]
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stats: Vec<_> = all_processes()
            .into_iter()
            .flatten()
            .filter_map(|process| process.ok()?.stat().ok())
            .collect();
        let parents: HashMap<i32, i32> = stats.iter().map(|stat| (stat.pid, stat.ppid)).collect();
        let roots: HashSet<i32> = self.0.iter().map(|pid| pid.cast_signed()).collect();
        let takes_part = |mut pid: i32| loop {
            if roots.contains(&pid) {
                return true;
            }
            match parents.get(&pid) {
                Some(parent) if *parent > 0 => pid = *parent,
                _ => return false,
            }
        };
        let ticks: i64 = stats
            .iter()
            .filter(|stat| takes_part(stat.pid))
            .map(|stat| (stat.utime + stat.stime).cast_signed() + stat.cutime + stat.cstime)
            .sum();
        ticks as f64 / procfs::ticks_per_second() as f64
    }

    /// The most memory that any of the roots has held since its start, in bytes.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let each = self.0.iter().filter_map(|pid| {
            let status = Process::new(pid.cast_signed()).ok()?.status().ok()?;
            Some(status.vmhwm? * 1024)
        });
        each.max().unwrap_or_default()
    }
}
