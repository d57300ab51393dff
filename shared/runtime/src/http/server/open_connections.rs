//! The bound on the number of connections.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use super::progress::Progress;
use crate::files::raise_open_files;

/// File descriptors reserved for databases, the log and connections to providers.
const RESERVED_FILES: u64 = 512;

/// All open connections.
#[derive(Debug)]
pub(super) struct OpenConnections {
    max: usize,
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Progress>>>,
}

/// A connection's place; dropping it frees the place.
#[derive(Debug)]
pub(super) struct Admission {
    open_connections: Arc<OpenConnections>,
    id: u64,
    pub(super) progress: Arc<Progress>,
}

impl OpenConnections {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            next: AtomicU64::new(0),
            open: Mutex::default(),
        })
    }

    /// A place for a new connection; `None` if the bound is reached and each open connection has a request in
    /// progress.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Admission> {
        let progress = Arc::new(Progress::new());
        let mut open = self.open.lock();
        if open.len() >= self.max {
            Self::evict(&mut open, (self.max / 64).max(1));
            if open.len() >= self.max {
                return None;
            }
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        open.insert(id, Arc::clone(&progress));
        metrics::gauge!("carillon_http_connections").increment(1);
        Some(Admission {
            open_connections: Arc::clone(self),
            id,
            progress,
        })
    }

    /// Closes some connections without a request, so that the process has free file descriptors again.
    pub(super) fn make_room(&self) {
        Self::evict(&mut self.open.lock(), (self.max / 64).max(1));
    }

    /// Closes up to `count` idle connections at once, because a scan of all connections is not cheap.
    /// Connections that never had a request go first, then those that have been idle longest.
    fn evict(open: &mut HashMap<u64, Arc<Progress>>, count: usize) {
        let mut waiting: Vec<_> = open
            .iter()
            .filter_map(|(id, progress)| Some((progress.waits()?, *id)))
            .collect();
        if waiting.len() > count {
            waiting.select_nth_unstable(count);
            waiting.truncate(count);
        }
        for (_, id) in waiting {
            if let Some(progress) = open.remove(&id) {
                progress.evict();
            }
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.open_connections.open.lock().remove(&self.id);
        metrics::gauge!("carillon_http_connections").decrement(1);
    }
}

/// The most connections of the process: `wanted`, or fewer if its limit of open files does not allow them.
pub(super) fn affordable(wanted: usize) -> usize {
    let Some(files) = raise_open_files() else {
        return wanted;
    };
    let left = files.saturating_sub(RESERVED_FILES).max(files / 2);
    let affordable = usize::try_from(left).unwrap_or(usize::MAX);
    if affordable < wanted {
        tracing::warn!(
            files,
            wanted,
            connections = affordable,
            "http.max_connections is more than the limit of open files leaves (ulimit -n)"
        );
    }
    wanted.min(affordable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_bound_the_connection_that_waited_longest_makes_room_and_one_with_a_request_never_does() {
        let open_connections = OpenConnections::new(3);
        let places: Vec<Admission> = (0..3).map(|_| open_connections.enter().unwrap()).collect();
        let is_open = |place: &Admission| open_connections.open.lock().contains_key(&place.id);
        places[0].progress.begin();
        places[1].progress.begin();
        places[1].progress.end();
        let fourth = open_connections.enter().unwrap();
        // The third never had a request, the second waits for its next one.
        assert_eq!(
            places.iter().map(is_open).collect::<Vec<_>>(),
            [true, true, false]
        );
        fourth.progress.begin();
        let fifth = open_connections.enter().unwrap();
        assert_eq!(
            places.iter().map(is_open).collect::<Vec<_>>(),
            [true, false, false]
        );
        fifth.progress.begin();
        assert!(open_connections.enter().is_none(), "all have a request");
        places[0].progress.end();
        assert!(open_connections.enter().is_some() && !is_open(&places[0]));
        drop(fifth);
        drop((places, fourth));
        assert_eq!(open_connections.open.lock().len(), 0);
    }
}
