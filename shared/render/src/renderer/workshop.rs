//! Long work, on threads other than those that answer requests and process records.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use carillon_domain::TenantId;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::abandoned::{self, Waiter};

/// The number of remembered tenants above which those without work are forgotten.
const FORGET_FROM: usize = 1_024;
/// The most pieces of work of a tenant's callers at a time, those in progress included.
const ASKED_OF_ONE: usize = 16;

/// Runs pieces of work at the same time: at most one less than the number of processors, and at most half of that for
/// one tenant. One tenant's work therefore never blocks the others'.
#[derive(Debug)]
pub(super) struct Workshop {
    places: Arc<Semaphore>,
    places_of_one: usize,
    tenants: Mutex<HashMap<TenantId, Weak<Tenant>>>,
}

/// A tenant with work in the workshop.
#[derive(Debug)]
struct Tenant {
    places: Arc<Semaphore>,
    /// A permit for each piece of work of its callers, [`ASKED_OF_ONE`] in all.
    asked: Arc<Semaphore>,
}

/// The permission for a tenant's piece of work, from its first step on. Callers that are refused cost nothing.
#[derive(Debug)]
pub struct Admission {
    tenant: TenantId,
    _asked: OwnedSemaphorePermit,
    /// Without work, a tenant is remembered as long as it has an admission.
    _own: Arc<Tenant>,
}

/// The reason for which work ended without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoResult {
    Panicked,
    /// The process is ending.
    Ending,
}

impl Workshop {
    pub(super) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        // At least two, so that one tenant never occupies all of them.
        let places = processors.saturating_sub(1).max(2);
        Self {
            places: Arc::new(Semaphore::new(places)),
            places_of_one: places / 2,
            tenants: Mutex::default(),
        }
    }

    /// Admits a piece of work of a tenant. `None` if [`ASKED_OF_ONE`] are admitted already.
    pub(super) fn admit(&self, tenant: &TenantId) -> Option<Admission> {
        let own = self.tenant(tenant);
        let asked = Arc::clone(&own.asked).try_acquire_owned().ok()?;
        Some(Admission {
            tenant: tenant.clone(),
            _asked: asked,
            _own: own,
        })
    }

    /// Runs an admitted piece of work.
    pub(super) async fn run_admitted<T: Send + 'static>(
        &self,
        admission: &Admission,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoResult> {
        self.run(&admission.tenant, work).await
    }

    /// Runs a piece of work for a tenant. Once its caller has left, work that has not begun is omitted, and work that
    /// has begun ends where it checks whether its caller still waits (see [`abandoned`]); it keeps its place until
    /// then.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoResult> {
        let tenant = self.tenant(tenant);
        let own = Arc::clone(&tenant.places).acquire_owned().await;
        let place = Arc::clone(&self.places).acquire_owned().await;
        let (Ok(own), Ok(place)) = (own, place) else {
            return Err(NoResult::Ending);
        };
        let caller = Waiter::default();
        let watched = caller.called();
        let working = tokio::task::spawn_blocking(move || {
            // The tenant is remembered as long as it has work.
            let _places = (own, place, tenant);
            abandoned::while_called(watched, work)
        });
        let result = match working.await {
            Ok(result) => result.ok_or(NoResult::Ending),
            Err(error) if error.is_panic() => Err(NoResult::Panicked),
            Err(_) => Err(NoResult::Ending),
        };
        drop(caller);
        result
    }

    fn tenant(&self, tenant: &TenantId) -> Arc<Tenant> {
        let mut tenants = self.tenants.lock();
        if let Some(own) = tenants.get(tenant).and_then(Weak::upgrade) {
            return own;
        }
        if tenants.len() >= FORGET_FROM {
            tenants.retain(|_, own| own.strong_count() > 0);
        }
        let own = Arc::new(Tenant {
            places: Arc::new(Semaphore::new(self.places_of_one)),
            asked: Arc::new(Semaphore::new(ASKED_OF_ONE)),
        });
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
    async fn work_that_panics_is_an_error_and_frees_its_place() {
        let workshop = Workshop::new();
        let tenant = TenantId::default();
        for _ in 0..10 {
            let error = workshop
                .run(&tenant, || assert_eq!(1, 2, "as the test wants it"))
                .await
                .unwrap_err();
            assert_eq!(error, NoResult::Panicked);
        }
        assert_eq!(workshop.run(&tenant, || 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_tenant_with_much_work_at_a_time_is_answered_429_and_others_are_served() {
        let workshop = Arc::new(Workshop::new());
        let (let_go, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let mut asked: Vec<_> = (0..ASKED_OF_ONE)
            .map(|_| {
                let (workshop, gate) = (Arc::clone(&workshop), Arc::clone(&gate));
                Box::pin(async move {
                    let wait = move || gate.lock().recv().unwrap();
                    let admission = workshop.admit(&TenantId::from("slow")).unwrap();
                    workshop.run_admitted(&admission, wait).await
                })
            })
            .collect();
        for work in &mut asked {
            assert!(futures::poll!(work).is_pending());
        }
        let slow = TenantId::from("slow");
        assert!(workshop.admit(&slow).is_none());
        let quick = workshop.admit(&TenantId::from("quick")).unwrap();
        assert_eq!(workshop.run_admitted(&quick, || 7).await, Ok(7));
        for _ in &asked {
            let_go.send(()).unwrap();
        }
        futures::future::join_all(asked).await;
        assert!(workshop.admit(&slow).is_some());
    }

    #[tokio::test]
    async fn work_whose_caller_has_left_ends_and_frees_its_place() {
        let workshop = Workshop::new();
        let tenant = TenantId::default();
        for _ in 0..10 {
            let (starts, has_begun) = tokio::sync::oneshot::channel();
            let endless = move || {
                starts.send(()).unwrap();
                while !abandoned::is_abandoned() {
                    std::thread::yield_now();
                }
            };
            tokio::select! {
                _ = workshop.run(&tenant, endless) => panic!("it ends only if its caller leaves"),
                started = has_begun => started.unwrap(),
            }
        }
        assert_eq!(workshop.run(&tenant, || 7).await, Ok(7));
    }
}
