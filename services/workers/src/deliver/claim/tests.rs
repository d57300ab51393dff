use std::time::Duration;

use async_trait::async_trait;
use carillon_bus::{Handler, Inbound, OutRecord, ParallelOptions, Subscription};
use carillon_domain::{Channel, Delivery, DeliveryId, EventId, Lane, NotificationId, SystemClock, TenantId};
use carillon_render::{InProcess, load_folder};
use carillon_runtime::{Limited, Shutdown, panics::Panic};
use carillon_testkit::TestEnv;
use serde_json::json;

use super::*;
use crate::deliver::Patience;

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

fn delivery() -> Delivery {
    let notification = NotificationId::derive(
        &TenantId::default(),
        "/shop",
        &EventId::from("e"),
        "+4915112345678",
    );
    serde_json::from_value(json!({
        "v": 1, "tenant": "default", "notification_id": notification,
        "delivery_id": DeliveryId::derive(notification, Channel::Sms, "+4915112345678"),
        "event_id": "e", "source": "/shop", "type": "OrderShipped", "category": "transactional",
        "event_time": "2026-11-24T10:00:00Z", "decided_at": "2026-11-24T10:00:00Z", "channel": "sms",
        "target": {"kind": "inline", "address": "+4915112345678"}, "locale": "en", "priority": "normal", "data": {},
    }))
    .unwrap()
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_still_ours_and_a_lost_tasks_is_not() {
    let env = TestEnv::new(Arc::new(SystemClock)).await;
    let shop = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop");
    let templates = load_folder(std::path::Path::new(shop)).unwrap();
    let shutdown = Shutdown::new();
    let deliver = Deliver {
        channel: Channel::Sms,
        bus: env.bus.clone(),
        store: env.store.clone(),
        renderer: Arc::new(InProcess::new(Arc::new(templates))),
        clock: Arc::clone(&env.clock),
        accounts: Vec::new(),
        owners: Owners::default(),
        others_are_dead: true,
        lease: Duration::from_secs(12),
        longest_back_off: Duration::from_mins(15),
        give_up_after: Duration::from_hours(72),
        group: "g".to_owned(),
        at_work: AtWork::default(),
        ended: tokio::sync::mpsc::unbounded_channel().0,
        warned: Limited::default(),
        patience: Patience::for_tests(),
        shutdown: shutdown.clone(),
    };
    let (told, mut tell) = tokio::sync::mpsc::unbounded_channel();
    let handler: Arc<dyn Handler> = Arc::new(LosesAnAnswer(deliver, told));
    let topic = env.bus.topics().channel(Channel::Sms, Lane::Normal);
    let value = serde_json::to_vec(&delivery()).unwrap();
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
