//! Members of a digest at its end: whether they are still wanted, by the rules of the decision from suppression on, and the
//! statuses of their deliveries.

use std::sync::Arc;

use carillon_bus::{Headers, OutRecord, Topics, headers};
use carillon_domain::{
    DeliveryStatus, Event, EventId, StatusRecord, Timestamp,
    compiled::CompiledCatalog,
    conclusion::{Conclusion, Consequence},
    decide::{Decision, Downgrades, Entry, EventFacts, Outcome, not_sent},
    event::{DefaultId, Defaults, RecipientPlaces},
    fallback::EarlierDeliveries,
    status::{DeliveryUpdate, STATUS_VERSION, TimelineStep},
    waiting::{Release, WaitingContent, WaitingPart},
};
use carillon_store::{
    RecipientFacts, Store, StoreError,
    digests::{ClosingMember, LeasedDigest, MemberRecord},
    outbox::OutboxRecord,
    send_ledger::{ClaimVerdict, SendKey},
};
use serde_json::value::RawValue;

/// The code of a delivery that was sent in a digest.
const DIGESTED: &str = "digest";

/// A member of a digest.
pub(super) struct Member {
    pub(super) event: Event,
    /// Whether the event's data was loaded. Otherwise it is counted, and is no item.
    pub(super) has_data: bool,
    /// The event's type, as the catalog named it.
    pub(super) event_type: Arc<str>,
    category: Arc<str>,
    accepted_at: Timestamp,
    part: WaitingPart,
    /// The step that ends its deliveries.
    step: TimelineStep,
    outcome: Box<RawValue>,
}

/// The members, each with the judgement whether it is still wanted. A record that cannot be read is logged and left
/// out; only routers write these records.
pub(super) async fn judged(
    store: &Store,
    digest: &LeasedDigest,
    catalog: Option<&CompiledCatalog>,
    rows: Vec<MemberRecord>,
    now: Timestamp,
) -> Result<Vec<Member>, StoreError> {
    let read: Vec<Unjudged> = rows
        .into_iter()
        .filter_map(|row| Unjudged::read(digest, row))
        .collect();
    let sends_webhooks = digest.membership.channel == carillon_domain::Channel::Webhook;
    // All members are of one recipient.
    let named = read
        .first()
        .map(|first| (&digest.tenant, &first.event, sends_webhooks));
    let facts = store.recipient_facts(named.into_iter()).await?;
    read.into_iter()
        .map(|member| {
            let decision = member.decision(store, digest, catalog, &facts, now);
            let step = match decision {
                Judged::Stays => TimelineStep {
                    at: now,
                    status: DeliveryStatus::Digested,
                    code: Some(DIGESTED.to_owned()),
                    detail: Some(format!("it was sent in the digest {}", digest.id)),
                },
                Judged::Leaves(decision) => not_sent(decision.as_deref(), now),
            };
            member.judged(step)
        })
        .collect()
}

/// Whether a member is still wanted.
enum Judged {
    Stays,
    /// With the decision that stops it, or none if the event has no such recipient any more.
    Leaves(Option<Box<Decision>>),
}

struct Unjudged {
    event: Event,
    has_data: bool,
    event_type: Arc<str>,
    category: Arc<str>,
    accepted_at: Timestamp,
    part: WaitingPart,
}

impl Unjudged {
    fn read(digest: &LeasedDigest, row: MemberRecord) -> Option<Self> {
        let id = row.id;
        let read = Self::try_read(digest, row);
        if read.is_none() {
            tracing::error!(digest = %digest.id, member = %id, "a member of a digest cannot be read; it is left out");
        }
        read
    }

    fn try_read(digest: &LeasedDigest, row: MemberRecord) -> Option<Self> {
        let of_record = Headers::decode(&row.headers.into());
        let release = Release::parse(of_record.get(headers::RELEASE)?).ok()?;
        let WaitingContent::Deliveries {
            accepted_at,
            event_type,
            category,
            parts,
        } = release.content
        else {
            return None;
        };
        let defaults = Defaults {
            now: release.written_at,
            id: DefaultId::Required,
        };
        let loaded = match &row.value {
            Some(value) => Some(Event::from_cloudevent(value, defaults).ok()?),
            None => None,
        };
        let has_data = loaded.is_some();
        let event = match loaded {
            Some(event) => event,
            None => Event {
                id: EventId::from(row.event_id),
                source: row.source.into(),
                event_type: Arc::clone(&event_type),
                time: release.written_at,
                recipients: vec![digest.membership.recipient.clone()],
                places: RecipientPlaces::default(),
                unusable: Vec::new(),
                priority: None,
                send_at: None,
                expires_at: None,
                channels: Vec::new(),
                data: Arc::from(RawValue::from_string("{}".to_owned()).ok()?),
                extensions: std::collections::BTreeMap::new(),
            },
        };
        Some(Self {
            event,
            has_data,
            event_type,
            category,
            accepted_at,
            part: parts.into_iter().next()?,
        })
    }

    /// Applies the rules from suppression on, except those that let a message wait.
    fn decision(
        &self,
        store: &Store,
        digest: &LeasedDigest,
        catalog: Option<&CompiledCatalog>,
        facts: &RecipientFacts,
        now: Timestamp,
    ) -> Judged {
        let Some(catalog_type) = catalog.and_then(|catalog| catalog.lookup(&self.event_type)) else {
            return Judged::Leaves(None);
        };
        let event_facts = EventFacts {
            tenant: &digest.tenant,
            event: &self.event,
            repeated: &[],
            catalog_type,
            users: facts.users(&digest.tenant),
            suppressed_guests: facts.suppressed_guests(&digest.tenant),
            address_key: store.address_key(),
            entry: Entry::Digest,
            release: None,
            releases: 0,
            downgrades: &Downgrades::default(),
            accepted_at: self.accepted_at,
            now,
        };
        let parts = std::slice::from_ref(&self.part);
        let (drafts, _) = event_facts.drafts_of(parts, &EarlierDeliveries::new());
        match drafts.into_iter().next() {
            Some((draft, _)) if draft.decision().outcome == Outcome::Send => Judged::Stays,
            Some((draft, _)) => Judged::Leaves(Some(Box::new(draft.decision().clone()))),
            None => Judged::Leaves(None),
        }
    }

    fn judged(self, step: TimelineStep) -> Result<Member, StoreError> {
        let conclusion = Conclusion {
            verdict: Consequence::Over,
            steps: vec![step.clone()],
            ..Conclusion::default()
        };
        let outcome = serde_json::value::to_raw_value(&conclusion)
            .map_err(|_| StoreError::Corrupt { what: "an outcome" })?;
        Ok(Member {
            event: self.event,
            has_data: self.has_data,
            event_type: self.event_type,
            category: self.category,
            accepted_at: self.accepted_at,
            part: self.part,
            step,
            outcome,
        })
    }
}

impl Member {
    /// Whether its recipient still wants it.
    pub(super) fn stays(&self) -> bool {
        self.step.status == DeliveryStatus::Digested
    }

    /// The number of its deliveries.
    pub(super) fn count(&self) -> usize {
        self.part.deliveries.len()
    }

    /// Its deliveries, which are claimed.
    pub(super) fn closing(&self) -> impl Iterator<Item = ClosingMember> {
        self.part.deliveries.iter().map(|id| ClosingMember {
            key: SendKey {
                accepted_at: self.accepted_at,
                delivery_id: *id,
                generation: 0,
                attempt: 1,
            },
            outcome: self.outcome.clone(),
        })
    }

    /// Whether it is part of the digest: a delivery that was cancelled is claimed already.
    pub(super) fn is_included(&self, verdicts: &[ClaimVerdict]) -> bool {
        self.stays() && verdicts.contains(&ClaimVerdict::Claimed)
    }

    /// The statuses of its deliveries. For a cancelled delivery, the status of its cancellation is published again,
    /// because the gateway may have failed to do so.
    pub(super) fn statuses(
        &self,
        topics: &Topics,
        digest: &LeasedDigest,
        verdicts: &[ClaimVerdict],
    ) -> Vec<OutboxRecord> {
        let each = self.part.deliveries.iter().zip(verdicts);
        each.filter_map(|(id, verdict)| {
            let steps = match verdict {
                ClaimVerdict::Claimed => vec![self.step.clone()],
                ClaimVerdict::Taken(taken) => {
                    let outcome = taken.outcome.clone()?;
                    serde_json::from_value::<Conclusion>(outcome).ok()?.steps
                }
            };
            let status = StatusRecord::Delivery(DeliveryUpdate {
                v: STATUS_VERSION,
                tenant: digest.tenant.clone(),
                delivery_id: *id,
                event_id: self.event.id.clone(),
                source: Arc::clone(&self.event.source),
                event_type: Arc::clone(&self.event_type),
                category: Arc::clone(&self.category),
                user_id: self.part.user_id.clone(),
                channel: self.part.channel,
                accepted_at: self.accepted_at,
                generation: 0,
                attempt: 1,
                attempts: None,
                to_masked: None,
                provider: None,
                provider_message_id: None,
                template: None,
                next_attempt_at: None,
                steps,
            });
            let record = OutRecord::new(topics.status(), status.record_key(), status.to_wire());
            Some(outbox_record(
                record.with(headers::TENANT, digest.tenant.to_string()),
            ))
        })
        .collect()
    }
}

pub(super) fn outbox_record(record: OutRecord) -> OutboxRecord {
    OutboxRecord {
        topic: record.topic,
        key: record.key.map(Into::into),
        headers: record.headers.encode(),
        value: record.value.into(),
    }
}
