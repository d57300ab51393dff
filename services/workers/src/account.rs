//! A provider account with its breaker and its send rate.
//!
//! An account is open for messages, paused until a time (it was throttled, or parked after the operator's fault or a
//! run of failures), or on probation: after a park one message goes first, and its outcome decides.
//!
//! Where an account sends so fast only, or on so many connections, that is waited for before a message is claimed: a
//! claim has a lease.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use carillon_domain::Channel;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    outcome::{Refusal, SendOutcome},
    sender::{OutgoingMessage, Sender},
};

/// So many failures in a row, over all deliveries, park the account as an operator's fault does.
const FAILURES_IN_A_ROW: u32 = 25;
/// The first park, doubled each time up to the last.
const FIRST_PARK: Duration = Duration::from_secs(2);
const LAST_PARK: Duration = Duration::from_mins(5);
/// A throttle that names no time.
const THROTTLE: Duration = Duration::from_secs(1);
/// For so long the messages of a batch gather that a send rate lets through one by one.
const GATHER: Duration = Duration::from_millis(50);
/// No throttle holds the whole account for longer.
const MAX_THROTTLE: Duration = Duration::from_mins(15);

#[derive(Debug, Default)]
struct State {
    paused_until: Option<Instant>,
    /// How often the account was parked since it last worked; above 0 it is on probation.
    parks: u32,
    /// On probation: a message is under way.
    probing: bool,
    failures: u32,
}

/// One account.
pub struct Account {
    name: Arc<str>,
    channel: Channel,
    sender: Arc<dyn Sender>,
    rate: Option<DefaultDirectRateLimiter>,
    per_second: Option<NonZeroU32>,
    connections: Option<Connections>,
    state: Mutex<State>,
    changed: Notify,
}

/// The connections of an account that has so many only.
struct Connections {
    /// For messages in preparation too, so that no connection waits for them: two for each connection.
    room: Arc<Semaphore>,
    /// One for each connection.
    free: Arc<Semaphore>,
}

/// Room for messages: the send rate has been waited for.
pub(crate) struct Room {
    account: Arc<Account>,
    permits: Option<OwnedSemaphorePermit>,
    count: usize,
}

/// Room for one message.
pub(crate) struct Place {
    account: Arc<Account>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Room {
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// Takes one message's room out of it.
    pub(crate) fn place(&mut self) -> Place {
        Place {
            account: Arc::clone(&self.account),
            _permit: self.permits.as_mut().and_then(|permits| permits.split(1)),
        }
    }
}

impl Place {
    pub(crate) fn is_of(&self, account: &Arc<Account>) -> bool {
        Arc::ptr_eq(&self.account, account)
    }
}

/// Leave to send one message.
pub(crate) struct Permit {
    is_probe: bool,
}

impl Account {
    /// An account that works until it shows otherwise.
    #[must_use]
    pub fn new(name: &str, channel: Channel, sender: Arc<dyn Sender>, per_second: Option<u32>) -> Arc<Self> {
        let per_second = per_second.and_then(NonZeroU32::new);
        let connections = sender.connections().map(|count| Connections {
            room: Arc::new(Semaphore::new(2 * count)),
            free: Arc::new(Semaphore::new(count)),
        });
        Arc::new(Self {
            connections,
            name: Arc::from(name),
            channel,
            sender,
            rate: per_second.map(|rate| RateLimiter::direct(Quota::per_second(rate))),
            per_second,
            state: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Its name in statuses and metrics.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How many messages may go out at once without waiting long for the send rate or a connection; one while it is on
    /// probation.
    pub(crate) fn burst(&self) -> usize {
        if self.state.lock().parks > 0 {
            return 1;
        }
        let by_rate = self.per_second.map_or(usize::MAX, |rate| rate.get() as usize);
        by_rate
            .min(self.sender.connections().unwrap_or(usize::MAX))
            .max(1)
    }

    /// Waits until there is room for a message, or for as many of those that are wanted as there is room for soon.
    pub(crate) async fn room(self: &Arc<Self>, wanted: usize) -> Room {
        let wanted = wanted.min(self.burst()).max(1);
        let permits = match &self.connections {
            Some(connections) => take(&connections.room, wanted).await,
            None => None,
        };
        let mut count = permits.as_ref().map_or(wanted, OwnedSemaphorePermit::num_permits);
        if self.rate.is_some() {
            self.rate().await;
            let soon = Instant::now() + GATHER;
            let mut ready = 1;
            while ready < count && tokio::time::timeout_at(soon, self.rate()).await.is_ok() {
                ready += 1;
            }
            count = ready;
        }
        Room {
            account: Arc::clone(self),
            permits,
            count,
        }
    }

    /// Waits for the send rate.
    pub(crate) async fn rate(&self) {
        if let Some(rate) = &self.rate {
            rate.until_ready().await;
        }
    }

    /// Waits for a connection; it is free again when this is dropped.
    pub(crate) async fn connection(&self) -> Option<OwnedSemaphorePermit> {
        take(&self.connections.as_ref()?.free, 1).await
    }

    /// Leave to send, if the account is open or needs a probe.
    pub(crate) fn try_acquire(&self) -> Option<Permit> {
        let mut state = self.state.lock();
        if state.paused_until.is_some_and(|until| until > Instant::now()) || state.probing {
            return None;
        }
        state.paused_until = None;
        let is_probe = state.parks > 0;
        state.probing = is_probe;
        Some(Permit { is_probe })
    }

    /// Whether a message could go out now. A probe that is under way counts as closed.
    pub(crate) fn is_open(&self) -> bool {
        let state = self.state.lock();
        !state.probing && state.paused_until.is_none_or(|until| until <= Instant::now())
    }

    /// Waits until it is worth asking [`Account::is_open`] again.
    pub(crate) async fn wait(&self) {
        // Made before the look at the state, so that no change falls between the two.
        let changed = self.changed.notified();
        let until = {
            let state = self.state.lock();
            let until = state.paused_until.filter(|until| *until > Instant::now());
            if until.is_none() && !state.probing {
                return;
            }
            until
        };
        match until {
            Some(until) => tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(until) => {}
            },
            None => changed.await,
        }
    }

    /// Sends and learns from the outcome.
    pub(crate) async fn send(&self, permit: Permit, message: &OutgoingMessage) -> SendOutcome {
        let guard = Probe {
            account: self,
            permit,
        };
        let started = Instant::now();
        let outcome = self.sender.send(message).await;
        metrics::histogram!("carillon_send_seconds", "provider" => self.name.to_string())
            .record(started.elapsed().as_secs_f64());
        metrics::counter!("carillon_deliveries_total", "channel" => self.channel.as_str(),
            "provider" => self.name.to_string(), "outcome" => outcome.name())
        .increment(1);
        self.learn(&outcome);
        drop(guard);
        outcome
    }

    fn learn(&self, outcome: &SendOutcome) {
        let mut state = self.state.lock();
        match outcome {
            // Whatever it says about the message, the account works: a park is over. A throttle is not; this message may
            // have been under way when the provider named its time.
            SendOutcome::Ok { .. }
            | SendOutcome::Terminal(_)
            | SendOutcome::AddressDead(_)
            | SendOutcome::Retry(Refusal {
                is_of_message: true, ..
            }) => {
                *state = State {
                    probing: state.probing,
                    paused_until: state.paused_until.filter(|_| state.parks == 0),
                    ..State::default()
                };
            }
            SendOutcome::Throttle(refusal) => {
                let wait = refusal.retry_after.unwrap_or(THROTTLE).min(MAX_THROTTLE);
                let until = Instant::now() + wait;
                state.paused_until = Some(state.paused_until.map_or(until, |before| before.max(until)));
            }
            SendOutcome::Config(_) => park(&mut state),
            SendOutcome::Retry(_) | SendOutcome::Uncertain(_) => {
                state.failures += 1;
                if state.failures >= FAILURES_IN_A_ROW || state.parks > 0 {
                    park(&mut state);
                }
            }
        }
        let open = if state.parks > 0 { 1.0 } else { 0.0 };
        metrics::gauge!("carillon_provider_breaker_open", "channel" => self.channel.as_str(), "provider" => self.name.to_string()).set(open);
        drop(state);
        self.changed.notify_waiters();
    }
}

/// Takes at least one permit, and no more than are free then or wanted.
async fn take(from: &Arc<Semaphore>, wanted: usize) -> Option<OwnedSemaphorePermit> {
    // Nobody closes it.
    let mut permits = Arc::clone(from).acquire_owned().await.ok()?;
    let more = from.available_permits().min(wanted.saturating_sub(1));
    if let Ok(more) = Arc::clone(from).try_acquire_many_owned(u32::try_from(more).unwrap_or(0)) {
        permits.merge(more);
    }
    Some(permits)
}

/// Messages that were under way when the account was parked say the same again: they do not park it longer.
fn park(state: &mut State) {
    if !state.probing && state.paused_until.is_some_and(|until| until > Instant::now()) {
        return;
    }
    let park = FIRST_PARK.saturating_mul(1 << state.parks.min(16)).min(LAST_PARK);
    state.parks += 1;
    state.failures = 0;
    state.paused_until = Some(Instant::now() + park);
}

/// Ends a probe, even one whose task was aborted.
struct Probe<'a> {
    account: &'a Account,
    permit: Permit,
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        if self.permit.is_probe {
            self.account.state.lock().probing = false;
            self.account.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use async_trait::async_trait;
    use carillon_domain::DeliveryId;
    use carillon_render::Content;

    use super::*;

    struct Scripted(Mutex<VecDeque<SendOutcome>>);

    #[async_trait]
    impl Sender for Scripted {
        async fn send(&self, _: &OutgoingMessage) -> SendOutcome {
            self.0
                .lock()
                .pop_front()
                .unwrap_or(SendOutcome::Ok { message_id: None })
        }
    }

    fn account(script: Vec<SendOutcome>) -> Arc<Account> {
        Account::new(
            "p",
            Channel::Sms,
            Arc::new(Scripted(Mutex::new(script.into()))),
            None,
        )
    }

    async fn send(account: &Account) -> Option<SendOutcome> {
        let message = OutgoingMessage {
            delivery_id: DeliveryId(uuid::Uuid::nil()),
            event_id: "e".into(),
            to: "+491511234567".into(),
            content: Content::Sms { text: "t".into() },
            expires_at: None,
        };
        let permit = account.try_acquire()?;
        Some(account.send(permit, &message).await)
    }

    fn refusal() -> Refusal {
        Refusal::new("x", "y")
    }

    #[test]
    fn no_more_go_out_at_once_than_rate_and_connections_allow() {
        struct Few;
        #[async_trait]
        impl Sender for Few {
            async fn send(&self, _: &OutgoingMessage) -> SendOutcome {
                SendOutcome::Ok { message_id: None }
            }
            fn connections(&self) -> Option<usize> {
                Some(32)
            }
        }
        let burst = |rate| Account::new("p", Channel::Email, Arc::new(Few), rate).burst();
        assert_eq!([None, Some(100), Some(5)].map(burst), [32, 32, 5]);
        assert_eq!(account(Vec::new()).burst(), usize::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn an_operators_fault_parks_the_account_until_a_probe_succeeds() {
        let account = account(vec![
            SendOutcome::Config(refusal()),
            SendOutcome::Config(refusal()),
        ]);
        assert!(send(&account).await.is_some());
        assert!(!account.is_open());
        tokio::time::advance(FIRST_PARK).await;
        let first = account.try_acquire().unwrap();
        assert!(account.try_acquire().is_none(), "one probe at a time");
        drop(Probe {
            account: &account,
            permit: first,
        });
        assert!(send(&account).await.is_some(), "the probe fails");
        tokio::time::advance(FIRST_PARK).await;
        assert!(!account.is_open(), "the second park is longer");
        tokio::time::advance(FIRST_PARK).await;
        assert!(send(&account).await.is_some());
        assert!(account.is_open() && account.try_acquire().is_some_and(|permit| !permit.is_probe));
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttle_pauses_the_account_for_the_time_that_the_provider_names() {
        let wait = Duration::from_secs(30);
        let account = account(vec![SendOutcome::Throttle(refusal().after(Some(wait)))]);
        assert!(send(&account).await.is_some());
        assert!(send(&account).await.is_none());
        tokio::time::advance(wait).await;
        assert!(send(&account).await.is_some());
        assert!(account.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_ends_between_the_look_and_the_wait_is_not_missed() {
        let account = account(vec![SendOutcome::Config(refusal())]);
        assert!(send(&account).await.is_some());
        tokio::time::advance(FIRST_PARK).await;
        let permit = account.try_acquire().unwrap();
        assert!(!account.is_open(), "a handler looks, and decides to wait");
        drop(Probe {
            account: &account,
            permit,
        });
        tokio::time::timeout(FIRST_PARK, account.wait()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_speaks_of_its_message_never_parks_the_account() {
        let account = account(vec![SendOutcome::Retry(refusal().of_message()); 60]);
        for _ in 0..60 {
            assert!(send(&account).await.is_some());
            assert!(account.is_open());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_of_failures_parks_the_account_and_one_success_breaks_the_run() {
        let mut script = vec![SendOutcome::Retry(refusal()); 24];
        script.push(SendOutcome::Ok { message_id: None });
        script.extend(vec![SendOutcome::Uncertain(refusal()); 25]);
        let account = account(script);
        for _ in 0..49 {
            assert!(send(&account).await.is_some());
        }
        assert!(account.is_open());
        assert!(send(&account).await.is_some());
        assert!(!account.is_open());
    }
}
