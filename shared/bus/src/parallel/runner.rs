//! The loop of a parallel consumer: polls, hands over, completes, commits, drains.

use std::{collections::HashMap, sync::Arc, time::Duration};

use carillon_domain::{Timestamp, clock::later};
use carillon_runtime::{
    Limited, Shutdown, Stall,
    panics::{self, Panic},
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::Instant,
};

use super::{
    Context, Handler, PANICS,
    held::HeldPartitions,
    inbound::{EndedRecord, Inbound},
    queue::{KeyedQueue, Waiting},
    suspects::Suspects,
};
use crate::{
    error::BusError,
    ledger::Ledger,
    member::{Member, Polled},
    record::{Partition, Record},
    retry,
    topics::TopicKind,
};

/// The pause of a partition after one of its records was dropped, and of the loop after a failed poll.
const REST: Duration = Duration::from_millis(500);

/// Partitions that were revoked and are being drained.
struct Revoking {
    partitions: Vec<Partition>,
    deadline: Instant,
}

pub(super) struct Runner {
    member: Box<dyn Member>,
    context: Context,
    handler: Arc<dyn Handler>,
    ledger: Ledger,
    queue: KeyedQueue,
    held: HeldPartitions,
    /// The number of records in hand, by partition.
    in_hand: HashMap<Partition, usize>,
    total_in_hand: usize,
    /// Whether the soft signal of the shutdown has come.
    ending: bool,
    revoking: Option<Revoking>,
    suspects: Suspects,
    last_panic: Option<Panic>,
    complaints: Limited,
    /// The role for which panics are counted.
    role: Arc<str>,
    reading: Stall,
    committing: Stall,
    handlers: JoinSet<Result<(), Panic>>,
    ended_sender: UnboundedSender<EndedRecord>,
    ended: UnboundedReceiver<EndedRecord>,
}

impl Runner {
    pub(super) fn new(
        member: Box<dyn Member>,
        context: Context,
        handler: Arc<dyn Handler>,
        stall_limit: Duration,
    ) -> Self {
        let (ended_sender, ended) = unbounded_channel();
        let role = panics::role();
        let stall = |what| Stall::new(Arc::clone(&role), what, stall_limit);
        Self {
            reading: stall("reading"),
            committing: stall("committing"),
            role,
            suspects: Suspects::default(),
            last_panic: None,
            complaints: Limited::default(),
            member,
            context,
            handler,
            ledger: Ledger::default(),
            queue: KeyedQueue::default(),
            held: HeldPartitions::default(),
            in_hand: HashMap::new(),
            total_in_hand: 0,
            ending: false,
            revoking: None,
            handlers: JoinSet::new(),
            ended_sender,
            ended,
        }
    }

    pub(super) async fn run(mut self, shutdown: Shutdown) -> Result<(), BusError> {
        let mut commit_timer = tokio::time::interval(self.context.options.commit_interval);
        commit_timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut rest_until: Option<Instant> = None;
        while !(self.ending && self.total_in_hand == 0) {
            let may_poll = !self.ending && self.revoking.is_none() && rest_until.is_none() && self.has_room();
            let room = self.room();
            let wake = if self.ending { None } else { self.next_wake() };
            tokio::select! {
                () = shutdown.hard() => break,
                () = shutdown.soft(), if !self.ending => {
                    self.ending = true;
                    self.give_back_waiting();
                }
                Some(ended) = self.ended.recv() => self.on_ended(ended).await?,
                Some(ended) = self.handlers.join_next() => {
                    if let Ok(Err(panic)) = ended {
                        self.last_panic = Some(panic);
                    }
                }
                () = at(wake) => self.release_due().await?,
                () = at(self.revoking.as_ref().map(|revoking| revoking.deadline)) => self.finish_revoking().await?,
                () = at(rest_until) => rest_until = None,
                _ = commit_timer.tick() => self.commit().await?,
                polled = self.member.poll(room), if may_poll => match polled {
                    Ok(polled) => {
                        self.reading.succeeded();
                        self.on_polled(polled).await?;
                    }
                    Err(error) if error.is_retriable() => {
                        self.complain("poll failed; trying again", &error);
                        self.reading.failed(&error)?;
                        rest_until = Some(Instant::now() + REST);
                    }
                    Err(error) => return Err(error),
                },
            }
            if !self.ending {
                self.hand_over();
            }
        }
        self.handlers.abort_all();
        self.commit().await
    }

    /// Logs a failure, at most once a minute.
    fn complain(&self, what: &'static str, error: &BusError) {
        if let Some(left_out) = self.complaints.admit(what) {
            tracing::warn!(group = %self.context.group, %error, left_out, what);
        }
    }

    /// Whether there is room for a poll of a useful size: small polls make small batches.
    fn has_room(&self) -> bool {
        let options = &self.context.options;
        let used = self.total_in_hand + self.queue.len();
        used == 0
            || options.max_in_flight.saturating_sub(used)
                >= options.max_batch.min(options.max_in_flight / 4).max(1)
    }

    fn room(&self) -> usize {
        self.context
            .options
            .max_in_flight
            .saturating_sub(self.total_in_hand + self.queue.len())
            .max(1)
    }

    async fn on_polled(&mut self, polled: Polled) -> Result<(), BusError> {
        match polled {
            Polled::Assigned(partitions) => {
                for partition in partitions {
                    self.held.remove(&partition);
                    self.ledger.assign(partition);
                }
            }
            Polled::Revoked(partitions) => {
                for partition in &partitions {
                    self.queue.forget(partition);
                    self.held.remove(partition);
                }
                let deadline = Instant::now() + self.context.options.drain_timeout;
                self.revoking = Some(Revoking { partitions, deadline });
                self.finish_revoking_if_drained().await?;
            }
            Polled::Records(records) => {
                let now = self.context.clock.now();
                for record in records {
                    self.admit(record, now)?;
                }
            }
        }
        Ok(())
    }

    /// Queues a record, or holds it back until it may be handed out.
    fn admit(&mut self, record: Record, now: Timestamp) -> Result<(), BusError> {
        let partition = record.position().partition();
        let Some(record) = self.held.admit(&partition, record) else {
            return Ok(());
        };
        if let Some(TopicKind::Retry { tier, .. }) = self.context.topics.kind_of(&record.topic)
            && record.unreadable.is_none()
        {
            let wake = retry::wake_at(&record, tier);
            if wake > now {
                self.member.pause(&partition)?;
                self.held.wait(partition, record, wake);
                return Ok(());
            }
        }
        let ticket = self.ledger.polled(&partition, record.offset);
        self.queue.push(Waiting { record, ticket });
        Ok(())
    }

    fn next_wake(&self) -> Option<Instant> {
        let first = self.held.next_wake()?;
        let wait = (first - self.context.clock.now()).to_std().unwrap_or_default();
        // The clock counts microseconds and the timer milliseconds; one more millisecond ensures that no record is
        // early.
        Some(Instant::now() + wait + Duration::from_millis(1))
    }

    async fn release_due(&mut self) -> Result<(), BusError> {
        let now = self.context.clock.now();
        for (partition, mut held) in self.held.take_due(now) {
            if let Some(offset) = held.restart {
                match self.member.seek(&partition, offset).await {
                    Ok(()) => {}
                    Err(error) if error.is_retriable() => {
                        tracing::warn!(topic = %partition.topic, partition = partition.index, %error,
                            "a partition was not read again; trying again");
                        held.wake = self.rested();
                        self.held.put_back(partition, held);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            for record in held.records {
                self.admit(record, now)?;
            }
            if !self.held.holds(&partition) {
                self.member.resume(&partition)?;
            }
        }
        Ok(())
    }

    fn hand_over(&mut self) {
        while self.queue.is_ready() {
            let taken = self.queue.take(self.context.options.max_batch);
            let mut batch = Vec::with_capacity(taken.len());
            for waiting in taken {
                // A record on which a handler panicked is handed over alone, so that another panic affects no
                // other record.
                let panics = self.suspects.panics_of(&waiting.ticket);
                let inbound = self.hand(waiting);
                match panics {
                    0 => batch.push(inbound),
                    PANICS.. => self.bury(inbound),
                    _ => self.handle(vec![inbound]),
                }
            }
            if !batch.is_empty() {
                self.handle(batch);
            }
        }
    }

    fn hand(&mut self, Waiting { record, ticket }: Waiting) -> Inbound {
        *self.in_hand.entry(ticket.partition.clone()).or_default() += 1;
        self.total_in_hand += 1;
        Inbound {
            record,
            ticket,
            ended: self.ended_sender.clone(),
            is_done: false,
        }
    }

    fn handle(&mut self, batch: Vec<Inbound>) {
        let (handler, role) = (Arc::clone(&self.handler), Arc::clone(&self.role));
        let (work, since) = (self.context.work.clone(), Instant::now());
        work.begins(batch.len());
        self.handlers.spawn(async move {
            let ended = panics::catch(role, handler.handle(batch)).await;
            work.ended(since, ended.is_ok());
            ended
        });
    }

    fn bury(&mut self, inbound: Inbound) {
        tracing::error!(topic = %inbound.record.topic, partition = inbound.record.partition,
            offset = inbound.record.offset, panics = PANICS, "a record becomes a dead letter: working on it panics");
        let panic = self.last_panic.clone().unwrap_or_default();
        let (handler, role) = (Arc::clone(&self.handler), Arc::clone(&self.role));
        self.handlers
            .spawn(async move { panics::catch(role, handler.bury(inbound, &panic)).await });
    }

    async fn on_ended(&mut self, first: EndedRecord) -> Result<(), BusError> {
        let mut next = Some(first);
        while let Some(ended) = next {
            self.total_in_hand -= 1;
            if let Some(count) = self.in_hand.get_mut(&ended.ticket.partition) {
                *count -= 1;
            }
            self.queue.ended(ended.key.as_ref());
            self.suspects.note(&ended);
            if ended.done {
                self.ledger.complete(&ended.ticket);
            } else {
                self.on_dropped(&ended)?;
            }
            next = self.ended.try_recv().ok();
        }
        self.finish_revoking_if_drained().await
    }

    /// Handles a record that was dropped: after a rest, all records of its partition that are not committed are read
    /// again.
    fn on_dropped(&mut self, ended: &EndedRecord) -> Result<(), BusError> {
        metrics::counter!("carillon_bus_dropped_total", "group" => self.context.group.to_string())
            .increment(1);
        let partition = &ended.ticket.partition;
        if !self.ledger.is_current(&ended.ticket) {
            return Ok(());
        }
        if self.ending && !ended.panicked {
            // At the shutdown handlers give up what they have not begun; the next process reads it.
            tracing::debug!(topic = %partition.topic, partition = partition.index, offset = ended.ticket.offset,
                "a handler gave a record back at the shutdown");
        } else if let Some(left_out) = self.complaints.admit(&partition.topic) {
            tracing::warn!(topic = %partition.topic, partition = partition.index, offset = ended.ticket.offset,
                panicked = ended.panicked, left_out, "a handler dropped a record; it is read again");
        }
        let Some(restart) = self.ledger.restart(partition) else {
            return Ok(());
        };
        self.queue.forget(partition);
        self.member.pause(partition)?;
        let wake = self.rested();
        self.held.rest(partition.clone(), wake, restart);
        Ok(())
    }

    /// The time at which a partition that begins its rest now may go on.
    fn rested(&self) -> Timestamp {
        later(self.context.clock.now(), REST)
    }

    async fn finish_revoking_if_drained(&mut self) -> Result<(), BusError> {
        let in_hand = |partition: &Partition| self.in_hand.get(partition).copied().unwrap_or(0);
        match &self.revoking {
            Some(revoking)
                if revoking
                    .partitions
                    .iter()
                    .all(|partition| in_hand(partition) == 0) =>
            {
                self.finish_revoking().await
            }
            _ => Ok(()),
        }
    }

    async fn finish_revoking(&mut self) -> Result<(), BusError> {
        let Some(revoking) = self.revoking.take() else {
            return Ok(());
        };
        self.commit().await?;
        for partition in &revoking.partitions {
            self.held.remove(partition);
            self.ledger.revoke(partition);
            self.suspects.forget(partition);
        }
        self.member.release(&revoking.partitions).await;
        Ok(())
    }

    /// Discards the records that wait and are not in hand. They are not committed, so the next owner reads them.
    fn give_back_waiting(&mut self) {
        self.queue = KeyedQueue::default();
        self.held = HeldPartitions::default();
    }

    async fn commit(&mut self) -> Result<(), BusError> {
        let commits = self.ledger.take_commits();
        if commits.is_empty() {
            return Ok(());
        }
        match self.member.commit(&commits).await {
            Ok(()) => {
                self.committing.succeeded();
                Ok(())
            }
            Err(error) if error.is_retriable() => {
                self.complain("commit failed; trying again", &error);
                self.ledger.uncommit(&commits);
                Ok(self.committing.failed(&error)?)
            }
            Err(error) => Err(error),
        }
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
