//! A provider with scripted answers.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use carillon_domain::Content;
use carillon_domain::conclusion::UncertainSend;
use carillon_domain::{Channel, DeliveryId, Timestamp, clock::SharedClock, contact::DeathReason};
use carillon_providers::{FoundMessage, OutgoingMessage, Refusal, Scope, SendOutcome};
use carillon_workers::{Account, Sender, Tuning};
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

/// A recorded call.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) event: String,
    pub(crate) delivery_id: DeliveryId,
    pub(crate) to: String,
    pub(crate) content: Content,
    /// The time of the call by the test's clock.
    pub(crate) at: Timestamp,
    /// The time of the call by the machine's clock, which accounts use.
    pub(crate) instant: Instant,
}

#[derive(Clone)]
enum Held {
    Nothing,
    These(Vec<String>),
    Everything,
}

/// Answers by event id; `Ok` if nothing is scripted.
pub(crate) struct Provider {
    clock: SharedClock,
    script: Mutex<HashMap<String, VecDeque<SendOutcome>>>,
    usual: Mutex<Option<SendOutcome>>,
    calls: Mutex<Vec<Call>>,
    held: watch::Sender<Held>,
    /// The answers of the list of messages; `None`: the provider has none.
    list: Mutex<Option<VecDeque<Listed>>>,
    /// The sends that the list was asked about.
    looked_up: Mutex<Vec<Vec<UncertainSend>>>,
}

/// An answer of the list of messages.
pub(crate) type Listed = Result<Option<FoundMessage>, String>;

/// The answer of a list that has the message of an attempt.
#[expect(clippy::unnecessary_wraps, reason = "it is one of the answers of a list")]
pub(crate) fn listed(attempt: u32, message_id: &str) -> Listed {
    Ok(Some(FoundMessage {
        attempt,
        message_id: message_id.to_owned(),
    }))
}

impl Provider {
    pub(crate) fn new(clock: SharedClock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            script: Mutex::default(),
            usual: Mutex::default(),
            calls: Mutex::default(),
            held: watch::Sender::new(Held::Nothing),
            list: Mutex::default(),
            looked_up: Mutex::default(),
        })
    }

    /// A new account with this provider.
    pub(crate) fn account(self: &Arc<Self>, name: &str) -> Arc<Account> {
        Account::new(name, Channel::Sms, Arc::clone(self) as _, None)
    }

    /// A new account with a send rate of this many messages a second.
    pub(crate) fn account_of_rate(self: &Arc<Self>, name: &str, per_second: u32) -> Arc<Account> {
        Account::new(name, Channel::Sms, Arc::clone(self) as _, Some(per_second))
    }

    /// A new account with tuning of its own.
    pub(crate) fn account_of_tuning(self: &Arc<Self>, name: &str, tuning: Tuning) -> Arc<Account> {
        Account::tuned(name, Channel::Sms, Arc::clone(self) as _, None, None, tuning)
    }

    /// Sets the answer to every unscripted call.
    pub(crate) fn answers_everything(&self, outcome: Option<SendOutcome>) {
        *self.usual.lock() = outcome;
    }

    /// Scripts the answers to the next calls for an event.
    pub(crate) fn answers(&self, event: &str, outcomes: impl IntoIterator<Item = SendOutcome>) {
        self.script
            .lock()
            .entry(event.to_owned())
            .or_default()
            .extend(outcomes);
    }

    /// Gives the provider a list of messages with these answers; after them, it has no message.
    pub(crate) fn lists(&self, answers: impl IntoIterator<Item = Listed>) {
        *self.list.lock() = Some(answers.into_iter().collect());
    }

    /// The attempts and accounts of the sends that the list was asked about, one entry for each time.
    pub(crate) fn looked_up(&self) -> Vec<Vec<UncertainSend>> {
        self.looked_up.lock().clone()
    }

    /// Holds back the answers for these events until [`Provider::lets_go`].
    pub(crate) fn holds(&self, events: &[&str]) {
        let events = events.iter().map(|event| (*event).to_owned()).collect();
        self.held.send_replace(Held::These(events));
    }

    pub(crate) fn holds_everything(&self) {
        self.held.send_replace(Held::Everything);
    }

    pub(crate) fn lets_go(&self) {
        self.held.send_replace(Held::Nothing);
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().clone()
    }

    /// The events of the calls, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.calls.lock().iter().map(|call| call.event.clone()).collect()
    }

    pub(crate) fn calls_for(&self, event: &str) -> Vec<Call> {
        let calls = self.calls.lock();
        calls.iter().filter(|call| call.event == event).cloned().collect()
    }
}

#[async_trait]
impl Sender for Provider {
    async fn send(&self, message: &OutgoingMessage) -> SendOutcome {
        let event = message.event_id.to_string();
        self.calls.lock().push(Call {
            event: event.clone(),
            delivery_id: message.delivery_id,
            to: message.to.clone(),
            content: message.content.clone(),
            at: self.clock.now(),
            instant: Instant::now(),
        });
        let is_free = |held: &Held| match held {
            Held::Nothing => true,
            Held::These(events) => !events.contains(&event),
            Held::Everything => false,
        };
        self.held.subscribe().wait_for(is_free).await.unwrap();
        let scripted = self.script.lock().get_mut(&event).and_then(VecDeque::pop_front);
        let usual = || self.usual.lock().clone();
        scripted.or_else(usual).unwrap_or(SendOutcome::Ok {
            message_id: Some(format!("message of {event}")),
        })
    }

    fn has_list(&self) -> bool {
        self.list.lock().is_some()
    }

    async fn find(&self, _: &OutgoingMessage, sends: &[UncertainSend]) -> Listed {
        self.looked_up.lock().push(sends.to_vec());
        let mut list = self.list.lock();
        list.as_mut().unwrap().pop_front().unwrap_or(Ok(None))
    }
}

fn refusal(scope: Scope, code: &str) -> Refusal {
    Refusal::new(scope, code, "the test says so")
}

pub(crate) fn retry(code: &str) -> SendOutcome {
    SendOutcome::Retry(refusal(Scope::Account, code))
}

pub(crate) fn throttle(code: &str, wait: Duration) -> SendOutcome {
    SendOutcome::Throttle(refusal(Scope::Account, code).after(Some(wait)))
}

pub(crate) fn config(code: &str) -> SendOutcome {
    SendOutcome::Config(refusal(Scope::Account, code))
}

pub(crate) fn terminal(code: &str) -> SendOutcome {
    SendOutcome::Terminal(refusal(Scope::Message, code))
}

pub(crate) fn address_dead(code: &str) -> SendOutcome {
    SendOutcome::AddressDead(refusal(Scope::Address, code), DeathReason::Gone)
}

pub(crate) fn uncertain(code: &str) -> SendOutcome {
    SendOutcome::Uncertain(refusal(Scope::Connection, code))
}

pub(crate) fn retry_of(scope: Scope, code: &str) -> SendOutcome {
    SendOutcome::Retry(refusal(scope, code))
}

/// The recipient refuses the message; the address may be good.
pub(crate) fn refused_address(code: &str) -> SendOutcome {
    SendOutcome::Terminal(refusal(Scope::Address, code))
}

pub(crate) fn stopped(code: &str) -> SendOutcome {
    SendOutcome::AddressDead(refusal(Scope::Address, code), DeathReason::OptedOut)
}

/// A throttle without a `Retry-After`.
pub(crate) fn throttle_unnamed(scope: Scope, code: &str) -> SendOutcome {
    SendOutcome::Throttle(refusal(scope, code))
}

pub(crate) fn config_of(scope: Scope, code: &str) -> SendOutcome {
    SendOutcome::Config(refusal(scope, code))
}
