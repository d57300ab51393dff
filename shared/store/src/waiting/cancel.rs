//! Cancelling events. The first claim wins: a router's claim of the event or of its release, or the cancellation. An
//! event that the cancellation claims first leads to no message.

use carillon_domain::{
    Timestamp,
    waiting::{SEND_AT, Waiting},
};

use super::{WaitingRecords, text_key};
use crate::{
    api_keys::Principal,
    audit_log::{self, AuditAction},
    counters::{Changes, Counter},
    db::{again, execute, fetch},
    error::StoreError,
    events::EventKey,
    outbox::{self, OutboxRecord},
};

/// The wish to cancel an event.
#[derive(Debug, Clone, Copy)]
pub struct Cancellation<'a> {
    /// The event.
    pub key: &'a EventKey,
    /// Its type.
    pub event_type: &'a str,
    /// Whether the event's status says that it waits. It is then cancelled even if the scheduler has not stored it yet.
    pub is_scheduled: bool,
    /// The status record that tells of the cancellation. It is published unless a router reports the cancellation.
    pub status: &'a OutboxRecord,
    /// The API key that asks for it, for the audit log.
    pub who: &'a Principal,
    /// The path of its request, for the audit log.
    pub route: &'a str,
}

/// The effect of a cancellation on an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventCancel {
    /// The event was cancelled before it was decided. Its status follows.
    Cancelled,
    /// The event had been cancelled before.
    AlreadyCancelled,
    /// A router has claimed the event, or its release. Its decision follows, if it is not in the read model yet.
    Claimed,
    /// No gateway and no router knows the event.
    Unknown,
}

#[derive(sqlx::FromRow)]
struct ClaimState {
    topic: Option<String>,
    cancelled_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct RowState {
    state: String,
}

impl WaitingRecords {
    /// Cancels an event that no router has decided yet, or that waits as a whole.
    pub async fn cancel_event(&self, cancellation: &Cancellation<'_>) -> Result<EventCancel, StoreError> {
        let cancelled = loop {
            if let Some(cancelled) = again(|| self.try_cancel(cancellation)).await? {
                break cancelled;
            }
        };
        if cancelled == EventCancel::Cancelled {
            self.outbox.wake();
        }
        Ok(cancelled)
    }

    /// `None` if the scheduler has stored the event between two statements.
    async fn try_cancel(&self, cancellation: &Cancellation<'_>) -> Result<Option<EventCancel>, StoreError> {
        let Cancellation {
            key,
            event_type,
            is_scheduled,
            status,
            who,
            route,
        } = *cancellation;
        let now = self.db.now();
        let (tenant, event_id, source) = text_key(key);
        let mut tx = self.db.begin().await?;
        // A router that claims the event at the same moment comes before this statement or after it.
        let undecided = execute!(
            tx,
            "UPDATE event_claims SET cancelled_at = $1
            WHERE tenant = $2 AND event_id = $3 AND source = $4 AND topic IS NULL AND cancelled_at IS NULL",
            now,
            tenant,
            event_id,
            source
        )?;
        if undecided == 1 {
            audit_log::append(&mut tx, who, AuditAction::Cancel, route, now).await?;
            tx.commit().await?;
            return Ok(Some(EventCancel::Cancelled));
        }
        let claim = fetch!(
            optional, tx => ClaimState,
            "SELECT topic, cancelled_at FROM event_claims WHERE tenant = $1 AND event_id = $2 AND source = $3",
            tenant, event_id, source
        )?;
        if claim.as_ref().is_some_and(|claim| claim.cancelled_at.is_some()) {
            return Ok(Some(EventCancel::AlreadyCancelled));
        }
        let id = Waiting::id_of_event(&key.tenant, &key.source, &key.event_id);
        let mut changes = Changes::default();
        let waiting = execute!(
            tx,
            "UPDATE waiting SET state = 'cancelled', changed_at = $1, out_topic = NULL, record_key = NULL, headers = NULL,
                value = NULL
            WHERE id = $2 AND state = 'waiting'",
            now, id
        )?;
        changes.add(Counter::WaitingEvents, -waiting.cast_signed());
        let released = execute!(
            tx,
            "UPDATE waiting SET state = 'cancelled', changed_at = $1
            WHERE id = $2 AND state = 'released' AND topic IS NULL",
            now,
            id
        )?;
        let mut cancelled = waiting + released;
        if cancelled == 0 && is_scheduled {
            // The record is on its way to the scheduler, which finds this row and adds none.
            cancelled = execute!(
                tx,
                "INSERT INTO waiting (id, tenant, event_id, source, event_type, kind, reason, number, due, state, changed_at)
                VALUES ($1, $2, $3, $4, $5, 'event', $6, 1, $7, 'cancelled', $7) ON CONFLICT (id) DO NOTHING",
                id, tenant, event_id, source, event_type, SEND_AT, now
            )?;
        }
        if cancelled == 0 {
            let row = fetch!(optional, tx => RowState, "SELECT state FROM waiting WHERE id = $1", id)?;
            return Ok(match (row.as_ref().map(|row| &*row.state), claim) {
                (Some("waiting"), _) => None,
                (Some("cancelled"), _) => Some(EventCancel::AlreadyCancelled),
                (Some(_), _) | (None, Some(ClaimState { topic: Some(_), .. })) => Some(EventCancel::Claimed),
                (None, _) => Some(EventCancel::Unknown),
            });
        }
        audit_log::append(&mut tx, who, AuditAction::Cancel, route, now).await?;
        outbox::append(&mut tx, std::iter::once(status), now).await?;
        changes.write(&mut tx, self.shard).await?;
        tx.commit().await?;
        Ok(Some(EventCancel::Cancelled))
    }
}
