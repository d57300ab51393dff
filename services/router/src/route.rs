//! The stages through which a batch of records passes.

use carillon_bus::{BusError, OutRecord, Record, Refused};
use carillon_domain::{
    TenantId, Timestamp, dead_letter::FailureClass, event::FRAMED, status::EventVerdict,
    waiting::WaitingContent,
};
use carillon_runtime::{Fair, Limited};
use carillon_store::{
    StoreError,
    events::{EventKey, RouteClaim, RouteVerdict},
};

use crate::{
    RouterDeps, RouterError, claim,
    decide::{self, Decided},
    group,
    held::{self, Hold},
    incoming::{self, IncomingEvent, Reject},
    limits::UserLimits,
    origin::origin,
    output,
    parts::{Outlet, OutputParts},
    reason,
    releases::{self, Claimed, Released},
    taken, waits,
};

/// Routes batches.
pub struct Route {
    pub(crate) deps: RouterDeps,
    group: String,
    limits: UserLimits,
    hold: Hold,
    /// Limits the log to one line a minute for each code of a reject.
    warned: Limited,
}

/// The result of reading a record.
pub(crate) enum Read<'a> {
    Event(Box<IncomingEvent<'a>>),
    Tombstone(&'a Record, TenantId),
    Rejected(Box<Reject<'a>>),
    /// The record of an event or deliveries that were cancelled after their release. The status is written already.
    Cancelled,
}

impl Route {
    /// A route for the records of the events topics.
    #[must_use]
    pub fn new(deps: RouterDeps) -> Self {
        let group = group(&deps.bus);
        Self {
            limits: UserLimits::new(deps.quotas.clone()),
            warned: Limited::default(),
            deps,
            group,
            hold: Hold::Move,
        }
    }

    /// A route for held events.
    #[must_use]
    pub fn of_held(deps: RouterDeps) -> Self {
        let hold = Hold::Stay(deps.config.limits_patience);
        Self {
            hold,
            ..Self::new(deps)
        }
    }

    /// Routes a batch: returns the records to be committed with the batch's offsets. If they are very many, all parts
    /// but the last go to the outlet. The same records always give the same deliveries. An event that leads to a
    /// record of a refused size is rejected.
    pub async fn route(
        &self,
        records: &[Record],
        outlet: &mut dyn Outlet,
        refused: &mut Refused,
    ) -> Result<Vec<OutRecord>, RouterError> {
        let now = self.deps.clock.now();
        let mut reads = Vec::with_capacity(records.len());
        let mut fair = Fair::default();
        let releases = releases::claim(&self.deps.store, records).await?;
        for (record, claimed) in records.iter().zip(releases) {
            reads.push(self.read(record, claimed, now).await?);
            fair.step().await;
        }
        self.route_reads(reads, outlet, refused, now).await
    }

    pub(crate) async fn route_reads(
        &self,
        reads: Vec<Read<'_>>,
        outlet: &mut dyn Outlet,
        refused: &mut Refused,
        now: Timestamp,
    ) -> Result<Vec<OutRecord>, RouterError> {
        let mut fair = Fair::default();
        let verdicts = self.claim(&reads).await?;
        let mut events = Vec::with_capacity(reads.len());
        let (mut scheduled, mut others) = (Vec::new(), Vec::new());
        for (read, verdict) in reads.into_iter().zip(verdicts) {
            match (read, verdict) {
                (
                    Read::Event(mut event),
                    Some(RouteVerdict::First {
                        via_gateway,
                        claimed_at,
                    }),
                ) => {
                    event.accepted_at = accepted_at(&event, claimed_at);
                    match due(&event, now) {
                        Some(due) => scheduled.push((event, via_gateway, due)),
                        None => events.push((*event, via_gateway)),
                    }
                }
                (read, verdict) => others.push((read, verdict)),
            }
        }
        let (first, via): (Vec<IncomingEvent<'_>>, Vec<bool>) = events.into_iter().unzip();
        let decided = decide::decide(&self.deps, &self.limits, &first, now).await?;
        let waiting = self.waiting(&first, &decided, now)?;

        let topics = self.deps.bus.topics();
        let mut parts = OutputParts::new(outlet);
        for (((event, via_gateway), decided), waits) in first.iter().zip(via).zip(decided).zip(waiting) {
            if waits {
                metrics::counter!("carillon_events_held_total").increment(1);
                let since = match self.hold {
                    Hold::Move => now,
                    Hold::Stay(_) => held::since(event.record).unwrap_or(now),
                };
                parts.push(held::hold(topics, event.record, since)).await?;
                continue;
            }
            if decided.is_unlimited {
                metrics::counter!("carillon_limits_left_out_total").increment(1);
            }
            let (concluded, unsent) = (decided.concluded, decided.unsent);
            if let Some(too_large) = output::too_large(topics, event, via_gateway, &concluded, now, refused) {
                let reject = too_large_reject(event, via_gateway, &too_large);
                self.reject(&mut parts, &reject, via_gateway, now, refused)
                    .await?;
                continue;
            }
            if let Some(verdict) = event.skipped {
                self.skip(
                    &mut parts,
                    event.record,
                    &event.tenant,
                    verdict,
                    Some((event, via_gateway)),
                    now,
                )
                .await?;
                continue;
            }
            count_decisions(&concluded.decisions);
            output::decided(&mut parts, topics, event, via_gateway, concluded, now).await?;
            output::unsent(&mut parts, topics, event, unsent, now).await?;
            fair.step().await;
        }
        self.schedule(&mut parts, &scheduled, now, refused).await?;
        for (read, verdict) in &others {
            match read {
                Read::Event(event) => match verdict {
                    Some(RouteVerdict::Cancelled { via_gateway }) => {
                        let verdict = EventVerdict::Cancelled;
                        output::undecided(&mut parts, topics, event, *via_gateway, verdict, None, now)
                            .await?;
                    }
                    _ => output::duplicate(&mut parts, topics, event, now).await?,
                },
                Read::Cancelled => {}
                Read::Tombstone(record, tenant) => {
                    self.skip(&mut parts, record, tenant, EventVerdict::Tombstone, None, now)
                        .await?;
                }
                Read::Rejected(reject) => {
                    let via_gateway = matches!(
                        verdict,
                        Some(RouteVerdict::First {
                            via_gateway: true,
                            ..
                        })
                    );
                    self.reject(&mut parts, reject, via_gateway, now, refused).await?;
                }
            }
        }
        Ok(parts.last())
    }

    /// Passes events that wait until a time to the scheduler.
    async fn schedule(
        &self,
        parts: &mut OutputParts<'_>,
        scheduled: &[(Box<IncomingEvent<'_>>, bool, Timestamp)],
        now: Timestamp,
        refused: &mut Refused,
    ) -> Result<(), BusError> {
        let topics = self.deps.bus.topics();
        for (event, via_gateway, due) in scheduled {
            let record = waits::event(topics, event, *due);
            if refused.meets(&record) {
                let reject = too_large_reject(event, *via_gateway, &record.topic);
                self.reject(parts, &reject, *via_gateway, now, refused).await?;
                continue;
            }
            metrics::counter!("carillon_events_scheduled_total").increment(1);
            parts.push(record).await?;
            let verdict = EventVerdict::Scheduled;
            output::undecided(parts, topics, event, *via_gateway, verdict, Some(*due), now).await?;
        }
        Ok(())
    }

    /// For each event, whether it is held until its limits can be counted. On the topic for waiting records, all are
    /// read again until one has waited long enough. That one is then decided, and the others are moved to the end of
    /// the topic.
    fn waiting(
        &self,
        events: &[IncomingEvent<'_>],
        decided: &[Decided],
        now: Timestamp,
    ) -> Result<Vec<bool>, RouterError> {
        let Hold::Stay(patience) = self.hold else {
            return Ok(decided.iter().map(|decided| decided.is_unlimited).collect());
        };
        let has_time =
            |event: &IncomingEvent<'_>| held::since(event.record).is_some_and(|since| since + patience > now);
        let waiting: Vec<bool> = events
            .iter()
            .zip(decided)
            .map(|(event, decided)| decided.is_unlimited && has_time(event))
            .collect();
        if !waiting.is_empty() && waiting.iter().all(|waits| *waits) {
            return Err(RouterError::LimitsAway);
        }
        Ok(waiting)
    }

    /// Skips a record that leads to no message: writes and counts the reason.
    async fn skip(
        &self,
        parts: &mut OutputParts<'_>,
        record: &Record,
        tenant: &TenantId,
        verdict: EventVerdict,
        event: Option<(&IncomingEvent<'_>, bool)>,
        now: Timestamp,
    ) -> Result<(), BusError> {
        let reason: &'static str = verdict.into();
        metrics::counter!("carillon_events_skipped_total", "reason" => reason).increment(1);
        let topics = self.deps.bus.topics();
        output::skipped(parts, topics, record, tenant, verdict, event, now).await
    }

    async fn reject(
        &self,
        parts: &mut OutputParts<'_>,
        reject: &Reject<'_>,
        via_gateway: bool,
        now: Timestamp,
        refused: &mut Refused,
    ) -> Result<(), BusError> {
        metrics::counter!("carillon_events_rejected_total", "code" => reject.code).increment(1);
        if let Some(left_out) = self.warned.admit(reject.code) {
            let event_id = reject
                .event
                .as_ref()
                .map(|event| tracing::field::display(&event.id));
            tracing::warn!(code = reject.code, event_id, topic = %reject.record.topic, partition = reject.record.partition,
                offset = reject.record.offset, left_out, "an event was rejected; it is a dead letter");
        }
        let topics = self.deps.bus.topics();
        output::rejected(parts, topics, reject, via_gateway, &self.group, now, refused).await
    }

    async fn read<'a>(
        &self,
        record: &'a Record,
        claimed: Claimed,
        now: Timestamp,
    ) -> Result<Read<'a>, StoreError> {
        let released = match claimed {
            Claimed::No => None,
            Claimed::Yes(released) => Some(released),
            Claimed::Cancelled => return Ok(Read::Cancelled),
        };
        if let Some(why) = record.unreadable {
            return Ok(Read::Rejected(Box::new(Reject {
                record,
                tenant: TenantId::default(),
                via_gateway: false,
                event: None,
                class: FailureClass::Unparseable,
                code: why.code(),
                reason: why.reason().to_owned(),
                released,
            })));
        }
        let named = incoming::tenant(record);
        let tenant = named.clone().unwrap_or_default();
        if incoming::is_tombstone(record) {
            return Ok(Read::Tombstone(record, tenant));
        }
        let event = match incoming::parse(record, released.as_deref(), now).await {
            Ok(event) => event,
            Err(errors) => {
                let is = |code: &&str| errors.iter().any(|error| error.code == *code);
                let code = ["malformed-json", "too-large", "batch", FRAMED]
                    .into_iter()
                    .find(is);
                return Ok(Read::Rejected(Box::new(Reject {
                    record,
                    tenant,
                    via_gateway: false,
                    event: None,
                    class: if code == Some("too-large") {
                        FailureClass::Invalid
                    } else {
                        FailureClass::Unparseable
                    },
                    code: code.unwrap_or("not-an-event"),
                    reason: reason::of(&errors),
                    released,
                })));
            }
        };
        let catalog = match &named {
            Some(tenant) => self.deps.catalogs.get_with(tenant, [&*event.event_type]).await?,
            None => None,
        };
        // A header that was copied from another event's release does not count.
        let is_of = |released: &Released| {
            let EventKey {
                tenant,
                event_id,
                source,
            } = &released.key;
            named.as_ref() == Some(tenant) && *event_id == event.id && *source == event.source
        };
        let released = released.filter(|released| is_of(released));
        Ok(
            match incoming::check(record, tenant, event, catalog, released, now).await {
                Ok(event) => Read::Event(Box::new(event)),
                Err(reject) => Read::Rejected(reject),
            },
        )
    }

    /// Claims the events among the reads. A reject is claimed only if a gateway has acknowledged it. The id of a
    /// reject from elsewhere stays free for the corrected event.
    async fn claim(&self, reads: &[Read<'_>]) -> Result<Vec<Option<RouteVerdict>>, StoreError> {
        let wanted: Vec<Option<RouteClaim>> = reads
            .iter()
            .map(|read| match read {
                Read::Event(event) if event.released.is_some() => None,
                Read::Event(event) => {
                    let origin = origin(event.record);
                    let (of, name) = (&event.event, &event.type_name);
                    Some(claim::of(&event.tenant, of, name, event.fingerprint, origin))
                }
                Read::Tombstone(..) | Read::Cancelled => None,
                Read::Rejected(reject) => {
                    let is_claimed = reject.via_gateway && reject.released.is_none();
                    let event = reject.event.as_ref().filter(|_| is_claimed)?;
                    let origin = origin(reject.record);
                    let name = &event.event_type;
                    Some(claim::of(
                        &reject.tenant,
                        event,
                        name,
                        event.fingerprint(),
                        origin,
                    ))
                }
            })
            .collect();
        let claims: Vec<_> = wanted.iter().flatten().cloned().collect();
        let mut verdicts = claim::claim(&self.deps.store, &claims).await?.into_iter();
        // A released record has its claim already.
        let of_release = |read: &Read<'_>| match read {
            Read::Event(event) => event.released.as_ref().map(|released| of_release(released)),
            Read::Rejected(reject) => reject.released.as_ref().map(|released| of_release(released)),
            Read::Tombstone(..) | Read::Cancelled => None,
        };
        Ok(reads
            .iter()
            .zip(&wanted)
            .map(|(read, wanted)| match wanted {
                Some(_) => verdicts.next(),
                None => of_release(read),
            })
            .collect())
    }
}

/// [`carillon_domain::Delivery::accepted_at`] of an event that is decided now. Deliveries that have waited keep theirs.
fn accepted_at(event: &IncomingEvent<'_>, claimed_at: Option<Timestamp>) -> Timestamp {
    let released = event.released.as_ref().map(|released| &released.release.content);
    match released {
        Some(WaitingContent::Deliveries { accepted_at, .. }) => *accepted_at,
        Some(WaitingContent::Event) | None => taken::accepted_at(event.record.timestamp, claimed_at),
    }
}

/// The time until which a whole event waits; `None` if it does not wait. A released event does not wait again, because
/// it has waited long enough by the scheduler's clock. This process's clock does not count.
fn due(event: &IncomingEvent<'_>, now: Timestamp) -> Option<Timestamp> {
    if event.released.is_some() || event.skipped.is_some() {
        return None;
    }
    event.event.waits_until(now)
}

/// The verdict on a released record.
fn of_release(released: &Released) -> RouteVerdict {
    if released.is_first {
        RouteVerdict::First {
            via_gateway: false,
            claimed_at: None,
        }
    } else {
        RouteVerdict::Duplicate
    }
}

fn too_large_reject<'a>(event: &IncomingEvent<'a>, via_gateway: bool, topic: &str) -> Reject<'a> {
    Reject {
        record: event.record,
        tenant: event.tenant.clone(),
        via_gateway,
        event: Some(event.event.clone()),
        class: FailureClass::Invalid,
        code: "too-large",
        reason: format!("a record of the event is too large for {topic}"),
        released: event.released.clone(),
    }
}

fn count_decisions(decisions: &[carillon_domain::decide::Decision]) {
    for decision in decisions {
        let (outcome, reason): (&'static str, &'static str) =
            (decision.outcome.into(), decision.reason.into());
        metrics::counter!("carillon_decisions_total", "channel" => decision.channel.as_str(),
            "outcome" => outcome, "reason" => reason)
        .increment(1);
    }
}
