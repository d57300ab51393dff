//! Workers for one test.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
    time::Duration,
};

use carillon_bus::{OutRecord, Position, headers};
use carillon_domain::{
    Channel, ContactPointId, Delivery, DeliveryId, EventId, NotificationId, SystemClock, Target, TenantId,
    UserId,
};
use carillon_render::{InProcess, Renderer, load_folder};
use carillon_runtime::{
    Shutdown,
    http::{Readiness, ReadySwitch},
};
use carillon_store::{
    api_keys::{Principal, Role},
    breakers::InProcessBreakers,
    users::UserPut,
};
use carillon_testkit::{ManualClock, TestEnv, eventually};
use carillon_workers::{Account, Routes, WorkerDeps, WorkerError, WorkersConfig, group, run};
use futures::FutureExt as _;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{provider::Provider, written::Written};

/// The time at which tests begin. Kafka stamps records with the machine's time, which is later, so that no record
/// seems to have waited out its tier before the test's clock says so.
pub(crate) const START: &str = "2024-11-24T10:00:00Z";
/// A guest's phone.
pub(crate) const PHONE: &str = "+4915112345678";

/// A bus and a database, and the records that the workers have written.
pub(crate) struct Setting {
    pub(crate) env: TestEnv,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) written: Written,
    renderer: Arc<dyn Renderer>,
}

/// Runs a test, and cleans up whether it succeeds or fails.
pub(crate) async fn on_workers(test: impl AsyncFn(&Setting)) {
    let clock = Arc::new(ManualClock::at(START));
    let env = TestEnv::new(clock.clone()).await;
    on_env(env, clock, test).await;
}

/// Like [`on_workers`], with retry tiers of these lengths in seconds.
pub(crate) async fn on_workers_with_tiers(seconds: &[u64], test: impl AsyncFn(&Setting)) {
    let clock = Arc::new(ManualClock::at(START));
    let tiers: Vec<_> = seconds.iter().copied().map(Duration::from_secs).collect();
    let env = TestEnv::with_tiers(clock.clone(), tiers).await;
    on_env(env, clock, test).await;
}

/// Like [`on_workers`], by the machine's clock.
pub(crate) async fn on_workers_in_real_time(test: impl AsyncFn(&Setting)) {
    let env = TestEnv::new(Arc::new(SystemClock)).await;
    on_env(env, Arc::new(ManualClock::at(START)), test).await;
}

async fn on_env(env: TestEnv, clock: Arc<ManualClock>, test: impl AsyncFn(&Setting)) {
    let shop = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop");
    let templates = load_folder(std::path::Path::new(shop)).unwrap();
    let setting = Setting {
        written: Written::watch(&env.bus),
        renderer: Arc::new(InProcess::new(Arc::new(templates))),
        clock,
        env,
    };
    let outcome = AssertUnwindSafe(test(&setting)).catch_unwind().await;
    let Setting { env, written, .. } = setting;
    drop(written);
    env.close().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// A worker process.
pub(crate) struct Worker {
    pub(crate) shutdown: Shutdown,
    task: JoinHandle<Result<(), WorkerError>>,
}

impl Worker {
    /// Stops the worker and waits for its end.
    pub(crate) async fn end(self) {
        self.shutdown.begin();
        self.ended().await.unwrap();
    }

    /// Aborts the worker at once.
    pub(crate) async fn kill(self) {
        self.shutdown.abort();
        self.ended().await.unwrap();
    }

    /// Waits for the worker's end.
    pub(crate) async fn ended(self) -> Result<(), WorkerError> {
        let ended = tokio::time::timeout(Duration::from_secs(30), self.task).await;
        ended.expect("the worker ends in half a minute").unwrap()
    }
}

impl Setting {
    /// A provider by the test's clock.
    pub(crate) fn provider(&self) -> Arc<Provider> {
        Provider::new(Arc::clone(&self.env.clock))
    }

    /// Starts a worker for text messages with one account, `p`.
    pub(crate) fn start(&self, provider: &Arc<Provider>) -> Worker {
        self.start_with(vec![provider.account("p")], |_| {})
    }

    /// Starts a worker for text messages, modified by `change`. It is one of several: `only_process` is false.
    pub(crate) fn start_with(
        &self,
        accounts: Vec<Arc<Account>>,
        change: impl FnOnce(&mut WorkerDeps),
    ) -> Worker {
        self.start_for(Channel::Sms, accounts, change)
    }

    /// Like [`Setting::start_with`], for any channel.
    pub(crate) fn start_for(
        &self,
        channel: Channel,
        accounts: Vec<Arc<Account>>,
        change: impl FnOnce(&mut WorkerDeps),
    ) -> Worker {
        let mut deps = WorkerDeps {
            bus: self.env.bus.clone(),
            store: self.env.store.clone(),
            renderer: Arc::clone(&self.renderer),
            clock: Arc::clone(&self.env.clock),
            routes: Routes::in_order(accounts.len()),
            accounts,
            breakers: Arc::new(InProcessBreakers::default()),
            links: None,
            config: WorkersConfig::default(),
            only_process: false,
            ready: ready(),
        };
        change(&mut deps);
        let shutdown = Shutdown::new();
        let task = tokio::spawn(run(deps, channel, shutdown.clone()));
        Worker { shutdown, task }
    }

    /// Publishes deliveries on the topics on which the router would.
    pub(crate) async fn publish(&self, deliveries: &[Delivery]) -> Vec<Position> {
        let records = deliveries.iter().map(|delivery| self.record(delivery)).collect();
        self.env.bus.publish(records).await.unwrap()
    }

    /// The record of a delivery.
    pub(crate) fn record(&self, delivery: &Delivery) -> OutRecord {
        let topic = self.env.bus.topics().channel(delivery.channel, delivery.priority);
        OutRecord::new(topic, delivery.record_key(), bytes_of(delivery))
            .with(headers::TENANT, delivery.tenant.to_string())
    }

    pub(crate) fn advance(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }

    /// Creates a user with a phone, or removes the phone.
    pub(crate) async fn put_user(&self, user: &str, phone: Option<&str>) {
        let put = UserPut {
            phone: phone.map(str::to_owned),
            ..UserPut::default()
        };
        let users = self.env.store.users();
        users
            .put(&TenantId::default(), &user.into(), &put, None)
            .await
            .unwrap();
    }

    /// Waits until all published records are done and committed.
    pub(crate) async fn until_committed(&self) {
        self.until_committed_in(|_| true).await;
    }

    /// Like [`Setting::until_committed`], for some of the topics.
    pub(crate) async fn until_committed_in(&self, is_asked: impl Fn(&str) -> bool) {
        let group = group(&self.env.bus, Channel::Sms);
        eventually("everything is committed", || async {
            let lags = self.env.bus.lag(&group).await.unwrap();
            let mut asked = lags.iter().filter(|lag| is_asked(&lag.topic)).peekable();
            asked.peek().is_some() && asked.all(|lag| lag.records == 0)
        })
        .await;
    }
}

/// The holder of an operator's key.
pub(crate) fn operator() -> Principal {
    Principal {
        key_id: uuid::Uuid::from_u128(1),
        name: "support desk".to_owned(),
        tenant: TenantId::default(),
        role: Role::Operator,
    }
}

pub(crate) fn ready() -> ReadySwitch {
    Readiness::default().register("worker")
}

/// A text message to a guest.
pub(crate) fn to_guest(event: &str) -> Delivery {
    let target = Target::Inline {
        address: PHONE.to_owned(),
    };
    delivery(event, None, &target)
}

/// A text message to the phone of a user.
pub(crate) fn to_user(event: &str, user: &str) -> Delivery {
    let target = Target::ContactPoint { id: phone_of(user) };
    delivery(event, Some(user), &target)
}

pub(crate) fn phone_of(user: &str) -> ContactPointId {
    ContactPointId::primary(&TenantId::default(), &UserId::from(user), Channel::Sms)
}

fn delivery(event: &str, user: Option<&str>, target: &Target) -> Delivery {
    let notification = NotificationId::derive(
        &TenantId::default(),
        "/shop",
        &EventId::from(event),
        user.unwrap_or(PHONE),
    );
    let json = json!({
        "v": 1, "tenant": "default", "notification_id": notification,
        "delivery_id": DeliveryId::derive(notification, Channel::Sms, user.unwrap_or(PHONE)),
        "event_id": event, "source": "/shop", "type": "OrderShipped", "category": "transactional",
        "event_time": START, "accepted_at": START, "user_id": user, "channel": "sms", "target": target,
        "locale": "en", "priority": "normal", "data": {"order_id": event, "carrier": "DHL"},
    });
    serde_json::from_value(json).unwrap()
}

/// The value of the delivery's record.
pub(crate) fn bytes_of(delivery: &Delivery) -> Vec<u8> {
    serde_json::to_vec(delivery).unwrap()
}

/// The same delivery with other data.
pub(crate) fn with_data(delivery: Delivery, data: &Value) -> Delivery {
    Delivery {
        data: serde_json::value::to_raw_value(data).unwrap().into(),
        ..delivery
    }
}
