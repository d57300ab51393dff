use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use carillon_bus::{BatchLimits, Handler, ParallelOptions, Subscription};
use carillon_domain::{Channel, EventId, SystemClock};
use carillon_runtime::Shutdown;
use carillon_testkit::TestEnv;
use parking_lot::Mutex;

use super::*;
use crate::deliver::testing::{deliver, delivery};

const CAMPAIGN: usize = 1_000;

/// Claims the records of a campaign and of one urgent message, and once all are there, ends their attempts: those of
/// the campaign first.
struct EndsUrgentLast(Arc<Deliver>, Mutex<Vec<ClaimedTask>>);

#[async_trait]
impl Handler for EndsUrgentLast {
    async fn handle(&self, batch: Vec<Inbound>) {
        let (ours, taken) = self.0.claim(self.0.parse(batch).await.due, None).await;
        assert!(taken.is_empty());
        let mut all = self.1.lock();
        all.extend(ours);
        if all.len() > CAMPAIGN {
            all.sort_by_key(|claimed| claimed.task.lane() == Lane::High);
            for claimed in all.drain(..) {
                self.0.conclude(claimed, sent(self.0.clock.now()));
            }
        }
    }

    async fn bury(&self, _: Inbound, _: &Panic) {}
}

fn sent(now: Timestamp) -> Conclusion {
    Conclusion {
        verdict: Consequence::Sent { message_id: None },
        steps: vec![TimelineStep {
            at: now,
            status: DeliveryStatus::Sent,
            code: None,
            detail: None,
        }],
        ..Conclusion::default()
    }
}

#[tokio::test]
async fn the_outcome_of_an_urgent_message_is_published_before_those_of_a_campaign_that_ended_earlier() {
    let env = TestEnv::new(Arc::new(SystemClock)).await;
    let shutdown = Shutdown::new();
    let (deliver, queued) = deliver(&env, &shutdown);
    let deliver = Arc::new(deliver);
    let topic = env.bus.topics().channel(Channel::Sms, Lane::Bulk);
    let record = |event: &str, lane| {
        let value = serde_json::to_vec(&delivery(event, lane)).unwrap();
        OutRecord::new(Arc::clone(&topic), event.to_owned(), value)
    };
    let mut records = vec![record("urgent", Lane::High)];
    records.extend((0..CAMPAIGN).map(|n| record(&n.to_string(), Lane::Bulk)));
    env.bus.publish(records).await.unwrap();
    let of = |topic: Arc<str>| Subscription {
        group: "g".to_owned(),
        topics: vec![topic],
    };
    let handler = EndsUrgentLast(Arc::clone(&deliver), Mutex::default());
    let options = ParallelOptions {
        max_in_flight: 2 * CAMPAIGN,
        ..ParallelOptions::default()
    };
    let subscription = of(topic.clone());
    let run = env
        .bus
        .run_parallel(&subscription, options, Arc::new(handler), shutdown.clone());
    let mut statuses = env.bus.subscribe(&of(env.bus.topics().status())).unwrap();
    let read = async {
        let limits = BatchLimits {
            max_records: 100,
            max_bytes: 1 << 20,
            linger: Duration::ZERO,
        };
        let (mut urgent, mut campaign) = (None, Vec::new());
        while urgent.is_none() || campaign.len() < CAMPAIGN {
            for record in statuses.next(&limits).await.unwrap().records {
                let StatusRecord::Delivery(update) = StatusRecord::parse(&record.value).unwrap() else {
                    panic!("a delivery's status")
                };
                if update.event_id == EventId::from("urgent") {
                    urgent = Some(record.timestamp);
                } else {
                    campaign.push(record.timestamp);
                }
            }
        }
        shutdown.begin();
        (urgent, campaign.into_iter().max())
    };
    let conclude = queued.map(|(lane, ended)| deliver.conclude_all(lane, ended));
    let (urgent, campaign) = tokio::select! {
        (ended, times) = async { tokio::join!(run, read) } => {
            ended.unwrap();
            times
        }
        _ = join_all(conclude) => panic!("attempts can still end"),
    };
    assert!(urgent < campaign, "{urgent:?}, {campaign:?}");
    drop(statuses);
    env.close().await;
}
