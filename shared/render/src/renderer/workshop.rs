//! Work that may take long, away from the threads that answer requests and move records.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use carillon_domain::TenantId;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// The number of remembered tenants from which on those without work are forgotten.
const FORGET_FROM: usize = 1_024;

/// Runs as many pieces of work at a time as there are processors but one, and at most half of these for one
/// tenant. One tenant's work therefore never blocks the others'.
#[derive(Debug)]
pub(super) struct Workshop {
    places: Arc<Semaphore>,
    places_of_one: usize,
    tenants: Mutex<HashMap<TenantId, Weak<Semaphore>>>,
}

/// The work ended without a result: it panicked, or the process is ending.
#[derive(Debug)]
pub(super) struct NoResult {
    pub(super) panicked: bool,
}

impl Workshop {
    pub(super) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        // At least two, so that one tenant never takes all of them.
        let places = processors.saturating_sub(1).max(2);
        Self {
            places: Arc::new(Semaphore::new(places)),
            places_of_one: places / 2,
            tenants: Mutex::default(),
        }
    }

    /// Does a piece of work for a tenant. Work that has begun runs to its end and keeps its place until then,
    /// even if its caller has left.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoResult> {
        let ended = || NoResult { panicked: false };
        let own = self.tenant(tenant).acquire_owned().await.map_err(|_| ended())?;
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(|_| ended())?;
        let working = tokio::task::spawn_blocking(move || {
            let result = work();
            drop((own, place));
            result
        });
        working.await.map_err(|error| NoResult {
            panicked: error.is_panic(),
        })
    }

    fn tenant(&self, tenant: &TenantId) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock();
        if let Some(own) = tenants.get(tenant).and_then(Weak::upgrade) {
            return own;
        }
        if tenants.len() >= FORGET_FROM {
            tenants.retain(|_, own| own.strong_count() > 0);
        }
        let own = Arc::new(Semaphore::new(self.places_of_one));
        tenants.insert(tenant.clone(), Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn one_tenants_work_leaves_a_place_for_others() {
        let workshop = Arc::new(Workshop::new());
        let (let_go, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let slow: Vec<_> = (0..20)
            .map(|_| {
                let (workshop, gate) = (Arc::clone(&workshop), Arc::clone(&gate));
                tokio::spawn(async move {
                    let wait = move || gate.lock().recv().unwrap();
                    workshop.run(&TenantId::from("slow"), wait).await.unwrap();
                })
            })
            .collect();
        tokio::task::yield_now().await;
        let quick = workshop.run(&TenantId::from("quick"), || 7).await.unwrap();
        assert_eq!(quick, 7);
        assert!(slow.iter().all(|task| !task.is_finished()));
        for _ in &slow {
            let_go.send(()).unwrap();
        }
        for task in slow {
            task.await.unwrap();
        }
    }

    #[tokio::test]
    async fn work_that_panics_is_told_and_gives_its_place_back() {
        let workshop = Workshop::new();
        let tenant = TenantId::default();
        for _ in 0..10 {
            let error = workshop
                .run(&tenant, || assert_eq!(1, 2, "as the test wants it"))
                .await
                .unwrap_err();
            assert!(error.panicked);
        }
        assert_eq!(workshop.run(&tenant, || 7).await.unwrap(), 7);
    }
}
