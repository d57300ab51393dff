//! A tracker for one test, and its view of the bus.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
    time::Duration,
};

use carillon_bus::{Backend, Bus, OutRecord, Position};
use carillon_domain::{DeliveryId, EventId, StatusRecord, TenantId};
use carillon_runtime::{Shutdown, http::Readiness};
use carillon_store::{
    Page,
    audit::AuditCounts,
    read_model::{DeliveryFilter, DeliveryView, StepView},
};
use carillon_testkit::{ManualClock, TestEnv, eventually};
use carillon_tracker::{TrackerDeps, TrackerError};
use futures::FutureExt as _;
use tokio::task::JoinHandle;

/// The time at which tests begin.
pub(crate) const START: &str = "2026-11-24T10:00:00Z";

/// A bus and a database for one test.
pub(crate) struct Setting {
    pub(crate) env: TestEnv,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) tenant: TenantId,
    pub(crate) readiness: Readiness,
}

/// Runs a test, and cleans up whether it succeeds or fails.
pub(crate) async fn on_tracker(test: impl AsyncFn(&Setting)) {
    let clock = Arc::new(ManualClock::at(START));
    let env = TestEnv::new(clock.clone()).await;
    let setting = Setting {
        env,
        clock,
        tenant: TenantId::default(),
        readiness: Readiness::default(),
    };
    let outcome = AssertUnwindSafe(test(&setting)).catch_unwind().await;
    setting.env.close().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// A running tracker.
pub(crate) struct Tracker {
    shutdown: Shutdown,
    task: JoinHandle<Result<(), TrackerError>>,
}

impl Tracker {
    /// Stops the tracker and waits for its end.
    pub(crate) async fn end(self) {
        self.shutdown.begin();
        let ended = tokio::time::timeout(Duration::from_secs(30), self.task).await;
        ended.expect("a soft shutdown is enough").unwrap().unwrap();
    }
}

/// All visible data of deliveries and events.
#[derive(Debug, PartialEq)]
pub(crate) struct Contents {
    pub(crate) deliveries: Vec<DeliveryView>,
    pub(crate) timelines: Vec<Vec<StepView>>,
    pub(crate) events: Vec<String>,
    pub(crate) counts: AuditCounts,
}

impl Setting {
    pub(crate) fn start(&self) -> Tracker {
        self.start_on(&self.env.bus)
    }

    pub(crate) fn start_on(&self, bus: &Bus) -> Tracker {
        let deps = TrackerDeps {
            bus: bus.clone(),
            store: self.env.store.clone(),
            clock: self.clock.clone(),
            ready: self.readiness.register("tracker"),
        };
        let shutdown = Shutdown::new();
        let signal = shutdown.clone();
        let task = tokio::spawn(async move { Box::pin(carillon_tracker::run(deps, signal)).await });
        Tracker { shutdown, task }
    }

    /// The bus as another process would open it. (The embedded log belongs to one process: there, the same handle.)
    pub(crate) async fn another_bus(&self) -> Bus {
        match self.env.bus_config.backend {
            Backend::Kafka(_) => Bus::connect(self.env.bus_config.clone(), self.clock.clone())
                .await
                .unwrap(),
            Backend::Embedded(_) => self.env.bus.clone(),
        }
    }

    /// A status record as our roles write it.
    pub(crate) fn record(&self, status: &StatusRecord) -> OutRecord {
        OutRecord::new(
            self.env.bus.topics().status(),
            status.record_key(),
            status.to_wire(),
        )
    }

    pub(crate) async fn publish(&self, records: Vec<OutRecord>) -> Vec<Position> {
        self.env.bus.publish(records).await.unwrap()
    }

    /// Writes statuses and runs a tracker until it has read them.
    pub(crate) async fn track(&self, statuses: &[StatusRecord]) {
        let records = statuses.iter().map(|status| self.record(status)).collect();
        let written = self.publish(records).await;
        let tracker = self.start();
        self.caught_up(&written).await;
        tracker.end().await;
    }

    /// Waits until the read model contains the records at these positions.
    pub(crate) async fn caught_up(&self, written: &[Position]) {
        let name = carillon_tracker::projection_name(&self.env.bus);
        eventually("the tracker catches up", || async {
            let model = self.env.store.read_model();
            let mut offsets = model.offsets(&name).await.unwrap();
            offsets.extend(model.offsets(&format!("{name}.dlq")).await.unwrap());
            written.iter().all(|position| {
                offsets.iter().any(|offset| {
                    offset.topic == position.topic
                        && offset.partition == position.partition
                        && offset.next > position.offset
                })
            })
        })
        .await;
    }

    pub(crate) async fn counts(&self) -> AuditCounts {
        self.env.store.audit().counts().await.unwrap()
    }

    pub(crate) async fn delivery(&self, id: DeliveryId) -> DeliveryView {
        let model = self.env.store.read_model();
        model.delivery(&self.tenant, id).await.unwrap().unwrap()
    }

    pub(crate) async fn timeline(&self, id: DeliveryId) -> Vec<StepView> {
        self.env.store.read_model().timeline(id).await.unwrap()
    }

    /// The whole read model, with these events.
    pub(crate) async fn contents(&self, events: &[EventId]) -> Contents {
        let model = self.env.store.read_model();
        let page = Page {
            after: None,
            limit: 500,
        };
        let filter = DeliveryFilter::default();
        let all = model.deliveries(&self.tenant, &filter, page).await.unwrap();
        let deliveries = all.items;
        let mut timelines = Vec::new();
        for delivery in &deliveries {
            timelines.push(self.timeline(delivery.id).await);
        }
        let mut views = Vec::new();
        for event in events {
            let found = model.event(&self.tenant, event, None).await.unwrap();
            views.push(format!("{found:?}"));
        }
        Contents {
            deliveries,
            timelines,
            events: views,
            counts: self.counts().await,
        }
    }
}
