//! Two workers on one shared breaker: the fault that one meets closes the account for both, and one probe goes out in the whole group.
//! The state is shared in the process, or through Redis if its URL is set; then each worker has its own connections.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use carillon_domain::{Delivery, Lane};
use carillon_store::{
    RedisConfig, RedisFault,
    breakers::{BreakerReport, BreakerState, Breakers, InProcessBreakers, RedisBreakers},
};
use carillon_testkit::{eventually, redis_url};
use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    provider::{Provider, config},
    support::{Setting, Worker, on_workers, to_guest},
};

/// The first and the second park of `policy.rs`. All messages go to one recipient, so the second one is no longer.
const PARKS: [Duration; 2] = [Duration::from_secs(2); 2];
/// The time by which a park may seem shorter: it begins at the answer, and its remaining time is shared.
const SLACK: Duration = Duration::from_millis(100);

/// A message of the high lane, whose members read one topic: each of two members has one of its two partitions. (In the other lanes
/// a member may have partitions of retry topics only.)
fn urgent(event: &str) -> Delivery {
    Delivery {
        priority: Lane::High,
        ..to_guest(event)
    }
}

/// The common state as one worker sees it.
#[derive(Debug)]
struct Counted {
    breakers: Arc<dyn Breakers>,
    /// The number of times that each process has asked for the right to send the probe in vain.
    refused: Arc<Mutex<HashMap<Uuid, usize>>>,
    /// The number of times that the worker was told of a closed account.
    told: Arc<AtomicUsize>,
}

#[async_trait]
impl Breakers for Counted {
    async fn exchange(&self, reports: &[BreakerReport]) -> Result<Vec<BreakerState>, RedisFault> {
        let states = self.breakers.exchange(reports).await?;
        if states.iter().any(|state| state.closure.is_some()) {
            self.told.fetch_add(1, Ordering::Relaxed);
        }
        Ok(states)
    }

    async fn take_probe(&self, account: &str, process: Uuid, lease: Duration) -> Result<bool, RedisFault> {
        let is_taken = self.breakers.take_probe(account, process, lease).await?;
        if !is_taken {
            *self.refused.lock().entry(process).or_default() += 1;
        }
        Ok(is_taken)
    }

    async fn give_probe_back(&self, account: &str, process: Uuid) -> Result<(), RedisFault> {
        self.breakers.give_probe_back(account, process).await
    }

    fn name(&self) -> &'static str {
        self.breakers.name()
    }
}

/// Two workers of one group with a provider each, and the refusals of probes.
struct Group {
    providers: [Arc<Provider>; 2],
    workers: [Worker; 2],
    told: [Arc<AtomicUsize>; 2],
    refused: Arc<Mutex<HashMap<Uuid, usize>>>,
}

impl Group {
    fn start(setting: &Setting) -> Self {
        let refused = Arc::default();
        let in_process: Arc<dyn Breakers> = Arc::new(InProcessBreakers::default());
        let prefix = format!("test:{}:", Uuid::now_v7().simple());
        let told: [Arc<AtomicUsize>; 2] = Default::default();
        let breakers = |told: &Arc<AtomicUsize>| {
            let breakers: Arc<dyn Breakers> = match redis_url() {
                Some(url) => Arc::new(
                    RedisBreakers::connect(RedisConfig {
                        prefix: prefix.clone(),
                        timeout: Duration::from_secs(5),
                        ..RedisConfig::new(url)
                    })
                    .unwrap(),
                ),
                None => Arc::clone(&in_process),
            };
            let (refused, told) = (Arc::clone(&refused), Arc::clone(told));
            Arc::new(Counted {
                breakers,
                refused,
                told,
            })
        };
        let providers = [setting.provider(), setting.provider()];
        let worker = |place: usize| {
            let account = providers[place].account("p");
            setting.start_with(vec![account], |deps| deps.breakers = breakers(&told[place]))
        };
        let workers = [worker(0), worker(1)];
        Self {
            providers,
            workers,
            told,
            refused,
        }
    }

    fn answer_everything(&self, outcome: impl Fn() -> Option<carillon_providers::SendOutcome>) {
        for provider in &self.providers {
            provider.answers_everything(outcome());
        }
    }

    /// Sends messages until each worker has sent some of them, so that both have partitions. Returns the number of calls.
    async fn warm(&self, setting: &Setting) -> usize {
        let mut number = 0;
        while self.providers.iter().any(|provider| provider.calls().is_empty()) {
            let event = format!("warm-{number}");
            setting.publish(&[urgent(&event)]).await;
            setting.written.reaches(&event, "1 sent").await;
            number += 1;
            assert!(number < 1_000, "one worker gets nothing");
        }
        number
    }

    /// The times of the calls of both, in order.
    fn calls(&self) -> Vec<Instant> {
        let mut calls: Vec<Instant> = self
            .providers
            .iter()
            .flat_map(|provider| provider.calls())
            .map(|call| call.instant)
            .collect();
        calls.sort_unstable();
        calls
    }

    /// Waits until each worker has taken over that the account is closed. A worker that is told a second time has
    /// handled the first.
    async fn until_told(&self) {
        eventually("both know that the account is closed", || async {
            self.told.iter().all(|told| told.load(Ordering::Relaxed) >= 2)
        })
        .await;
    }

    async fn until_called(&self, times: usize) {
        eventually(&format!("{times} calls"), || async {
            self.calls().len() >= times
        })
        .await;
    }
}

#[tokio::test]
async fn an_account_that_one_worker_closes_is_closed_for_the_other_and_one_probe_goes_out() {
    on_workers(async |setting| {
        let group = Group::start(setting);
        let warm = group.warm(setting).await;
        group.answer_everything(|| Some(config("20003")));
        setting.publish(&[urgent("first")]).await;
        setting.written.reaches("first", "1 retrying 20003").await;
        group.until_told().await;
        assert_eq!(group.calls().len(), warm + 1);
        let mut events: Vec<String> = (0..40).map(|number| format!("e-{number}")).collect();
        let deliveries: Vec<_> = events.iter().map(|event| urgent(event)).collect();
        // These messages come to both workers. One of the workers has seen no answer yet.
        setting.publish(&deliveries).await;
        group.until_called(warm + 2).await;
        // The second probe is held under way: the other worker asks for the right again and again, and sends nothing.
        for provider in &group.providers {
            provider.holds_everything();
        }
        group.until_called(warm + 3).await;
        // A worker that had an earlier probe has put the rest of its messages off, so both get more of them.
        let before: usize = group.refused.lock().values().sum();
        let more = Mutex::new(Vec::new());
        eventually("the other worker asks for the probe", || async {
            let event = format!("more-{}", more.lock().len());
            more.lock().push(event.clone());
            setting.publish(&[urgent(&event)]).await;
            group.refused.lock().values().sum::<usize>() >= before + 4
        })
        .await;
        events.append(&mut more.into_inner());
        let calls = group.calls().split_off(warm);
        assert_eq!(calls.len(), 3, "the first message, and one probe after each park");
        for (park, pair) in PARKS.iter().zip(calls.windows(2)) {
            assert!(pair[1] - pair[0] + SLACK >= *park, "{:?}", pair[1] - pair[0]);
        }
        group.answer_everything(|| None);
        for provider in &group.providers {
            provider.lets_go();
        }
        let is_sent = |event: &String| {
            let steps = setting.written.steps(event);
            steps.iter().any(|step| step.ends_with(" sent"))
        };
        eventually("everything is sent", || async {
            setting.advance(100);
            events.iter().all(is_sent)
        })
        .await;
        for worker in group.workers {
            worker.end().await;
        }
    })
    .await;
}
