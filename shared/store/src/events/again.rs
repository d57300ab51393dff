//! Whether the event of a rejected record can be routed from another record.

use std::{collections::HashMap, sync::Arc};

use carillon_domain::{TenantId, dead_letter::SkipReason, status::Origin, stored_letter::RejectedEvent};

use super::{EventKey, Events, keys};
use crate::{db::Session, error::StoreError};

#[derive(sqlx::FromRow)]
struct Row {
    event_id: String,
    source: String,
    topic: Option<String>,
    partition_id: Option<i32>,
    record_offset: Option<i64>,
}

impl Row {
    /// Whether this is the record that is routed, or that the gateway is about to publish.
    fn is_of(&self, origin: &Origin) -> bool {
        match (&self.topic, self.partition_id, self.record_offset) {
            (Some(topic), Some(partition), Some(offset)) => {
                *topic == *origin.topic && partition == origin.partition && offset == origin.offset
            }
            _ => true,
        }
    }
}

impl Events {
    /// For each event and its rejected record, the reason for which the router would not route another record of the
    /// event; `None` if it would. A router claims a rejected event only if a gateway has accepted it, or if it was
    /// rejected after its claim.
    pub async fn standing_in_the_way(
        &self,
        tenant: &TenantId,
        events: &[RejectedEvent],
    ) -> Result<Vec<Option<SkipReason>>, StoreError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let mut wanted: Vec<EventKey> = events
            .iter()
            .map(|event| EventKey {
                tenant: tenant.clone(),
                event_id: event.event_id.clone(),
                source: Arc::clone(&event.source),
            })
            .collect();
        wanted.sort();
        wanted.dedup();
        let wanted: Vec<&EventKey> = wanted.iter().collect();
        let mut session: Session = self.db.read().await?;
        let rows: Vec<Row> = keys(&wanted)
            .fetch(
                session.conn(),
                "SELECT c.event_id, c.source, c.topic, c.partition_id, c.record_offset
                FROM input i JOIN event_claims c
                ON c.tenant = i.tenant AND c.event_id = i.event_id AND c.source = i.source",
            )
            .await?;
        let claimed: HashMap<(&str, &str), &Row> = rows
            .iter()
            .map(|row| ((&*row.event_id, &*row.source), row))
            .collect();
        let reason = |event: &RejectedEvent| {
            let row = claimed.get(&(event.event_id.as_str(), &*event.source))?;
            Some(if row.is_of(&event.origin) {
                SkipReason::EventClaimed
            } else {
                SkipReason::EventRouted
            })
        };
        Ok(events.iter().map(reason).collect())
    }
}
