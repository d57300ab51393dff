//! Reading one topic: batches are converted, and their events committed together with their offsets.

use std::{collections::HashMap, sync::Arc, time::Duration};

use carillon_bus::{Batch, BatchConsumer, BatchLimits, OutRecord, Refused, Subscription};
use carillon_domain::{TenantId, compiled::CompiledCatalog};
use carillon_runtime::{
    Fair, Limited, Shutdown,
    panics::{self, catch},
};

use crate::{
    SourceError, SourceTopic, SourcesDeps,
    convert::{Converter, RecordOutcome, Unconverted},
};

/// The interval at which a catalog without rules for the topic is looked at again.
const LOOK_FOR_RULES: Duration = Duration::from_secs(1);
/// Pauses between two tries of a batch that failed.
const BACKOFF: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(3),
];
/// The pause before the consumer joins again after an error that a repetition of the call does not mend.
const JOIN_AGAIN: Duration = Duration::from_secs(5);
/// The limits of a batch. An event is about as large as its record, and both fit into one transaction.
const LIMITS: BatchLimits = BatchLimits {
    max_records: 500,
    max_bytes: 4 << 20,
    linger: Duration::ZERO,
};

/// Reads one topic.
pub(crate) struct SourceReader {
    deps: SourcesDeps,
    topic: Arc<str>,
    tenant: TenantId,
    group: String,
    /// Limits the log to one line a minute for each subject.
    complaints: Limited,
}

/// Why reading ended without an error.
enum Ended {
    Shutdown,
    /// The catalog has no rules for the topic any more.
    NoRules,
}

impl SourceReader {
    pub(crate) fn new(deps: SourcesDeps, source: &SourceTopic) -> Self {
        Self {
            group: deps.bus.topics().source_group(&source.topic),
            topic: Arc::from(source.topic.as_str()),
            tenant: source.tenant.clone(),
            deps,
            complaints: Limited::default(),
        }
    }

    /// Keeps the metrics of the group current until the shutdown.
    pub(crate) async fn report_lag(&self, shutdown: Shutdown) {
        let ready = self.deps.ready.clone();
        self.deps
            .bus
            .report_lag(self.group.clone(), ready, shutdown)
            .await;
    }

    /// Reads until the shutdown. A topic without rules is not read, so that its records wait for them.
    pub(crate) async fn run(&self, shutdown: &Shutdown) {
        while !shutdown.soft.is_cancelled() {
            let pause = match self.rules().await {
                Ok(None) => {
                    self.note(Some(format!(
                        "{} is not read: the catalog of {} has no rules for it",
                        self.topic, self.tenant
                    )));
                    LOOK_FOR_RULES
                }
                Ok(Some(_)) => match self.read(shutdown).await {
                    Ok(Ended::Shutdown) => return,
                    Ok(Ended::NoRules) => continue,
                    Err(error) => {
                        self.complain(&error, "a source is not read; its consumer joins again");
                        self.note(Some(format!("{} is not read: {error}", self.topic)));
                        JOIN_AGAIN
                    }
                },
                Err(error) => {
                    self.complain(&error, "the rules of a source are not known");
                    LOOK_FOR_RULES
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.soft() => return,
            }
        }
    }

    /// The catalog, if it has rules for the topic.
    async fn rules(&self) -> Result<Option<Arc<CompiledCatalog>>, SourceError> {
        let catalog = self.deps.catalogs.get(&self.tenant).await?;
        Ok(catalog.filter(|catalog| catalog.catalog().sources.contains_key(&*self.topic)))
    }

    /// Reads batch by batch. A batch that fails is read again; no record is skipped.
    async fn read(&self, shutdown: &Shutdown) -> Result<Ended, SourceError> {
        let subscription = Subscription {
            group: self.group.clone(),
            topics: vec![Arc::clone(&self.topic)],
        };
        let mut consumer = self.deps.bus.subscribe(&subscription)?;
        self.note(None);
        let (mut failures, mut refused) = (0, Refused::default());
        loop {
            let batch = tokio::select! {
                batch = consumer.next(&LIMITS) => batch,
                () = shutdown.soft() => return Ok(Ended::Shutdown),
            };
            // A step that was begun is awaited: an abandoned commit could end after the partition's next owner has begun
            // to read.
            let step = async {
                match batch {
                    Ok(batch) => self.step(&mut consumer, &batch, &mut refused).await,
                    Err(error) => Err(error.into()),
                }
            };
            let step = tokio::select! {
                step = step => step,
                () = shutdown.hard() => return Ok(Ended::Shutdown),
            };
            let error = match step {
                Ok(true) => {
                    failures = 0;
                    continue;
                }
                Ok(false) => return Ok(Ended::NoRules),
                Err(error) => error,
            };
            if !error.is_retriable(&mut refused) {
                return Err(error);
            }
            self.complain(&error, "a batch of a source is read again");
            tokio::select! {
                () = tokio::time::sleep(BACKOFF[failures.min(BACKOFF.len() - 1)]) => {}
                () = shutdown.soft() => return Ok(Ended::Shutdown),
            }
            failures += 1;
            match consumer.rewind().await {
                // The consumer rewinds before its next record.
                Err(error) if error.is_retriable() => {
                    tracing::warn!(topic = %self.topic, %error, "the consumer was not rewound yet; trying again");
                }
                rewound => rewound?,
            }
        }
    }

    /// Converts and commits a batch; returns whether there were rules for it.
    async fn step(
        &self,
        consumer: &mut BatchConsumer,
        batch: &Batch,
        refused: &mut Refused,
    ) -> Result<bool, SourceError> {
        let Some(catalog) = self.rules().await? else {
            return Ok(false);
        };
        let Some(def) = catalog.catalog().sources.get(&*self.topic) else {
            return Ok(false);
        };
        let converter = Converter {
            topics: self.deps.bus.topics(),
            tenant: &self.tenant,
            catalog: &catalog,
            def,
            now: self.deps.clock.now(),
        };
        let mut out: Vec<OutRecord> = Vec::new();
        let mut outcomes: HashMap<RecordOutcome, u64> = HashMap::new();
        let mut fair = Fair::default();
        for record in &batch.records {
            let before = out.len();
            let converting = catch(panics::role(), async {
                converter.convert(record, refused, &mut out)
            });
            let outcome = match converting.await {
                Ok(outcome) => outcome,
                Err(panic) => {
                    out.truncate(before);
                    out.push(converter.bury(record, &Unconverted::of_panic(&panic), refused));
                    RecordOutcome::DeadLetter
                }
            };
            if outcome == RecordOutcome::DeadLetter
                && let Some(left_out) = self.complaints.admit("dead letter")
            {
                tracing::warn!(topic = %record.topic, partition = record.partition, offset = record.offset, left_out,
                    "a record of a source could not be converted; it is a dead letter of the events");
            }
            *outcomes.entry(outcome).or_default() += 1;
            fair.step().await;
        }
        consumer.commit_with(batch, out).await?;
        refused.committed();
        for (outcome, records) in outcomes {
            let labels = [
                ("topic", self.topic.to_string()),
                ("outcome", outcome.as_str().to_owned()),
            ];
            metrics::counter!("carillon_source_records_total", &labels).increment(records);
        }
        Ok(true)
    }

    fn note(&self, note: Option<String>) {
        self.deps.ready.note(&format!("source {}", self.topic), note);
    }

    fn complain(&self, error: &SourceError, what: &'static str) {
        if let Some(left_out) = self.complaints.admit(what) {
            tracing::warn!(topic = %self.topic, error = error as &dyn std::error::Error, left_out, "{what}");
        }
    }
}

impl SourceError {
    /// Whether the same batch may pass later, or in another way after a topic has refused a record for its size.
    fn is_retriable(&self, refused: &mut Refused) -> bool {
        match self {
            Self::Bus(error) => refused.learns_from(error) || error.is_retriable(),
            Self::Store(_) => true,
        }
    }
}
