//! Answers to requests that carried an `Idempotency-Key` (table `idempotency_keys`), kept for 24 hours.

use std::time::Duration;

use carillon_domain::TenantId;

use crate::{db::Db, error::StoreError};

/// How long an answer is replayed.
pub const WINDOW: Duration = Duration::from_secs(24 * 3600);

/// A request that carried a key.
#[derive(Debug, Clone, Copy)]
pub struct IdempotentRequest<'a> {
    /// Whose.
    pub tenant: &'a TenantId,
    /// Method and path.
    pub route: &'a str,
    /// The key, at most 255 bytes.
    pub key: &'a str,
    /// SHA-256 of the body.
    pub fingerprint: [u8; 32],
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// Work on it, then [`Idempotency::finish`] or [`Idempotency::abandon`].
    Fresh,
    /// The first one is being worked on (409).
    InProgress,
    /// Give this answer again.
    Replay(Answer),
    /// The key was used for another body (422).
    Conflict,
}

/// An answer as it is replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// The keys.
#[derive(Debug, Clone)]
pub struct Idempotency {
    db: Db,
}

impl Idempotency {
    /// Takes the key for `lease`, or says why not.
    pub async fn begin(&self, request: &IdempotentRequest<'_>, lease: Duration) -> Result<Begin, StoreError> {
        unimplemented!()
    }

    /// Keeps the answer. One of 500 and above is not kept: the request may be tried again.
    pub async fn finish(&self, request: &IdempotentRequest<'_>, answer: &Answer) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Gives the key back without an answer.
    pub async fn abandon(&self, request: &IdempotentRequest<'_>) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Forgets keys older than [`WINDOW`]. Returns how many went.
    pub async fn prune(&self) -> Result<u64, StoreError> {
        unimplemented!()
    }
}
