//! The outcome suite: deliveries over six providers, each of which fails in every way for a share of the messages. Afterwards every delivery
//! has ended as it has to, the books balance, no `Retry-After` was undercut, no account was parked, and each message that arrived twice says
//! `uncertain`.

mod answers;
mod judge;
mod stage;

use std::time::Duration;

use carillon_testkit::installation::{Installation, Setup};
use futures::StreamExt as _;
use serde_json::Value;

use self::{
    answers::{Delivery, Duplicate, Message, Shown, Stats},
    judge::Evidence,
};
use crate::{
    api::Api,
    args::{Args, OutcomeArgs},
    console::Console,
    house::ROLES,
    services::{self, Services},
};

/// The events of one post.
const BATCH: usize = 250;
/// The most requests at the same time.
const AT_ONCE: usize = 16;
/// The interval of looks at the progress.
const LOOK: Duration = Duration::from_millis(500);
/// The longest time of a run, besides a time for each delivery.
const PATIENCE: Duration = Duration::from_mins(5);
const PER_DELIVERY: Duration = Duration::from_millis(60);

/// Runs the suite; returns the violations.
pub(crate) async fn run(args: &Args, asked: &OutcomeArgs, seed: u64) -> anyhow::Result<Vec<String>> {
    let services = if args.backend.is_real() {
        services::check()?;
        println!("starting Kafka, PostgreSQL and Redis");
        Some(Services::start().await?)
    } else {
        None
    };
    let mut installation = Installation::start(Setup {
        binary: args.binary()?,
        services: services.as_ref().map(Services::addresses),
        roles: ROLES,
        settings: stage::settings(args.backend.is_real()),
        dev_args: &[],
    })
    .await;
    let api = Api::new(&installation.url, &installation.simulator, &installation.key)?;
    let run = Run {
        api,
        // A user has three deliveries.
        users: asked.deliveries.div_ceil(3),
        console: Console::begin(),
    };
    let ended = run.play(&installation, seed).await;
    if !ended.as_ref().is_ok_and(Vec::is_empty) {
        installation.keep_dir();
        println!("logs: {}", installation.dir().display());
    }
    ended
}

/// A run of the suite.
struct Run {
    api: Api,
    users: usize,
    console: Console,
}

impl Run {
    async fn play(&self, installation: &Installation, seed: u64) -> anyhow::Result<Vec<String>> {
        self.put_users().await?;
        self.api.put_faults(seed, &stage::faults()).await?;
        self.post_events().await?;
        self.console
            .say(format!("{} deliveries are asked for", self.users * 3));
        self.until_ended().await?;
        let evidence = self.gather(installation).await?;
        for line in evidence.story() {
            self.console.say(line);
        }
        Ok(evidence.violations())
    }

    async fn put_users(&self) -> anyhow::Result<()> {
        let puts = futures::stream::iter(0..self.users).map(|user| async move {
            let path = format!("/v1/users/{}", stage::user_id(user));
            self.api.put(&path, &stage::profile(user)).await
        });
        let mut puts = puts.buffer_unordered(AT_ONCE);
        while let Some(put) = puts.next().await {
            put?;
        }
        self.console.say(format!("{} users", self.users));
        Ok(())
    }

    async fn post_events(&self) -> anyhow::Result<()> {
        let users: Vec<usize> = (0..self.users).collect();
        for some in users.chunks(BATCH) {
            let body = Value::Array(some.iter().map(|user| stage::event(*user)).collect());
            self.until("the events are accepted", async || {
                // An event that was accepted before is a duplicate, and counts once.
                let answer = self.api.post(&body).await;
                answer.is_ok_and(|answer| answer.status.is_success())
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until each delivery has ended, and the reports about those that are reported have come.
    async fn until_ended(&self) -> anyhow::Result<()> {
        let accepted = self.users as u64;
        self.until("everything has ended and the books balance", async || {
            let stats: anyhow::Result<Stats> = self.api.get("/v1/stats").await;
            stats.is_ok_and(|stats| stats.is_quiet(accepted))
        })
        .await?;
        self.console
            .say("all have ended; the reports of their fates follow");
        self.until("each message is reported", async || {
            let deliveries: anyhow::Result<Vec<Delivery>> = self.api.list("/v1/deliveries").await;
            deliveries.is_ok_and(|deliveries| deliveries.iter().all(|delivery| !delivery.waits_for_report()))
        })
        .await
    }

    async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) -> anyhow::Result<()> {
        let deliveries = u32::try_from(self.users * 3).unwrap_or(u32::MAX);
        let limit = PATIENCE + PER_DELIVERY * deliveries;
        let waited = tokio::time::timeout(limit, async {
            while !holds().await {
                tokio::time::sleep(LOOK).await;
            }
        });
        if waited.await.is_ok() {
            return Ok(());
        }
        let stats: anyhow::Result<Value> = self.api.get("/v1/stats").await;
        anyhow::bail!("not within {} s: {what}; stats: {stats:?}", limit.as_secs())
    }

    async fn gather(&self, installation: &Installation) -> anyhow::Result<Evidence> {
        let deliveries: Vec<Delivery> = self.api.list("/v1/deliveries").await?;
        let shown: Vec<anyhow::Result<(String, Shown)>> = futures::stream::iter(&deliveries)
            .map(|delivery| async move {
                let shown = self.api.get(&format!("/v1/deliveries/{}", delivery.id)).await?;
                Ok((delivery.id.clone(), shown))
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let messages: Vec<Message> = self.api.simulated_list("/v1/messages").await?;
        let duplicates: Vec<Duplicate> = self.api.simulated_list("/v1/duplicates").await?;
        Ok(Evidence {
            expected: self.users * 3,
            deliveries,
            timelines: shown
                .into_iter()
                .map(|one| one.map(|(id, shown)| (id, shown.timeline)))
                .collect::<anyhow::Result<_>>()?,
            messages,
            duplicates,
            stats: self.api.get("/v1/stats").await?,
            parks: parks(installation)?,
        })
    }
}

/// The lines of the logs about parked accounts.
fn parks(installation: &Installation) -> anyhow::Result<Vec<String>> {
    let mut parks = Vec::new();
    for entry in std::fs::read_dir(installation.dir())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let text = std::fs::read_to_string(&path)?;
            let lines = text
                .lines()
                .filter(|line| line.contains("the provider account is parked"));
            parks.extend(lines.map(str::to_owned));
        }
    }
    Ok(parks)
}
