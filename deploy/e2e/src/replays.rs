//! The replay suite: very many dead letters are put back while the process that does it is killed by SIGKILL, again and
//! again. Afterwards each has gone out exactly once: one verdict for each letter, generation 1 of each delivery, one message
//! at the provider, and both differences of the auditor are 0.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use carillon_testkit::installation::{Installation, Setup};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    api::Api,
    args::{Args, ReplayArgs},
    console::Console,
    house::ROLES,
    services::{self, Services},
};

/// The events of one post.
const BATCH: usize = 500;
/// The interval of looks at the progress.
const LOOK: Duration = Duration::from_millis(200);
/// The longest time of each part of a run, besides a time for each letter.
const PATIENCE: Duration = Duration::from_mins(3);
const PER_LETTER: Duration = Duration::from_millis(60);
/// The schedulers of a distributed installation.
const SCHEDULERS: [&str; 2] = ["scheduler-1", "scheduler-2"];

#[derive(Debug, Deserialize)]
struct Stats {
    acknowledged: u64,
    pending: u64,
    waiting: u64,
    events_difference: i64,
    deliveries_difference: i64,
}

#[derive(Debug, Deserialize)]
struct Letter {
    id: String,
    state: String,
    verdict: Option<Verdict>,
}

#[derive(Debug, Deserialize)]
struct Verdict {
    job_id: String,
}

#[derive(Debug, Deserialize)]
struct Delivery {
    id: String,
    status: String,
    generation: u32,
}

#[derive(Debug, Deserialize)]
struct Message {
    delivery_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Job {
    state: String,
    total: u64,
    processed: u64,
    settled: u64,
    skipped: u64,
    error: Option<String>,
}

/// A run of the suite.
struct Run {
    installation: Installation,
    /// Kept until the end of the run.
    services: Option<Arc<Services>>,
    api: Api,
    letters: usize,
    console: Console,
}

/// Runs the suite; returns the violations.
pub(crate) async fn run(args: &Args, asked: &ReplayArgs, seed: u64) -> anyhow::Result<Vec<String>> {
    let mut run = Run::set(args, asked.letters).await?;
    let ended = run.play(asked.kills, seed).await;
    if !ended.as_ref().is_ok_and(Vec::is_empty) {
        run.installation.keep_dir();
        println!("logs: {}", run.installation.dir().display());
    }
    ended
}

impl Run {
    async fn set(args: &Args, letters: usize) -> anyhow::Result<Self> {
        let services = if args.backend.is_real() {
            services::check()?;
            println!("starting Kafka, PostgreSQL and Redis");
            Some(Arc::new(Services::start().await?))
        } else {
            None
        };
        let installation = Installation::start(Setup {
            binary: args.binary()?,
            services: services.as_ref().map(|services| services.addresses()),
            roles: ROLES,
            settings: Vec::new(),
            dev_args: &[],
        })
        .await;
        let api = Api::new(&installation.url, &installation.simulator, &installation.key)?;
        Ok(Self {
            installation,
            services,
            api,
            letters,
            console: Console::begin(),
        })
    }

    async fn play(&mut self, kills: usize, seed: u64) -> anyhow::Result<Vec<String>> {
        self.bury().await?;
        let job = self.replay(kills, seed).await?;
        self.verify(&job).await
    }

    /// The longest time of a part of the run.
    fn limit(&self) -> Duration {
        PATIENCE + PER_LETTER * u32::try_from(self.letters).unwrap_or(u32::MAX)
    }

    /// Posts events whose text messages the provider refuses for good, and waits for their dead letters.
    async fn bury(&self) -> anyhow::Result<()> {
        let refused = json!([{"provider": "twilio", "percent": 100, "status": 400, "code": "21617"}]);
        self.api.put_faults(1, &refused).await?;
        let numbers: Vec<usize> = (0..self.letters).collect();
        for some in numbers.chunks(BATCH) {
            let events: Vec<Value> = some.iter().map(|number| text_message(*number)).collect();
            let body = Value::Array(events);
            self.until("the events are accepted", async || {
                // An event that was accepted before is a duplicate, and counts once.
                let answer = self.api.post(&body).await;
                answer.is_ok_and(|answer| answer.status.is_success())
            })
            .await?;
        }
        self.until("each message is a dead letter", async || {
            self.open().await.is_ok_and(|open| open >= self.letters as u64)
        })
        .await?;
        self.settled().await?;
        let open = self.open().await?;
        anyhow::ensure!(
            open == self.letters as u64,
            "{open} dead letters of {} messages",
            self.letters
        );
        self.api.clear_faults().await?;
        self.console.say(format!("{open} dead letters"));
        Ok(())
    }

    async fn open(&self) -> anyhow::Result<u64> {
        let groups: Value = self.api.get("/v1/dlq/groups").await?;
        let groups = groups["items"].as_array().into_iter().flatten();
        Ok(groups.filter_map(|group| group["open"].as_u64()).sum())
    }

    /// Replays all letters, and kills the process that does it at random times. Returns the job's path.
    async fn replay(&mut self, kills: usize, seed: u64) -> anyhow::Result<String> {
        let mut random = StdRng::seed_from_u64(seed);
        let is_embedded = self.services.is_none();
        if is_embedded {
            // The one process also sends. Without workers a kill hits the replay alone.
            self.installation.restart_dev_with(&["--without", "worker"]);
        }
        let groups: Value = self.api.get("/v1/dlq/groups").await?;
        let cause = &groups["items"][0]["fingerprint"];
        // So slow that the kills spread over the whole job.
        let rate = (self.letters / (kills + 1)).clamp(1, 10_000);
        let body = json!({"fingerprint": cause, "note": "the replay suite", "rate": rate});
        let made = self.api.send("/v1/dlq/replay", &body).await?;
        let path = made["status_url"].as_str().context("a job")?.to_owned();
        let mut killed = 0;
        let deadline = Instant::now() + self.limit();
        loop {
            anyhow::ensure!(
                Instant::now() < deadline,
                "the job does not end: {:?}",
                self.job(&path).await
            );
            let job = self.job(&path).await;
            if job.as_ref().is_ok_and(|job| job.state != "running") {
                break;
            }
            if killed < kills {
                // Between two looks at the progress, so that kills hit any part of a step.
                tokio::time::sleep(Duration::from_millis(random.random_range(20..700))).await;
                if is_embedded {
                    self.installation.restart_dev_with(&["--without", "worker"]);
                } else {
                    let name = SCHEDULERS[killed % SCHEDULERS.len()];
                    self.installation.kill(name);
                    self.installation.start_role(name);
                }
                killed += 1;
            } else {
                tokio::time::sleep(LOOK).await;
            }
        }
        self.console.say(format!(
            "the job has ended; its process was killed {killed} times"
        ));
        anyhow::ensure!(
            killed > 0 || kills == 0,
            "the job ended before the first kill: more letters are needed"
        );
        if is_embedded {
            self.installation.restart_dev_with(&[]);
        }
        Ok(path)
    }

    async fn job(&self, path: &str) -> anyhow::Result<Job> {
        self.api.get(path).await
    }

    /// Waits until all deliveries have ended and the auditor's books balance.
    async fn settled(&self) -> anyhow::Result<()> {
        let accepted = self.letters as u64;
        self.until("everything has ended and the books balance", async || {
            let stats: anyhow::Result<Stats> = self.api.get("/v1/stats").await;
            stats.is_ok_and(|stats| {
                stats.acknowledged >= accepted
                    && stats.pending == 0
                    && stats.waiting == 0
                    && stats.events_difference == 0
                    && stats.deliveries_difference == 0
            })
        })
        .await
    }

    async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) -> anyhow::Result<()> {
        let waited = tokio::time::timeout(self.limit(), async {
            while !holds().await {
                tokio::time::sleep(LOOK).await;
            }
        });
        let stats: anyhow::Result<Value> = match waited.await {
            Ok(()) => return Ok(()),
            Err(_) => self.api.get("/v1/stats").await,
        };
        anyhow::bail!(
            "not within {} s: {what}; stats: {stats:?}",
            self.limit().as_secs()
        )
    }

    async fn verify(&self, path: &str) -> anyhow::Result<Vec<String>> {
        self.until("each message has arrived", async || {
            let all: anyhow::Result<Vec<Message>> = self.api.simulated_list("/v1/messages").await;
            all.is_ok_and(|all| all.len() >= self.letters)
        })
        .await?;
        self.settled().await?;
        self.until("no letter is open", async || {
            self.open().await.is_ok_and(|open| open == 0)
        })
        .await?;
        let evidence = Evidence {
            letters: self.api.list("/v1/dlq").await?,
            deliveries: self.api.list("/v1/deliveries").await?,
            messages: self.api.simulated_list("/v1/messages").await?,
            job: self.job(path).await?,
            job_id: path.rsplit('/').next().unwrap_or_default().to_owned(),
            expected: self.letters,
        };
        let stats: Value = self.api.get("/v1/stats").await?;
        self.console.say(format!(
            "{} letters, {} deliveries, {} messages; differences {} and {}",
            evidence.letters.len(),
            evidence.deliveries.len(),
            evidence.messages.len(),
            stats["events_difference"],
            stats["deliveries_difference"]
        ));
        Ok(evidence.violations())
    }
}

/// An event with one text message.
fn text_message(number: usize) -> Value {
    json!({"id": format!("replayed-{number}"), "source": "/replays", "type": "OrderShipped", "channels": ["sms"],
        "recipients": [{"phone": format!("+49151{:08}", 10_000_000 + number)}],
        "data": {"order_id": number.to_string(), "carrier": "DHL"}})
}

/// The evidence of a run.
struct Evidence {
    letters: Vec<Letter>,
    deliveries: Vec<Delivery>,
    messages: Vec<Message>,
    job: Job,
    job_id: String,
    expected: usize,
}

impl Evidence {
    fn violations(&self) -> Vec<String> {
        let mut violations = Vec::new();
        let expected = self.expected as u64;
        let job = &self.job;
        let counts = (job.total, job.processed, job.settled, job.skipped);
        if job.state != "done" || counts != (expected, expected, expected, 0) {
            let error = job.error.as_deref().unwrap_or("none");
            violations.push(format!(
                "the job did not settle each letter: {job:?}, error: {error}"
            ));
        }
        for (what, count) in [
            ("letters", self.letters.len()),
            ("deliveries", self.deliveries.len()),
            ("messages", self.messages.len()),
        ] {
            if count != self.expected {
                violations.push(format!("{count} {what}, and {} were expected", self.expected));
            }
        }
        for letter in &self.letters {
            let by = letter.verdict.as_ref().map(|verdict| &*verdict.job_id);
            if letter.state != "replayed" || by != Some(&*self.job_id) {
                violations.push(format!("letter {} is {}, by {by:?}", letter.id, letter.state));
            }
        }
        let mut arrived: BTreeMap<&str, usize> = BTreeMap::new();
        for message in &self.messages {
            *arrived
                .entry(message.delivery_id.as_deref().unwrap_or_default())
                .or_default() += 1;
        }
        let known: HashSet<&str> = self.deliveries.iter().map(|delivery| &*delivery.id).collect();
        for delivery in &self.deliveries {
            let count = arrived.get(&*delivery.id).copied().unwrap_or(0);
            if (delivery.generation, count) != (1, 1) || !["sent", "delivered"].contains(&&*delivery.status) {
                violations.push(format!(
                    "delivery {} is {}, generation {}, and arrived {count} times",
                    delivery.id, delivery.status, delivery.generation
                ));
            }
        }
        let strangers = arrived.keys().filter(|id| !known.contains(**id));
        violations.extend(strangers.map(|id| format!("a message of the unknown delivery {id:?}")));
        violations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence() -> Evidence {
        let id = |number: usize| format!("d-{number}");
        Evidence {
            letters: (0..3)
                .map(|number| Letter {
                    id: id(number),
                    state: "replayed".to_owned(),
                    verdict: Some(Verdict {
                        job_id: "j".to_owned(),
                    }),
                })
                .collect(),
            deliveries: (0..3)
                .map(|number| Delivery {
                    id: id(number),
                    status: "sent".to_owned(),
                    generation: 1,
                })
                .collect(),
            messages: (0..3)
                .map(|number| Message {
                    delivery_id: Some(id(number)),
                })
                .collect(),
            job: Job {
                state: "done".to_owned(),
                total: 3,
                processed: 3,
                settled: 3,
                skipped: 0,
                error: None,
            },
            job_id: "j".to_owned(),
            expected: 3,
        }
    }

    #[test]
    fn lost_and_doubled_messages_and_replays_by_another_job_are_found() {
        assert!(evidence().violations().is_empty());
        let broken: [fn(&mut Evidence); 8] = [
            |evidence| drop(evidence.messages.pop()),
            |evidence| {
                evidence.messages.push(Message {
                    delivery_id: Some("d-1".to_owned()),
                });
            },
            |evidence| evidence.messages[0].delivery_id = None,
            |evidence| evidence.deliveries[0].generation = 2,
            |evidence| evidence.deliveries[0].status = "dead_lettered".to_owned(),
            |evidence| evidence.letters[0].verdict = None,
            |evidence| evidence.letters[0].state = "open".to_owned(),
            |evidence| evidence.job.settled = 2,
        ];
        for (number, breaks) in broken.into_iter().enumerate() {
            let mut found = evidence();
            breaks(&mut found);
            assert!(!found.violations().is_empty(), "{number}");
        }
    }
}
