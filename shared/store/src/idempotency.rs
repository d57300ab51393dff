//! Responses to requests with an `Idempotency-Key` (table `idempotency_keys`), kept for 24 hours.

use std::time::Duration;

use carillon_domain::TenantId;

use crate::{
    db::{Db, Prunable, execute, fetch, prunable, write_one},
    error::StoreError,
    lease::Lease,
};

const PRUNABLE: Prunable = prunable!("idempotency_keys", "created_at");

/// The time for which a response is replayed.
pub const WINDOW: Duration = Duration::from_hours(24);

/// A request with an idempotency key.
#[derive(Debug, Clone, Copy)]
pub struct IdempotentRequest<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// Method and path.
    pub route: &'a str,
    /// The key, at most 255 bytes.
    pub key: &'a str,
    /// SHA-256 of the body.
    pub fingerprint: [u8; 32],
    /// The lease of the request on its key. The owner is the request.
    pub lease: Lease,
}

/// The verdict on a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// New: carry out the request, then call [`Idempotency::finish`] or [`Idempotency::abandon`].
    Fresh,
    /// The first request with this key is still in progress (409).
    InProgress,
    /// Already answered: return this response.
    Replay(StoredResponse),
    /// The key belongs to a request with another body (422).
    Conflict,
}

/// A response to be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

#[derive(sqlx::FromRow)]
struct Row {
    fingerprint: Vec<u8>,
    status: Option<i32>,
    content_type: Option<String>,
    body: Option<Vec<u8>>,
}

/// The idempotency keys.
#[derive(Debug, Clone)]
pub struct Idempotency {
    db: Db,
}

impl Idempotency {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Takes the key for the request's lease, or returns why not. A key whose lease has passed without a response can be taken
    /// again by the same body only; a key older than [`WINDOW`], by any.
    pub async fn begin(&self, request: &IdempotentRequest<'_>) -> Result<Begin, StoreError> {
        let now = self.db.now();
        let fingerprint = request.fingerprint.as_slice();
        let mut write = self.db.write().await?;
        let taken = execute!(
            write,
            "INSERT INTO idempotency_keys
                (tenant, route, idempotency_key, fingerprint, created_at, owner, lease_until)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (tenant, route, idempotency_key) DO UPDATE
            SET fingerprint = excluded.fingerprint, created_at = excluded.created_at,
                owner = excluded.owner, lease_until = excluded.lease_until, status = NULL, content_type = NULL, body = NULL
            WHERE idempotency_keys.created_at < $8
                OR (idempotency_keys.status IS NULL AND idempotency_keys.lease_until < excluded.created_at
                    AND idempotency_keys.fingerprint = excluded.fingerprint)",
            request.tenant.as_str(),
            request.route,
            request.key,
            fingerprint,
            now,
            request.lease.owner,
            request.lease.until,
            now - WINDOW
        )?;
        if taken == 1 {
            write.commit().await?;
            return Ok(Begin::Fresh);
        }
        let row = fetch!(
            optional, write => Row,
            "SELECT fingerprint, status, content_type, body FROM idempotency_keys
            WHERE tenant = $1 AND route = $2 AND idempotency_key = $3",
            request.tenant.as_str(), request.route, request.key
        )?;
        write.commit().await?;
        // Without a row, the key was given back between the two statements: the next request will get it.
        Ok(row.map_or(Begin::InProgress, |row| row.begin(fingerprint)))
    }

    /// Stores the response, unless another request has taken the key over meanwhile. A status of 500 and above is not stored, so that the request may be tried again.
    pub async fn finish(
        &self,
        request: &IdempotentRequest<'_>,
        answer: &StoredResponse,
    ) -> Result<(), StoreError> {
        if answer.status >= 500 {
            return self.abandon(request).await;
        }
        write_one!(
            self.db,
            "UPDATE idempotency_keys SET status = $1, content_type = $2, body = $3
            WHERE tenant = $4 AND route = $5 AND idempotency_key = $6 AND owner = $7 AND status IS NULL",
            i32::from(answer.status),
            answer.content_type.as_str(),
            answer.body.as_slice(),
            request.tenant.as_str(),
            request.route,
            request.key,
            request.lease.owner
        )?;
        Ok(())
    }

    /// Gives the key back without a response.
    pub async fn abandon(&self, request: &IdempotentRequest<'_>) -> Result<(), StoreError> {
        write_one!(
            self.db,
            "DELETE FROM idempotency_keys
            WHERE tenant = $1 AND route = $2 AND idempotency_key = $3 AND owner = $4 AND status IS NULL",
            request.tenant.as_str(),
            request.route,
            request.key,
            request.lease.owner
        )?;
        Ok(())
    }

    /// Deletes keys older than [`WINDOW`]. Returns their number.
    pub async fn prune(&self) -> Result<u64, StoreError> {
        self.db.prune(PRUNABLE, WINDOW).await
    }
}

impl Row {
    fn begin(self, fingerprint: &[u8]) -> Begin {
        if self.fingerprint != fingerprint {
            return Begin::Conflict;
        }
        match self.status.and_then(|status| u16::try_from(status).ok()) {
            Some(status) => Begin::Replay(StoredResponse {
                status,
                content_type: self.content_type.unwrap_or_default(),
                body: self.body.unwrap_or_default(),
            }),
            None => Begin::InProgress,
        }
    }
}
