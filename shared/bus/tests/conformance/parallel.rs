use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use carillon_bus::{Handler, Inbound, PANICS, ParallelOptions};
use carillon_domain::{Channel, Lane};
use carillon_runtime::{Shutdown, http::Readiness, panics::Panic};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::support::{Setting, on_each_backend, out, subscription, text, wait_for};

/// A handler that notes its records and finishes each one once the gate for its value is open.
struct Recorder {
    seen: Mutex<Vec<(String, String)>>,
    holding: AtomicUsize,
    most_held: AtomicUsize,
    gate: watch::Receiver<Vec<String>>,
    drop_once: Mutex<Vec<String>>,
    /// Values at which the handler panics, each with the number of panics left.
    panics: Mutex<HashMap<String, u32>>,
    /// Buried values, each with the place of the panic.
    buried: Mutex<Vec<(String, String)>>,
}

impl Recorder {
    fn new() -> (Arc<Self>, watch::Sender<Vec<String>>) {
        let (closed, gate) = watch::channel(Vec::new());
        let recorder = Self {
            seen: Mutex::default(),
            holding: AtomicUsize::new(0),
            most_held: AtomicUsize::new(0),
            gate,
            drop_once: Mutex::default(),
            panics: Mutex::default(),
            buried: Mutex::default(),
        };
        (Arc::new(recorder), closed)
    }

    fn values(&self) -> Vec<String> {
        self.seen.lock().iter().map(|(_, value)| value.clone()).collect()
    }
}

#[async_trait]
impl Handler for Recorder {
    async fn handle(&self, batch: Vec<Inbound>) {
        let work = batch.into_iter().map(|inbound| async move {
            let value = text(&inbound.record.value);
            let key = text(inbound.record.key.as_deref().unwrap_or_default());
            self.seen.lock().push((key, value.clone()));
            let held = self.holding.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_held.fetch_max(held, Ordering::SeqCst);
            let mut gate = self.gate.clone();
            // Fails only if the sender is gone, at the end of the test.
            let _ = gate.wait_for(|closed| !closed.contains(&value)).await;
            self.holding.fetch_sub(1, Ordering::SeqCst);
            if let Some(left) = self.panics.lock().get_mut(&value).filter(|left| **left > 0) {
                *left -= 1;
                panic!("told to at {value}");
            }
            let mut drop_once = self.drop_once.lock();
            if let Some(index) = drop_once.iter().position(|dropped| *dropped == value) {
                drop_once.remove(index);
                return;
            }
            inbound.done();
        });
        futures::future::join_all(work).await;
    }

    async fn bury(&self, inbound: Inbound, panic: &Panic) {
        self.buried
            .lock()
            .push((text(&inbound.record.value), panic.place.clone()));
        inbound.done();
    }
}

fn start(
    setting: &Setting,
    topic: &Arc<str>,
    recorder: &Arc<Recorder>,
    options: ParallelOptions,
) -> (Shutdown, tokio::task::JoinHandle<()>) {
    let shutdown = Shutdown::new();
    let (bus, ours) = (setting.bus.clone(), shutdown.clone());
    let (subscription, handler) = (subscription("g", topic), Arc::clone(recorder));
    let task = tokio::spawn(async move {
        bus.run_parallel(&subscription, options, handler, ours)
            .await
            .unwrap();
    });
    (shutdown, task)
}

#[test]
fn records_of_one_key_are_handled_in_order_and_other_keys_overtake() {
    on_each_backend(2, |setting| async move {
        let topic = setting.bus.topics().channel(Channel::Sms, Lane::Normal);
        let (recorder, gate) = Recorder::new();
        gate.send(vec!["a1".to_owned()]).unwrap();
        let values = ["a1", "a2", "b1", "b2", "c1", "a3"];
        setting
            .bus
            .publish(values.map(|value| out(&topic, &value[..1], value)).to_vec())
            .await
            .unwrap();
        let (shutdown, task) = start(&setting, &topic, &recorder, ParallelOptions::default());
        wait_for("everything but the key that is held", || async {
            recorder.values().len() == 4
        })
        .await;
        assert!(!recorder.values().contains(&"a2".to_owned()));
        gate.send(Vec::new()).unwrap();
        wait_for("the rest", || async { recorder.values().len() == 6 }).await;
        let of_a: Vec<_> = recorder
            .values()
            .into_iter()
            .filter(|value| value.starts_with('a'))
            .collect();
        assert_eq!(of_a, ["a1", "a2", "a3"]);
        shutdown.begin();
        task.await.unwrap();
    });
}

#[test]
fn only_the_contiguous_frontier_is_committed() {
    on_each_backend(1, |setting| async move {
        let topic = setting.bus.topics().channel(Channel::Sms, Lane::Normal);
        let (recorder, gate) = Recorder::new();
        gate.send(vec!["2".to_owned()]).unwrap();
        setting
            .bus
            .publish((0..6).map(|n| out(&topic, &n.to_string(), n)).collect())
            .await
            .unwrap();
        let (shutdown, task) = start(&setting, &topic, &recorder, ParallelOptions::default());
        wait_for("all in hand", || async {
            recorder.holding.load(Ordering::SeqCst) == 1 && recorder.values().len() == 6
        })
        .await;
        wait_for("the frontier is committed", || async {
            setting
                .bus
                .lag("g")
                .await
                .unwrap()
                .iter()
                .any(|lag| lag.records == 4)
        })
        .await;
        // A kill: records done behind the gap are processed again, and none is lost.
        shutdown.abort();
        task.await.unwrap();
        gate.send(Vec::new()).unwrap();
        let (again, _open) = Recorder::new();
        let (shutdown, task) = start(&setting, &topic, &again, ParallelOptions::default());
        wait_for("what was not committed", || async {
            again.values() == ["2", "3", "4", "5"]
        })
        .await;
        shutdown.begin();
        task.await.unwrap();
    });
}

#[test]
fn no_more_is_in_flight_than_allowed() {
    on_each_backend(2, |setting| async move {
        let topic = setting.bus.topics().channel(Channel::Push, Lane::Bulk);
        let (recorder, gate) = Recorder::new();
        let all: Vec<String> = (0..300).map(|n| n.to_string()).collect();
        gate.send(all.clone()).unwrap();
        setting
            .bus
            .publish(all.iter().map(|n| out(&topic, n, n)).collect())
            .await
            .unwrap();
        let options = ParallelOptions {
            max_in_flight: 20,
            max_batch: 8,
            ..ParallelOptions::default()
        };
        let (shutdown, task) = start(&setting, &topic, &recorder, options);
        wait_for("a full house", || async {
            recorder.holding.load(Ordering::SeqCst) >= 12
        })
        .await;
        gate.send(Vec::new()).unwrap();
        wait_for("everything", || async { recorder.values().len() == 300 }).await;
        assert!(recorder.most_held.load(Ordering::SeqCst) <= 20);
        shutdown.begin();
        task.await.unwrap();
    });
}

#[test]
fn a_dropped_record_is_read_again_with_all_records_behind_it() {
    on_each_backend(1, |setting| async move {
        let topic = setting.bus.topics().channel(Channel::Push, Lane::Normal);
        let (recorder, _gate) = Recorder::new();
        recorder.drop_once.lock().push("1".to_owned());
        setting
            .bus
            .publish((0..4).map(|n| out(&topic, &n.to_string(), n)).collect())
            .await
            .unwrap();
        let (shutdown, task) = start(&setting, &topic, &recorder, ParallelOptions::default());
        wait_for("the second time", || async {
            let mut counts: HashMap<String, u32> = HashMap::new();
            for value in recorder.values() {
                *counts.entry(value).or_default() += 1;
            }
            counts.get("1") == Some(&2) && counts.get("0") == Some(&1) && counts.contains_key("3")
        })
        .await;
        wait_for("no lag", || async {
            setting
                .bus
                .lag("g")
                .await
                .unwrap()
                .iter()
                .any(|lag| lag.records == 0)
        })
        .await;
        shutdown.begin();
        task.await.unwrap();
    });
}

#[test]
fn a_record_on_which_the_handler_always_panics_is_buried_and_its_neighbours_are_handled() {
    on_each_backend(1, |setting| async move {
        let topic = setting.bus.topics().channel(Channel::Push, Lane::Normal);
        let (recorder, _gate) = Recorder::new();
        let panics = [("3", u32::MAX), ("5", 1)].map(|(value, times)| (value.to_owned(), times));
        recorder.panics.lock().extend(panics);
        setting
            .bus
            .publish((0..8).map(|n| out(&topic, &n.to_string(), n)).collect())
            .await
            .unwrap();
        let (shutdown, task) = start(&setting, &topic, &recorder, ParallelOptions::default());
        wait_for("no lag", || async {
            let lag = setting.bus.lag("g").await.unwrap();
            lag.iter().any(|lag| lag.records == 0)
        })
        .await;
        let buried = recorder.buried.lock().clone();
        assert_eq!(buried.len(), 1, "{buried:?}");
        assert_eq!(buried[0].0, "3");
        assert!(buried[0].1.contains("parallel.rs:"), "{buried:?}");
        let tries = recorder.values().iter().filter(|value| *value == "3").count();
        assert_eq!(tries, usize::try_from(PANICS).unwrap());
        for value in ["0", "1", "2", "4", "5", "6", "7"] {
            assert!(recorder.values().contains(&value.to_owned()), "{value}");
        }
        shutdown.begin();
        task.await.unwrap();
    });
}

#[test]
fn a_group_that_commits_nothing_while_records_wait_has_a_note_until_it_commits() {
    on_each_backend(1, |setting| async move {
        let topic = setting.bus.topics().channel(Channel::Push, Lane::Normal);
        let (recorder, gate) = Recorder::new();
        gate.send(vec!["1".to_owned()]).unwrap();
        let records = (0..3).map(|n| out(&topic, "k", n)).collect();
        setting.bus.publish(records).await.unwrap();
        let (shutdown, task) = start(&setting, &topic, &recorder, ParallelOptions::default());
        let readiness = Readiness::default();
        let part = readiness.register("push");
        part.ready();
        let bus = setting.bus.clone().with_stuck_after(Duration::from_millis(300));
        let watch = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { bus.report_lag("g".to_owned(), part, shutdown).await }
        });
        let note = || readiness.report().parts["push"].note.clone();
        wait_for("a note", || async { note().is_some() }).await;
        let said = note().unwrap();
        assert!(said.starts_with(&format!("2 records of {topic} wait")), "{said}");
        assert!(readiness.is_ready(), "another process would do no better");
        gate.send(Vec::new()).unwrap();
        wait_for("no note", || async { note().is_none() }).await;
        shutdown.begin();
        task.await.unwrap();
        watch.await.unwrap();
    });
}

#[test]
fn a_soft_shutdown_finishes_records_in_hand_and_a_hard_one_gives_them_back() {
    on_each_backend(1, |setting| async move {
        let topic = setting.bus.topics().channel(Channel::Push, Lane::High);
        let (recorder, gate) = Recorder::new();
        gate.send(vec!["0".to_owned()]).unwrap();
        setting.bus.publish(vec![out(&topic, "k", 0)]).await.unwrap();
        let (shutdown, task) = start(&setting, &topic, &recorder, ParallelOptions::default());
        wait_for("in hand", || async {
            recorder.holding.load(Ordering::SeqCst) == 1
        })
        .await;
        shutdown.begin();
        gate.send(Vec::new()).unwrap();
        task.await.unwrap();
        assert_eq!(
            setting
                .bus
                .lag("g")
                .await
                .unwrap()
                .iter()
                .map(|lag| lag.records)
                .sum::<i64>(),
            0
        );

        gate.send(vec!["1".to_owned()]).unwrap();
        setting.bus.publish(vec![out(&topic, "k", 1)]).await.unwrap();
        let (shutdown, task) = start(&setting, &topic, &recorder, ParallelOptions::default());
        wait_for("in hand", || async {
            recorder.holding.load(Ordering::SeqCst) == 1
        })
        .await;
        shutdown.abort();
        tokio::time::timeout(Duration::from_secs(10), task)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            setting
                .bus
                .lag("g")
                .await
                .unwrap()
                .iter()
                .map(|lag| lag.records)
                .sum::<i64>(),
            1
        );
    });
}
