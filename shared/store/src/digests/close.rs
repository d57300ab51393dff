//! Closing digests.

use carillon_domain::Timestamp;
use serde_json::value::RawValue;

use super::{Digests, LeasedDigest};
use crate::{
    counters::{Changes, Counter},
    db::{again, execute},
    error::StoreError,
    outbox::{self, OutboxRecord},
    send_ledger::{self, ClaimVerdict, SendKey},
};

/// A delivery of a member, and its outcome unless it was claimed before.
#[derive(Debug, Clone)]
pub struct ClosingMember {
    /// Its first attempt, which is claimed: a cancellation claims the same.
    pub key: SendKey,
    /// The outcome.
    pub outcome: Box<RawValue>,
}

/// The result of closing a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// It is closed.
    Closed,
    /// It has new members, or another process has closed it: nothing was changed.
    Changed,
}

impl Digests {
    /// Closes a digest in one transaction: claims the deliveries of its members, stores the records that follow from the
    /// verdicts (one for each delivery, in order) in the outbox, and deletes the members' content.
    pub async fn close(
        &self,
        digest: &LeasedDigest,
        deliveries: &[ClosingMember],
        records: impl Fn(&[ClaimVerdict]) -> Vec<OutboxRecord>,
    ) -> Result<Closing, StoreError> {
        let closing = again(|| self.try_close(digest, deliveries, &records)).await?;
        if closing == Closing::Closed {
            self.outbox.wake();
        }
        Ok(closing)
    }

    async fn try_close(
        &self,
        digest: &LeasedDigest,
        deliveries: &[ClosingMember],
        records: impl Fn(&[ClaimVerdict]) -> Vec<OutboxRecord>,
    ) -> Result<Closing, StoreError> {
        let now: Timestamp = self.db.now();
        let members = digest.members.cast_signed();
        let mut tx = self.db.begin_batch(deliveries.len().max(1)).await?;
        // A scheduler that adds a member at the same moment comes before this statement or after it.
        let closed = execute!(
            tx,
            "UPDATE digests SET state = 'closed', changed_at = $1, recipient = '', owner = NULL, lease_until = NULL
            WHERE id = $2 AND state = 'open' AND owner = $3 AND members = $4",
            now,
            digest.id.0,
            digest.owner,
            members
        )?;
        if closed == 0 {
            return Ok(Closing::Changed);
        }
        let claims: Vec<(SendKey, Box<RawValue>)> = deliveries
            .iter()
            .map(|one| (one.key, one.outcome.clone()))
            .collect();
        let verdicts = send_ledger::conclude_unclaimed(&mut tx, &claims, now).await?;
        let records = records(&verdicts);
        outbox::append(&mut tx, records.iter(), now).await?;
        execute!(
            tx,
            "UPDATE digest_members SET state = 'closed', changed_at = $1, headers = NULL, value = NULL
            WHERE digest_id = $2 AND state = 'collected'",
            now,
            digest.id.0
        )?;
        let mut changes = Changes::default();
        changes.add(Counter::WaitingMembers, -members);
        changes.write(&mut tx, self.shard).await?;
        tx.commit().await?;
        Ok(Closing::Closed)
    }
}
