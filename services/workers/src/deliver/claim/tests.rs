use async_trait::async_trait;
use carillon_bus::{Handler, Inbound, OutRecord, ParallelOptions, Subscription};
use carillon_domain::{Channel, Lane, SystemClock};
use carillon_runtime::{Shutdown, panics::Panic};
use carillon_testkit::TestEnv;

use super::*;
use crate::deliver::testing::{deliver, delivery};

/// Claims through a ledger whose first answer is lost after its commit; reports the numbers of our claims and of
/// others'.
struct LosesAnAnswer(Deliver, tokio::sync::mpsc::UnboundedSender<(usize, usize)>);

#[async_trait]
impl Handler for LosesAnAnswer {
    async fn handle(&self, batch: Vec<Inbound>) {
        let entered = self.0.enter(self.0.parse(batch).await.due, None);
        let ledger = self.0.store.send_ledger();
        let mut tries = 0;
        let (ours, others) = self
            .0
            .claim_through(entered, |claims| {
                tries += 1;
                let is_lost = tries == 1;
                async move {
                    let verdicts = ledger.claim(&claims).await?;
                    if is_lost {
                        Err(StoreError::Closed)
                    } else {
                        Ok(verdicts)
                    }
                }
            })
            .await;
        self.1.send((ours.len(), others.len())).unwrap();
    }

    async fn bury(&self, _: Inbound, _: &Panic) {}
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_still_belongs_to_its_task_and_not_to_another_one() {
    let env = TestEnv::new(Arc::new(SystemClock)).await;
    let shutdown = Shutdown::new();
    let deliver = deliver(&env, &shutdown).0;
    let (told, mut tell) = tokio::sync::mpsc::unbounded_channel();
    let handler: Arc<dyn Handler> = Arc::new(LosesAnAnswer(deliver, told));
    let topic = env.bus.topics().channel(Channel::Sms, Lane::Normal);
    let value = serde_json::to_vec(&delivery("e", Lane::Normal)).unwrap();
    env.bus
        .publish(vec![OutRecord::new(Arc::clone(&topic), "k", value)])
        .await
        .unwrap();
    let subscription = Subscription {
        group: "g".to_owned(),
        topics: vec![topic],
    };
    let run = env.bus.run_parallel(
        &subscription,
        ParallelOptions::default(),
        handler,
        shutdown.clone(),
    );
    let watch = async {
        assert_eq!(tell.recv().await, Some((1, 0)), "the same task asked again");
        assert_eq!(
            tell.recv().await,
            Some((0, 1)),
            "its record was dropped and is read again"
        );
        shutdown.begin();
    };
    let (ended, ()) = tokio::join!(run, watch);
    ended.unwrap();
    env.close().await;
}
