use std::sync::atomic::{AtomicUsize, Ordering};

use carillon_domain::SystemClock;
use parking_lot::Mutex;

use super::*;
use crate::{
    ParallelOptions, TopicSettings, Topics,
    member::fake::{Fake, State},
    meter::Work,
};

/// Drops the first record that it receives, once.
struct DropsOne(AtomicUsize);

#[async_trait::async_trait]
impl Handler for DropsOne {
    async fn handle(&self, batch: Vec<Inbound>) {
        for inbound in batch {
            if self.0.fetch_add(1, Ordering::SeqCst) > 0 {
                inbound.done();
            }
        }
    }

    async fn bury(&self, _: Inbound, _: &Panic) {}
}

#[tokio::test]
async fn a_partition_that_cannot_be_read_again_yet_rests_and_ends_no_role() {
    let state = Arc::new(Mutex::new(State {
        end: 5,
        failing_seeks: 2,
        ..State::default()
    }));
    let tiers = [Duration::from_secs(1)];
    let context = Context {
        group: "g".into(),
        topics: Arc::new(Topics::new("t", &tiers, &TopicSettings::default())),
        clock: Arc::new(SystemClock),
        options: ParallelOptions {
            commit_interval: Duration::from_millis(10),
            ..ParallelOptions::default()
        },
        work: Work::new("fake", "g"),
    };
    let shutdown = Shutdown::new();
    let handler = Arc::new(DropsOne(AtomicUsize::new(0)));
    let runner = Runner::new(
        Box::new(Fake(Arc::clone(&state))),
        context,
        handler,
        shutdown.stall_limit,
    );
    let run = tokio::spawn(runner.run(shutdown.clone()));
    let done = async {
        while state.lock().committed < 5 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), done).await.unwrap();
    assert_eq!(state.lock().failing_seeks, 0);
    shutdown.begin();
    run.await.unwrap().unwrap();
}
