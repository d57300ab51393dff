//! A run: set up, load and faults, quiet, checks.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use carillon_domain::{Clock as _, SystemClock, Timestamp, clock::later};
use carillon_testkit::installation::{Installation, Setup};
use chrono::SubsecRound as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    api::Api,
    args::Args,
    console::Console,
    events::{is_quiet, profile, user_id},
    house::{House, ROLES},
    load::{Door, Journal, run_client},
    plan::{Plan, USERS},
    probe, providers,
    recoveries::Strikes,
    services::{self, Services},
    strike::Striker,
    verify,
};

/// The time within which all deliveries have to end after the last post.
const QUIET: Duration = Duration::from_mins(3);
/// The longest time for which event sources repeat their posts after the planned length of the run.
const PATIENCE: Duration = Duration::from_mins(2);

/// The length of a digest's window.
const DIGEST: Duration = Duration::from_secs(15);
/// The time after which all processes know a new catalog.
const CATALOG_KNOWN: Duration = Duration::from_secs(3);

/// The days of quiet hours.
const WEEK: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Runs the suite; returns the violations.
pub(crate) async fn run(args: &Args, seed: u64) -> anyhow::Result<Vec<String>> {
    let plan = Plan::draw(seed, args.backend, args.length(), args.rate);
    println!(
        "{} events by {} clients and {} faults in {} s",
        plan.events(),
        plan.clients.len(),
        plan.faults.len(),
        args.length().as_secs()
    );
    let binary = args.binary()?;
    let mut stage = Stage::set(args, binary).await?;
    let ended = tokio::select! {
        ended = stage.play(plan, seed) => ended,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match &ended {
        Ok(violations) if violations.is_empty() => {}
        _ => stage.keep(),
    }
    ended
}

/// The parts of a run.
struct Stage {
    house: House,
    services: Option<Arc<Services>>,
    api: Api,
    door: Door,
    console: Console,
    /// The end of the quiet hours of some users.
    quiet_until: Timestamp,
    /// A copy of the binary, so that a build meanwhile does not change the binary that is started again.
    _binary: tempfile::TempDir,
}

impl Stage {
    async fn set(args: &Args, binary: PathBuf) -> anyhow::Result<Self> {
        let copy = tempfile::Builder::new()
            .prefix("carillon-e2e-binary-")
            .tempdir()?;
        let own = copy.path().join("carillon");
        std::fs::copy(&binary, &own).with_context(|| binary.display().to_string())?;
        let services = if args.backend.is_real() {
            services::check()?;
            println!("starting Kafka, PostgreSQL and Redis");
            Some(Arc::new(Services::start().await?))
        } else {
            None
        };
        let addresses = services.as_ref().map(|services| services.addresses());
        let brokers = addresses.as_ref().map(|addresses| addresses.brokers.clone());
        let setup = Setup {
            binary: own,
            services: addresses,
            roles: ROLES,
            settings: Vec::new(),
            dev_args: &[],
        };
        let installation = Installation::start(setup).await;
        let api = Api::new(&installation.url, &installation.simulator, &installation.key)?;
        let door = match brokers {
            Some(brokers) => Door::with_kafka(api.clone(), brokers, &installation.prefix).await?,
            None => Door::http(api.clone()),
        };
        let quiet_until = minute_after(later(SystemClock.now(), args.length() / 2));
        put_catalog(&api).await?;
        put_users(&api, quiet_until).await?;
        let console = Console::begin();
        Ok(Self {
            house: House::new(installation, api.http().clone(), console),
            services,
            api,
            door,
            console,
            quiet_until,
            _binary: copy,
        })
    }

    async fn play(&mut self, plan: Plan, seed: u64) -> anyhow::Result<Vec<String>> {
        self.console = Console::begin();
        let (journal, strikes) = (Arc::new(Journal::default()), Arc::new(Strikes::default()));
        let (house, api) = (self.house.clone(), self.api.clone());
        let supervisor = tokio::spawn(async move { house.supervise().await });
        let misbehaviour = tokio::spawn(async move { providers::misbehave(&api, seed).await });
        let faults = Striker {
            house: self.house.clone(),
            services: self.services.clone(),
            api: self.api.clone(),
            journal: Arc::clone(&journal),
            strikes: Arc::clone(&strikes),
            console: self.console,
        };
        let mut clients = JoinSet::new();
        let length = plan
            .faults
            .iter()
            .map(|fault| fault.at + fault.lasts)
            .max()
            .unwrap_or_default();
        for posts in plan.clients {
            clients.spawn(run_client(
                self.door.clone(),
                posts,
                Arc::clone(&journal),
                self.console,
            ));
        }
        let mut violations = faults.run(plan.faults).await;
        let posted = tokio::time::timeout_at(self.console.at(length) + PATIENCE, clients.join_all()).await;
        if posted.is_err() {
            violations.push(format!(
                "sources still try {} s after the last fault",
                PATIENCE.as_secs()
            ));
        }
        misbehaviour.abort();
        providers::behave(&self.api)
            .await
            .context("the simulator does not answer")?;
        self.console
            .say("faults are over, every event is posted; waiting until everything has ended");
        violations.extend(verify::quiet(&self.api, &journal, QUIET, self.console).await);
        violations.extend(self.house.deaths());
        supervisor.abort();
        for line in strikes.summary() {
            println!("  recovery  {line}");
        }
        let (strikes, quiet_until) = (strikes.all(), self.quiet_until);
        violations.extend(verify::check(&self.api, &journal, &strikes, quiet_until, self.console).await?);
        Ok(violations)
    }

    /// Keeps the files that may explain a failure.
    fn keep(&mut self) {
        println!("logs: {}", self.house.keep().display());
        if let Some(services) = self.services.as_mut().and_then(Arc::get_mut) {
            services.keep();
            println!("logs of the services: {}", services.dir().display());
        }
    }
}

/// The first full minute from a time on: quiet hours have no seconds.
fn minute_after(at: Timestamp) -> Timestamp {
    let seconds = 60 - at.timestamp().rem_euclid(60);
    later(at, Duration::from_secs(seconds.unsigned_abs())).trunc_subsecs(0)
}

/// Sets digests of short windows, and sends price drops that are over the limit on another channel.
async fn put_catalog(api: &Api) -> anyhow::Result<()> {
    let mut catalog: Value = api.get("/v1/catalog").await?;
    catalog["categories"]["wishlist"]["digest"] =
        json!({"type": "WishlistDigest", "every": format!("{}s", DIGEST.as_secs()), "max": 500});
    let mut over_limit = catalog["categories"]["marketing"].clone();
    over_limit["overflow"] = json!("downgrade");
    catalog["categories"]["price-drops"] = over_limit;
    catalog["types"]["PriceDrop"]["category"] = json!("price-drops");
    api.put("/v1/catalog", &catalog).await?;
    // Then all processes know it.
    tokio::time::sleep(CATALOG_KNOWN).await;
    Ok(())
}

/// Creates all users with all their addresses. Those of the load have opted in to price drops; some have quiet hours, which
/// began some hours ago.
async fn put_users(api: &Api, quiet_until: Timestamp) -> anyhow::Result<()> {
    let began = quiet_until - Duration::from_hours(6);
    let quiet = json!([{"days": WEEK, "from": began.format("%H:%M").to_string(), "to": quiet_until.format("%H:%M").to_string()}]);

    let users: Vec<usize> = (0..USERS).chain(probe::users()).collect();
    for some in users.chunks(16) {
        let quiet = &quiet;
        let puts = some.iter().map(|user| async move {
            let path = format!("/v1/users/{}", user_id(*user));
            api.put(&path, &profile(*user)).await?;
            let mut wants = json!({"categories": {"price-drops": {"push": true, "email": true}}});
            if is_quiet(*user) {
                wants["quiet_hours"].clone_from(quiet);
            }
            api.put(&format!("{path}/preferences"), &wants).await
        });
        futures::future::try_join_all(puts).await?;
    }
    Ok(())
}
