//! The outbox source: rows of a table in a customer's own PostgreSQL database are posted to a gateway as events.
//!
//! The application writes a row in the transaction whose result it reports. This source claims rows under a lease, posts their
//! events, and deletes them once the gateway has answered that it has them. A row that was posted twice, because the source
//! ended between answer and deletion, is one event: the gateway recognises it by its id. No transaction of the
//! customer's database stays open while a request is under way.
//!
//! It posts over HTTP and does not write to the bus. The gateway checks the events as any other's, so the error of a
//! bad row is told here, beside the row, and the source needs only a database and an API key, not Carillon's own stores.

mod event;
mod name;
mod post;
mod table;

use std::time::Duration;

use carillon_runtime::{Limited, Secret, Shutdown, http::ReadySwitch};

use self::{
    event::PostedEvent,
    post::{Gateway, PostVerdict},
    table::{ClaimedRow, Table},
};
pub use self::{
    name::{BadTableName, TableName},
    table::OutboxError,
};

/// The settings of an outbox source.
#[derive(Debug, Clone)]
pub struct OutboxConfig {
    /// The customer's database, `postgres://…`.
    pub database_url: Secret,
    /// The table.
    pub table: TableName,
    /// The gateway's address.
    pub gateway: String,
    /// An API key with the role operator.
    pub api_key: Secret,
    /// The interval at which the table is looked at if no notification comes.
    pub poll: Duration,
    /// The time for which claimed rows are left alone by other sources: longer than a request takes.
    pub lease: Duration,
}

/// The most rows that are claimed at a time. A gateway takes 1,000 events at once.
const ROWS: i64 = 200;
/// The most bytes of a request, unless a single event is larger: well below what a gateway takes.
const MAX_BYTES: usize = 1 << 20;
/// Pauses after rounds that failed in a row.
const BACKOFF: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// The outbox source.
pub struct OutboxSource {
    table: Table,
    gateway: Gateway,
    poll: Duration,
    ready: ReadySwitch,
    complaints: Limited,
}

/// What a round did.
enum Round {
    /// Rows were claimed; more may wait.
    Worked,
    /// No row waits.
    Idle,
}

/// The reason for which a round did not end well. Its rows wait on.
struct Failed {
    what: String,
    /// The least pause that the gateway has asked for.
    pause: Duration,
}

impl From<OutboxError> for Failed {
    fn from(error: OutboxError) -> Self {
        Self {
            what: carillon_runtime::causes(&error),
            pause: Duration::ZERO,
        }
    }
}

impl OutboxSource {
    /// Connects, and checks that the table has the columns of the DDL.
    pub async fn connect(
        config: OutboxConfig,
        client: reqwest::Client,
        ready: ReadySwitch,
    ) -> Result<Self, OutboxError> {
        let table = Table::connect(&config.database_url, &config.table, config.lease).await?;
        Ok(Self {
            table,
            gateway: Gateway::new(client, &config.gateway, config.api_key),
            poll: config.poll,
            ready,
            complaints: Limited::default(),
        })
    }

    /// Posts rows until the shutdown. A fault of database or gateway is waited for.
    pub async fn run(&self, shutdown: Shutdown) {
        let mut failures = 0;
        let mut notified = self.table.listen();
        while !shutdown.soft.is_cancelled() {
            let round = tokio::select! {
                round = self.round() => round,
                // The rows in hand are claimed; another source posts them after the lease.
                () = shutdown.hard() => return,
            };
            match round {
                Ok(Round::Worked) => {
                    failures = 0;
                    self.ready.ready();
                }
                Ok(Round::Idle) => {
                    failures = 0;
                    self.ready.ready();
                    tokio::select! {
                        () = notified.next() => {}
                        () = tokio::time::sleep(self.poll) => {}
                        () = shutdown.soft() => {}
                    }
                }
                Err(Failed { what, pause }) => {
                    let pause = pause.max(BACKOFF[failures.min(BACKOFF.len() - 1)]);
                    failures += 1;
                    self.ready.not_ready(what.clone());
                    if let Some(left_out) = self.complaints.admit("round") {
                        tracing::warn!(cause = what, left_out, "rows of the outbox wait");
                    }
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = shutdown.soft() => {}
                    }
                }
            }
        }
        self.ready.not_ready("the source has ended");
    }

    /// Claims rows and posts them.
    async fn round(&self) -> Result<Round, Failed> {
        let rows = self.table.claim(ROWS).await?;
        if rows.is_empty() {
            measure_age(None);
            return Ok(Round::Idle);
        }
        measure_age(rows.first().map(|row| row.age));
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            match event::read(&row, self.table.name()) {
                Ok(item) => items.push(item),
                Err(error) => self.move_aside(row.position, &error).await?,
            }
        }
        let posted = self.post_all(&items).await;
        if let Err(failed) = posted {
            // Rows that are gone by now are not affected.
            let positions: Vec<i64> = items.iter().map(|item| item.position).collect();
            self.table.release(&positions).await?;
            return Err(failed);
        }
        Ok(Round::Worked)
    }

    async fn post_all(&self, items: &[PostedEvent]) -> Result<(), Failed> {
        let mut first = 0;
        while first < items.len() {
            let mut bytes = 0;
            let fitting = items[first..].iter().take_while(|item| {
                bytes += item.json.len();
                bytes <= MAX_BYTES
            });
            let end = first + fitting.count().max(1);
            self.post(&items[first..end]).await?;
            first = end;
        }
        Ok(())
    }

    /// Posts some rows in one request. If the gateway refuses the request as a whole, the rows are divided, until the one
    /// at fault is found.
    async fn post(&self, items: &[PostedEvent]) -> Result<(), Failed> {
        let mut waiting = vec![items];
        while let Some(items) = waiting.pop() {
            match self.gateway.post(items).await {
                Ok(verdicts) => self.settle(items, verdicts).await?,
                Err(post::PostError::Refused(_)) if items.len() > 1 => {
                    let (first, second) = items.split_at(items.len() / 2);
                    waiting.extend([second, first]);
                }
                Err(post::PostError::Refused(why)) => {
                    for item in items {
                        self.move_aside(item.position, &why).await?;
                    }
                }
                Err(post::PostError::Later { why, pause }) => {
                    return Err(Failed { what: why, pause });
                }
            }
        }
        Ok(())
    }

    /// Deletes the rows that the gateway has, and moves aside those that it refuses for good.
    async fn settle(&self, items: &[PostedEvent], verdicts: Vec<PostVerdict>) -> Result<(), Failed> {
        let mut has = Vec::new();
        let mut later = None;
        for (item, verdict) in items.iter().zip(verdicts) {
            match verdict {
                PostVerdict::Accepted => {
                    has.push(item.position);
                    count("published", 1);
                }
                PostVerdict::Duplicate => {
                    has.push(item.position);
                    count("duplicate", 1);
                }
                PostVerdict::Refused(why) => self.move_aside(item.position, &why).await?,
                PostVerdict::Later(why) => later = Some(why),
            }
        }
        self.table.delete(&has).await?;
        match later {
            Some(what) => Err(Failed {
                what,
                pause: Duration::ZERO,
            }),
            None => Ok(()),
        }
    }

    async fn move_aside(&self, position: i64, why: &str) -> Result<(), Failed> {
        self.table.fail(position, why).await?;
        count("failed", 1);
        // The reason may repeat values of the row, which may be personal.
        tracing::error!(table = %self.table.name(), position,
            "the gateway takes no event of this row of the outbox; the row is set aside, and its column error says why");
        Ok(())
    }
}

fn measure_age(age: Option<f64>) {
    metrics::gauge!("carillon_outbox_source_age_seconds").set(age.unwrap_or_default());
}

fn count(outcome: &'static str, rows: u64) {
    metrics::counter!("carillon_outbox_source_rows_total", "outcome" => outcome).increment(rows);
}

/// The statements that create the table, its index, and the trigger that wakes the source.
#[must_use]
pub fn ddl(table: &TableName) -> String {
    table::ddl(table)
}
