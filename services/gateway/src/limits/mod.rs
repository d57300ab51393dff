//! Shares of the gateway for each API key and each tenant. Excess requests of one of them are answered 429, so that
//! the others are still served.

mod body;
mod share;

use std::{collections::HashMap, sync::Arc, time::Duration};

use carillon_domain::TenantId;
use carillon_runtime::http::{Problem, ProblemKind};
use carillon_store::api_keys::Principal;
use governor::{DefaultDirectRateLimiter, RateLimiter};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use self::share::Share;
pub(crate) use self::{
    body::hold,
    share::{RequestKind, ShareExceeded, Slot},
};
use crate::{config::GatewayConfig, error::ApiError};

/// The number of remembered keys above which keys without a request in flight are forgotten.
const REMEMBERED: usize = 10_000;
/// The number of posts in progress that each tenant may have even if other tenants have taken all places.
const ALWAYS: usize = 8;

/// The shares of the keys and tenants with recent requests.
pub(crate) struct Limits {
    config: GatewayConfig,
    /// Places of posts in progress: one permit each.
    posts: Arc<Semaphore>,
    /// Bytes of large bodies in memory: one permit each.
    held_bytes: Arc<Semaphore>,
    shares: Mutex<Shares>,
}

#[derive(Default)]
struct Shares {
    keys: HashMap<Uuid, Arc<KeyShare>>,
    tenants: HashMap<TenantId, Arc<Share>>,
}

struct KeyShare {
    own: Arc<Share>,
    tenant: Arc<Share>,
    sign_ins: DefaultDirectRateLimiter,
}

impl Limits {
    pub(crate) fn new(config: &GatewayConfig) -> Self {
        Self {
            posts: Arc::new(Semaphore::new(config.max_in_flight)),
            held_bytes: Arc::new(Semaphore::new(config.max_held_bytes)),
            shares: Mutex::default(),
            config: config.clone(),
        }
    }

    /// Takes a place for a page of the dashboard.
    pub(crate) fn admit_page(&self, principal: &Principal) -> Result<Slot, ApiError> {
        self.admit(principal, RequestKind::Other).map_err(refused)
    }

    /// Counts a sign-in against its limit.
    pub(crate) fn sign_in(&self, principal: &Principal) -> Result<(), ApiError> {
        let wait = match share::check(&self.share(principal).sign_ins) {
            Ok(()) => return Ok(()),
            Err(wait) => wait,
        };
        let allowed = self.config.sign_ins_per_minute;
        let text = format!(
            "expected at most {allowed} sign-ins a minute with one API key (gateway.sign_ins_per_minute)"
        );
        Err(refused(ShareExceeded {
            kind: ProblemKind::RateLimited,
            text,
            wait,
        }))
    }

    /// Takes a place for a post in progress. A tenant with few posts always gets one.
    pub(crate) fn work_on_post(
        &self,
        principal: &Principal,
    ) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
        if let Ok(place) = Arc::clone(&self.posts).try_acquire_owned() {
            return Ok(Some(place));
        }
        if self.share(principal).tenant.posts() <= ALWAYS {
            return Ok(None);
        }
        let text =
            "the gateway has reached its limit of posts in progress (gateway.max_in_flight); try again";
        let problem = Problem::new(ProblemKind::Overloaded, text);
        Err(problem.with_retry_after(Duration::from_secs(1)).into())
    }

    /// Takes a place for a request.
    pub(crate) fn admit(&self, principal: &Principal, work: RequestKind) -> Result<Slot, ShareExceeded> {
        let share = self.share(principal);
        Slot::take(&share.own, &share.tenant, &self.held_bytes, work)
    }

    fn share(&self, principal: &Principal) -> Arc<KeyShare> {
        let mut shares = self.shares.lock();
        if let Some(share) = shares.keys.get(&principal.key_id) {
            return Arc::clone(share);
        }
        if shares.keys.len() >= REMEMBERED {
            shares.keys.retain(|_, share| Arc::strong_count(&share.own) > 1);
            shares.tenants.retain(|_, share| Arc::strong_count(share) > 1);
        }
        let tenant = shares.tenants.entry(principal.tenant.clone());
        let tenant = tenant.or_insert_with(|| Arc::new(Share::new("tenant", &self.config.tenant)));
        let fresh = Arc::new(KeyShare {
            own: Arc::new(Share::new("key", &self.config.key)),
            tenant: Arc::clone(tenant),
            sign_ins: RateLimiter::direct(share::per_minute(self.config.sign_ins_per_minute)),
        });
        shares.keys.insert(principal.key_id, Arc::clone(&fresh));
        fresh
    }
}

/// The answer to a request beyond a bound.
pub(crate) fn refused(refusal: ShareExceeded) -> ApiError {
    let problem = Problem::new(refusal.kind, refusal.text);
    problem.with_retry_after(refusal.wait).into()
}

#[cfg(test)]
mod tests {
    use carillon_store::api_keys::Role;

    use super::*;

    fn key(tenant: &str) -> Principal {
        Principal {
            key_id: Uuid::now_v7(),
            name: "a test".to_owned(),
            tenant: TenantId::from(tenant.to_owned()),
            role: Role::Operator,
        }
    }

    #[test]
    fn a_tenant_with_few_posts_has_a_place_even_where_another_has_taken_all() {
        let limits = Limits::new(&GatewayConfig {
            max_in_flight: 1,
            ..GatewayConfig::default()
        });
        let (flooding, other) = (key("flooding"), key("other"));
        let place = limits.work_on_post(&flooding).unwrap();
        assert!(place.is_some());
        let admit = || limits.admit(&flooding, RequestKind::Post).unwrap();
        let slots: Vec<Slot> = (0..=ALWAYS).map(|_| admit()).collect();
        let refused = limits.work_on_post(&flooding).unwrap_err();
        assert_eq!(refused.0.slug(), "overloaded");
        let _others = limits.admit(&other, RequestKind::Post).unwrap();
        limits.work_on_post(&other).unwrap();
        drop(slots);
        limits.work_on_post(&flooding).unwrap();
    }
}
