//! A scheduler for one test, dead letters for it, and the records that it publishes.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, resume_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use carillon_bus::{BatchLimits, OutRecord, Record, Subscription, headers};
use carillon_domain::{
    Channel, StatusRecord, TenantId, Timestamp,
    dead_letter::{DeadLetter, FailureClass},
    edit::Edit,
    ids::dead_letter_id,
    status::Origin,
};
use carillon_runtime::http::Readiness;
use carillon_scheduler::{Publisher, Runner, SchedulerDeps, Stepped};
use carillon_store::{
    api_keys::{Principal, Role},
    dead_letter_jobs::{Canary, JobKind, JobView, NewJob},
    dead_letters::{BatchOf, DeadLetterFilter, DeadLetterRow, DeadLetterState},
};
use carillon_testkit::{ManualClock, TestEnv, eventually};
use futures::FutureExt as _;
use serde_json::json;
use uuid::Uuid;

/// The time at which tests begin.
pub(crate) const START: &str = "2026-11-24T10:00:00Z";

/// A bus, a database and a clock for one test.
pub(crate) struct Setting {
    pub(crate) env: TestEnv,
    pub(crate) clock: Arc<ManualClock>,
}

/// Runs a test, and cleans up whether it succeeds or fails.
pub(crate) async fn on_scheduler(test: impl AsyncFn(&Setting)) {
    let clock = Arc::new(ManualClock::at(START));
    let env = TestEnv::new(clock.clone()).await;
    let setting = Setting { env, clock };
    let outcome = AssertUnwindSafe(test(&setting)).catch_unwind().await;
    setting.env.close().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

pub(crate) fn start() -> Timestamp {
    START.parse().unwrap()
}

/// The delivery of the letter with this number.
pub(crate) fn delivery_id(number: i64) -> Uuid {
    Uuid::from_u128(0x6f1d << 112 | u128::from(number.unsigned_abs()))
}

/// The id of the letter with this number in the queue of text messages.
pub(crate) fn letter_id(number: i64) -> Uuid {
    dead_letter_id("dead", 0, number)
}

/// A dead text message. It died `number` seconds after the start.
pub(crate) fn letter(tenant: &str, number: i64) -> DeadLetterRow {
    let delivery = json!({
        "v": 1, "delivery_id": delivery_id(number), "notification_id": delivery_id(number), "tenant": tenant,
        "event_id": format!("e-{number}"), "source": "/shop", "type": "OrderShipped", "event_time": START,
        "category": "transactional", "user_id": "u-1", "channel": "sms",
        "target": {"kind": "inline", "address": "+4915112345678"}, "priority": "normal", "accepted_at": START,
        "data": {},
    });
    row(
        tenant,
        number,
        Some(Channel::Sms),
        "sms",
        delivery.to_string().into_bytes(),
    )
}

pub(crate) fn row(
    tenant: &str,
    number: i64,
    channel: Option<Channel>,
    source: &str,
    value: Vec<u8>,
) -> DeadLetterRow {
    let said = DeadLetter {
        class: FailureClass::Render,
        provider: None,
        code: "template-missing-variable".to_owned(),
        reason: "a variable is missing".to_owned(),
        attempts: 1,
        first_failed_at: start(),
    };
    DeadLetterRow {
        position: Origin {
            topic: "dead".into(),
            partition: 0,
            offset: number,
        },
        tenant: tenant.into(),
        channel,
        source_topic: source.into(),
        fingerprint: said.fingerprint(channel.map_or("events", Channel::as_str)),
        letter: said,
        dead_at: start() + Duration::from_secs(number.unsigned_abs()),
        delivery_id: None,
        event_type: None,
        headers: vec![
            (headers::TENANT.to_owned(), tenant.to_owned()),
            (
                "kafka_dlt-original-partition".to_owned(),
                "base64:AAAAAQ==".to_owned(),
            ),
            (
                "kafka_dlt-original-offset".to_owned(),
                "base64:AAAAAAAAAAc=".to_owned(),
            ),
        ],
        key: Some(b"key".to_vec()),
        value,
    }
}

impl Setting {
    pub(crate) fn deps(&self) -> SchedulerDeps {
        SchedulerDeps {
            bus: self.env.bus.clone(),
            store: self.env.store.clone(),
            clock: self.clock.clone(),
            only_process: false,
            ready: Readiness::default().register("scheduler"),
        }
    }

    pub(crate) fn runner(&self) -> Runner {
        Runner::new(self.deps())
    }

    pub(crate) fn publisher(&self) -> Publisher {
        Publisher::new(self.deps())
    }

    /// Writes letters into the read model, as the tracker would.
    pub(crate) async fn bury(&self, rows: &[DeadLetterRow]) {
        self.env
            .store
            .dead_letters()
            .apply("a test", rows, &[])
            .await
            .unwrap();
    }

    /// Makes a job over the open letters that match.
    pub(crate) async fn job(&self, kind: JobKind, filter: DeadLetterFilter, rate: Option<u32>) -> Uuid {
        self.job_with(kind, filter, rate, None, None).await
    }

    /// Makes a job with a canary or an edit.
    pub(crate) async fn job_with(
        &self,
        kind: JobKind,
        filter: DeadLetterFilter,
        rate: Option<u32>,
        canary: Option<Canary>,
        edit: Option<Edit>,
    ) -> Uuid {
        let tenant = TenantId::default();
        let selection = DeadLetterFilter {
            state: vec![DeadLetterState::Open],
            ..filter
        };
        let now = self.env.store.now();
        let of = BatchOf {
            tenant: &tenant,
            filter: &selection,
            until: Some(now),
            after: None,
            limit: 1,
        };
        let total = self.env.store.dead_letters().count(of).await.unwrap();
        let job = NewJob {
            id: Uuid::now_v7(),
            kind,
            total,
            rate,
            note: None,
            canary,
            edit,
            at: now,
            selection: selection.clone(),
        };
        self.env
            .store
            .dead_letter_jobs()
            .create(&who(), &job)
            .await
            .unwrap();
        job.id
    }

    pub(crate) async fn view(&self, job: Uuid) -> JobView {
        let found = self
            .env
            .store
            .dead_letter_jobs()
            .get(&TenantId::default(), job)
            .await;
        found.unwrap().unwrap()
    }

    /// Takes steps until none is due.
    pub(crate) async fn run_jobs(&self) {
        while Box::pin(self.runner().step()).await.unwrap() == Stepped::Worked {}
    }

    /// Publishes until the outbox is empty.
    pub(crate) async fn publish_all(&self) {
        eventually("the outbox is empty", || async {
            while Box::pin(self.publisher().step()).await.unwrap() > 0 {}
            self.env.store.outbox().depth().await.unwrap().records == 0
        })
        .await;
    }

    /// The records of a topic, by position. Marks at the ends of its partitions are left out.
    pub(crate) async fn published(&self, topic: &Arc<str>) -> Vec<Record> {
        const LIMITS: BatchLimits = BatchLimits {
            max_records: 1_000,
            max_bytes: 8 << 20,
            linger: Duration::from_millis(5),
        };
        let bus = &self.env.bus;
        let all = bus.topics().all();
        let partitions = all.iter().find(|spec| spec.name == *topic).unwrap().partitions as usize;
        let run = Uuid::now_v7().to_string();
        let mut marked = std::collections::HashSet::new();
        for number in 0_u32.. {
            let mark =
                OutRecord::new(Arc::clone(topic), format!("{run}-{number}"), run.clone()).with("mark", "1");
            marked.insert(bus.publish(vec![mark]).await.unwrap().remove(0).partition);
            if marked.len() == partitions {
                break;
            }
        }
        let subscription = Subscription {
            group: format!("reader-{run}"),
            topics: vec![Arc::clone(topic)],
        };
        let mut consumer = bus.subscribe(&subscription).unwrap();
        let mut records = Vec::new();
        while !marked.is_empty() {
            for record in consumer.next(&LIMITS).await.unwrap().records {
                if record.headers.get("mark").is_none() {
                    records.push(record);
                } else if record.value == run {
                    marked.remove(&record.partition);
                }
            }
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }

    /// The deliveries on the topic of text messages: how often each (delivery, generation) was published.
    pub(crate) async fn deliveries(&self) -> BTreeMap<(Uuid, u32), usize> {
        let topic = self
            .env
            .bus
            .topics()
            .channel(Channel::Sms, carillon_domain::Lane::Normal);
        let mut counts = BTreeMap::new();
        for record in self.published(&topic).await {
            let delivery = carillon_domain::Delivery::parse(&record.value).unwrap();
            let generation = record.headers.get_u32(headers::GENERATION).unwrap();
            *counts.entry((delivery.delivery_id.0, generation)).or_default() += 1;
        }
        counts
    }

    /// The statuses that were published.
    pub(crate) async fn statuses(&self) -> Vec<StatusRecord> {
        let records = self.published(&self.env.bus.topics().status()).await;
        records
            .iter()
            .map(|record| StatusRecord::parse(&record.value).unwrap())
            .collect()
    }
}

pub(crate) fn who() -> Principal {
    Principal {
        key_id: Uuid::from_u128(9),
        name: "ada".to_owned(),
        tenant: TenantId::default(),
        role: Role::Operator,
    }
}

/// Polls work until it has been pending `waits` times. At the next wait, drops it as the end of its process would, and
/// returns `None`.
pub(crate) async fn killed_after<T>(waits: usize, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut left = waits;
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}
