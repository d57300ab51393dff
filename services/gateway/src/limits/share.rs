//! The share of a key or tenant, and the place of a request in it.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use carillon_runtime::http::ProblemKind;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter, clock::Clock as _};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::ShareConfig;

/// `Retry-After` when a bound on requests in flight or bytes is reached: by then some requests have ended.
const SOON: Duration = Duration::from_secs(1);

/// The kind of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestKind {
    /// `POST /v1/events`. Posts share database transactions.
    Post,
    /// Any other request, which has a database connection to itself.
    Other,
}

/// The bound that is reached, and the wait until a retry.
#[derive(Debug)]
pub(crate) struct ShareExceeded {
    /// `rate-limited` if the bound is the caller's own, `overloaded` if it is the gateway's.
    pub(super) kind: ProblemKind,
    pub(super) text: String,
    pub(super) wait: Duration,
}

/// The share of a key or a tenant, and its present use.
#[derive(Debug)]
pub(super) struct Share {
    owner: &'static str,
    config: ShareConfig,
    rate: DefaultDirectRateLimiter,
    posts: Arc<Semaphore>,
    others: Arc<Semaphore>,
    held_bytes: Arc<Semaphore>,
}

impl Share {
    pub(super) fn new(owner: &'static str, config: &ShareConfig) -> Self {
        Self {
            owner,
            rate: RateLimiter::direct(Quota::per_second(at_least_one(config.requests_per_second))),
            posts: Arc::new(Semaphore::new(config.posts_in_flight)),
            others: Arc::new(Semaphore::new(config.others_in_flight)),
            held_bytes: Arc::new(Semaphore::new(config.held_bytes)),
            config: config.clone(),
        }
    }

    /// Posts in flight.
    pub(super) fn posts(&self) -> usize {
        self.config.posts_in_flight - self.posts.available_permits()
    }

    fn place(&self, work: RequestKind) -> Result<OwnedSemaphorePermit, ShareExceeded> {
        let (places, count, name, what) = match work {
            RequestKind::Post => (
                &self.posts,
                self.config.posts_in_flight,
                "posts_in_flight",
                "posts",
            ),
            RequestKind::Other => (
                &self.others,
                self.config.others_in_flight,
                "others_in_flight",
                "requests other than posts",
            ),
        };
        Arc::clone(places)
            .try_acquire_owned()
            .map_err(|_| self.refusal(&format!("{count} {what} in flight"), name, SOON))
    }

    fn request(&self) -> Result<(), ShareExceeded> {
        let count = self.config.requests_per_second;
        check(&self.rate)
            .map_err(|wait| self.refusal(&format!("{count} requests a second"), "requests_per_second", wait))
    }

    fn bytes(&self, count: u32) -> Result<OwnedSemaphorePermit, ShareExceeded> {
        let bytes = self.config.held_bytes;
        Arc::clone(&self.held_bytes)
            .try_acquire_many_owned(count)
            .map_err(|_| self.refusal(&format!("{bytes} bytes of bodies at a time"), "held_bytes", SOON))
    }

    fn refusal(&self, allowed: &str, name: &'static str, wait: Duration) -> ShareExceeded {
        let owner = self.owner;
        metrics::counter!("carillon_http_limited_total", "owner" => owner, "bound" => name).increment(1);
        ShareExceeded {
            kind: ProblemKind::RateLimited,
            text: format!("expected at most {allowed} of one {owner} (gateway.{owner}.{name})"),
            wait,
        }
    }
}

/// One request's place in the shares of its key and its tenant, held until the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Slot(Arc<HeldResources>);

impl Slot {
    pub(super) fn take(
        key: &Arc<Share>,
        tenant: &Arc<Share>,
        whole: &Arc<Semaphore>,
        work: RequestKind,
    ) -> Result<Self, ShareExceeded> {
        let places = [key.place(work)?, tenant.place(work)?];
        key.request()?;
        tenant.request()?;
        Ok(Self(Arc::new(HeldResources {
            _places: places,
            key: Arc::clone(key),
            tenant: Arc::clone(tenant),
            whole: Arc::clone(whole),
            bytes: Mutex::default(),
        })))
    }
}

/// The resources of a request: its places, and the bytes of its body.
#[derive(Debug)]
struct HeldResources {
    _places: [OwnedSemaphorePermit; 2],
    key: Arc<Share>,
    tenant: Arc<Share>,
    whole: Arc<Semaphore>,
    bytes: Mutex<Vec<OwnedSemaphorePermit>>,
}

impl Slot {
    /// Whether `bytes` bytes could ever fit.
    pub(super) fn may_hold(&self, bytes: u64) -> bool {
        let most = self.0.key.config.held_bytes.min(self.0.tenant.config.held_bytes);
        bytes <= most as u64
    }

    /// Checks whether `bytes` more bytes would fit now.
    pub(super) fn has_room(&self, bytes: u64) -> Result<(), ShareExceeded> {
        let count = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.acquire(count).map(drop)
    }

    /// Takes `bytes` more bytes.
    pub(super) fn more(&self, bytes: usize) -> Result<(), ShareExceeded> {
        let taken = self.acquire(u32::try_from(bytes).unwrap_or(u32::MAX))?;
        let mut permits = self.0.bytes.lock();
        for (index, permit) in taken.into_iter().enumerate() {
            match permits.get_mut(index) {
                Some(held) => held.merge(permit),
                None => permits.push(permit),
            }
        }
        Ok(())
    }

    fn acquire(&self, count: u32) -> Result<[OwnedSemaphorePermit; 3], ShareExceeded> {
        let held = &*self.0;
        let (key, tenant) = (held.key.bytes(count)?, held.tenant.bytes(count)?);
        let whole = Arc::clone(&held.whole)
            .try_acquire_many_owned(count)
            .map_err(|_| ShareExceeded {
                kind: ProblemKind::Overloaded,
                text:
                    "the gateway has reached its limit of held bytes of bodies (gateway.max_held_bytes); try again"
                        .to_owned(),
                wait: SOON,
            })?;
        Ok([key, tenant, whole])
    }
}

/// Takes a permit of a rate; the error is the wait for one.
pub(super) fn check(rate: &DefaultDirectRateLimiter) -> Result<(), Duration> {
    rate.check()
        .map_err(|refused| refused.wait_time_from(rate.clock().now()))
}

/// A rate of `count` a minute, which also allows a burst of `count`.
pub(super) fn per_minute(count: u32) -> Quota {
    Quota::per_minute(at_least_one(count))
}

fn at_least_one(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)
}
