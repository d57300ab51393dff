//! Outcomes of attempts that are under way, by evidence from elsewhere than their workers.

use std::{borrow::Cow, collections::HashSet};

use serde_json::value::RawValue;

use super::{KeyRow, SendKey, SendLedger, key_input};
use crate::{db::again, error::StoreError};

/// Records outcomes of claimed attempts that have none. Returns the keys of those.
const PROVE: &str =
    "INSERT INTO send_outcomes (accepted_at, delivery_id, generation, attempt, recorded_at, outcome)
    SELECT i.accepted_at, i.delivery_id, i.generation, i.attempt, i.recorded_at, i.outcome FROM input i
    WHERE EXISTS (SELECT 1 FROM send_claims c WHERE c.accepted_at = i.accepted_at AND c.delivery_id = i.delivery_id
        AND c.generation = i.generation AND c.attempt = i.attempt)
    ON CONFLICT (accepted_at, delivery_id, generation, attempt) DO NOTHING
    RETURNING accepted_at, delivery_id, generation, attempt";

impl SendLedger {
    /// Records outcomes of attempts that are under way, by evidence from elsewhere than their workers. Returns the attempts whose outcome
    /// it is now; the others have an outcome already, or no claim. A worker that records its own outcome later learns of it by
    /// [`Self::record`], and one that takes the attempt over finds it.
    pub async fn prove(&self, proofs: &[(SendKey, Box<RawValue>)]) -> Result<HashSet<SendKey>, StoreError> {
        again(|| self.try_prove(proofs)).await
    }

    async fn try_prove(&self, proofs: &[(SendKey, Box<RawValue>)]) -> Result<HashSet<SendKey>, StoreError> {
        let now = self.db.now();
        // Rows in one order cannot deadlock.
        let mut sorted: Vec<&(SendKey, Box<RawValue>)> = proofs.iter().collect();
        sorted.sort_by_key(|(key, _)| *key);
        let keys: Vec<SendKey> = sorted.iter().map(|(key, _)| *key).collect();
        let mut tx = self.db.begin_batch(keys.len()).await?;
        let recorded: Vec<KeyRow> = key_input(&keys)
            .time("recorded_at", keys.iter().map(|_| now))
            .json(
                "outcome",
                sorted
                    .iter()
                    .map(|(_, outcome)| Some(Cow::Borrowed(outcome.get()))),
            )
            .fetch(tx.conn(), PROVE)
            .await?;
        tx.commit().await?;
        Ok(recorded.iter().map(KeyRow::key).collect())
    }
}
