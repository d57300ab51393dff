//! Checks during an attack: health, another tenant's one-time passwords, and memory.

use std::{
    fmt::{self, Display},
    fs::File,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use carillon_runtime::http::{ClientOptions, client};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::stage::Stage;
use crate::api::Api;

/// The time within which `/healthz` must answer.
const HEALTHY: Duration = Duration::from_millis(500);
/// The time within which a one-time password must arrive, from its post on.
const DELIVERED: Duration = Duration::from_secs(2);
/// The most memory of a process, in bytes.
const MEMORY: u64 = 500_000_000;
/// The longest sync of a disk that does not stall. A disk shared with other machines sometimes stalls for seconds.
const SYNCED: Duration = Duration::from_secs(1);
/// The time between two checks, and between two passwords.
const LOOK: Duration = Duration::from_millis(100);
const PASSWORD: Duration = Duration::from_millis(700);
/// The number of passwords that are sent at once after a start. Keys fall on partitions at random: with 24, each of six
/// partitions has at least one in 12 of 13 tries.
const SETTLING: usize = 24;
/// The longest wait for a password.
const GIVEN_UP: Duration = Duration::from_secs(30);

/// The checks during one attack.
pub(super) struct Guard {
    /// Each health check opens a connection of its own, as a load balancer does.
    http: reqwest::Client,
    health: Vec<(&'static str, String)>,
    processes: Vec<(&'static str, i32)>,
    victim: Api,
    /// The folder whose disk is watched.
    folder: PathBuf,
    slack: f64,
}

/// The observations during one attack.
pub(super) struct Seen {
    /// The slowest answer of `/healthz`, and its process.
    health: (Duration, &'static str),
    /// The slowest one-time password, and the time of its post after the attack's begin.
    password: (Duration, Duration),
    passwords: usize,
    /// The most memory, and its process.
    memory: (u64, &'static str),
    /// The slowest sync of a small file on the same disk.
    disk: Duration,
    /// Answers other than `200`, and requests without an answer.
    failures: Vec<String>,
    slack: f64,
}

impl Guard {
    pub(super) fn new(stage: &mut Stage, slack: f64) -> anyhow::Result<Self> {
        let options = ClientOptions {
            connect_timeout: Duration::from_secs(10),
            request_timeout: GIVEN_UP,
            pool_idle_per_host: 0,
            resolver: None,
        };
        Ok(Self {
            http: client(&options)?,
            health: stage.health_urls(),
            processes: stage.processes(),
            victim: stage.victim(),
            folder: stage.folder(),
            slack,
        })
    }

    /// Watches for `length`, and then until the last password has arrived.
    pub(super) async fn watch(self, length: Duration) -> Seen {
        let until = Instant::now() + length;
        let (health, passwords, memory, disk) = futures::join!(
            self.health(until),
            self.passwords(until),
            self.memory(until),
            self.disk(until)
        );
        let mut failures = health.1;
        failures.extend(passwords.2);
        failures.extend(memory.1);
        let disk = disk.unwrap_or_else(|error| {
            failures.push(format!("the disk could not be watched: {error:#}"));
            Duration::ZERO
        });
        Seen {
            health: health.0,
            password: passwords.0,
            passwords: passwords.1,
            memory: memory.0,
            disk,
            failures,
            slack: self.slack,
        }
    }

    async fn health(&self, until: Instant) -> ((Duration, &'static str), Vec<String>) {
        let look = |name: &'static str, url: &str| {
            let request = self.http.get(url);
            async move {
                let asked = Instant::now();
                let answer = request.send().await;
                let failure = match answer {
                    Ok(answer) if answer.status().is_success() => None,
                    Ok(answer) => Some(format!("/healthz of {name} answered {}", answer.status())),
                    Err(error) => Some(format!("/healthz of {name} did not answer: {error}")),
                };
                ((asked.elapsed(), name), failure)
            }
        };
        let (mut slowest, mut failures) = ((Duration::ZERO, ""), Vec::new());
        while Instant::now() < until {
            let looks = self.health.iter().map(|(name, url)| look(name, url));
            for (took, failure) in futures::future::join_all(looks).await {
                slowest = slowest.max(took);
                failures.extend(failure);
            }
            tokio::time::sleep(LOOK).await;
        }
        (slowest, failures)
    }

    async fn passwords(&self, until: Instant) -> ((Duration, Duration), usize, Vec<String>) {
        let begin = Instant::now();
        let mut waiting = Vec::new();
        while Instant::now() < until {
            let victim = self.victim.clone();
            let posted = begin.elapsed();
            waiting.push((posted, tokio::spawn(async move { password(&victim).await })));
            tokio::time::sleep(PASSWORD).await;
        }
        let count = waiting.len();
        let (mut slowest, mut failures) = ((Duration::ZERO, Duration::ZERO), Vec::new());
        for (posted, arrived) in waiting {
            match arrived.await {
                Ok(Ok(took)) => slowest = slowest.max((took, posted)),
                Ok(Err(error)) => failures.push(format!("a one-time password: {error:#}")),
                Err(error) => failures.push(format!("a one-time password: {error}")),
            }
        }
        (slowest, count, failures)
    }

    async fn memory(&self, until: Instant) -> ((u64, &'static str), Vec<String>) {
        let (mut most, mut failures) = ((0, ""), Vec::new());
        while Instant::now() < until {
            for (name, process) in &self.processes {
                match resident(*process) {
                    Ok(bytes) => most = most.max((bytes, *name)),
                    Err(error) => failures.push(format!("the process of {name} is not there: {error:#}")),
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        (most, failures)
    }

    async fn disk(&self, until: Instant) -> anyhow::Result<Duration> {
        let file = Arc::new(tempfile::tempfile_in(&self.folder)?);
        let mut slowest = Duration::ZERO;
        while Instant::now() < until {
            let asked = Instant::now();
            let file = Arc::clone(&file);
            tokio::task::spawn_blocking(move || sync(&file)).await??;
            slowest = slowest.max(asked.elapsed());
            tokio::time::sleep(LOOK).await;
        }
        Ok(slowest)
    }
}

/// Writes a page of a file to the disk.
fn sync(file: &File) -> std::io::Result<()> {
    file.write_all_at(&[1; 4_096], 0)?;
    file.sync_data()
}

/// Resident memory of a process, in bytes.
fn resident(process: i32) -> anyhow::Result<u64> {
    let status = procfs::process::Process::new(process)?.status()?;
    let kilobytes = status.vmrss.context("it has ended")?;
    Ok(kilobytes * 1_024)
}

/// Waits until passwords on several partitions arrive in time. After a start, consumers take some seconds to share their
/// partitions, and begin to read some of them before others.
pub(super) async fn settled(victim: &Api, limit: Duration) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let sent = std::iter::repeat_with(|| password(victim)).take(SETTLING);
        let arrived = futures::future::join_all(sent).await;
        let in_time = |took: &Duration| *took < DELIVERED;
        if arrived.iter().all(|took| took.as_ref().is_ok_and(in_time)) {
            return Ok(());
        }
        anyhow::ensure!(
            began.elapsed() < limit,
            "passwords are late {} s after the start: {arrived:?}",
            limit.as_secs()
        );
    }
}

/// Posts a one-time password to a guest and waits until it has arrived.
async fn password(victim: &Api) -> anyhow::Result<Duration> {
    let id = format!("otp-{}", rand::random::<u64>());
    let phone = format!("+1438{:07}", rand::random_range(2_000_000..10_000_000));
    let event = json!({
        "id": id, "source": "/e2e", "type": "OneTimePassword", "recipients": [{"phone": phone}],
        "data": {"code": "123456", "valid_minutes": 5},
    });
    let posted = Instant::now();
    let answer = victim.post(&event).await.context("its post")?;
    anyhow::ensure!(
        answer.status.as_u16() == 202,
        "its post was answered {} {}",
        answer.status,
        answer.body
    );
    let path = format!("/v1/messages?event_id={id}");
    loop {
        let messages: Value = victim.simulated(&path).await.context("the simulator")?;
        if messages["items"]
            .as_array()
            .is_some_and(|items| !items.is_empty())
        {
            return Ok(posted.elapsed());
        }
        anyhow::ensure!(
            posted.elapsed() < GIVEN_UP,
            "it did not arrive in {} s",
            GIVEN_UP.as_secs()
        );
        tokio::time::sleep(LOOK / 4).await;
    }
}

impl Seen {
    /// The longest sync of the disk, if it exceeds [`SYNCED`]. Delays during such a stall are the disk's, not Carillon's.
    pub(super) fn stall(&self) -> Option<Duration> {
        (self.disk > SYNCED).then_some(self.disk)
    }

    /// The checks that failed.
    pub(super) fn violations(&self, attack: &str) -> Vec<String> {
        let mut violations = self.failures.clone();
        let (took, name) = self.health;
        if took > HEALTHY.mul_f64(self.slack) {
            violations.push(format!("/healthz of {name} took {took:.1?}"));
        }
        let (took, posted) = self.password;
        if took > DELIVERED.mul_f64(self.slack) {
            violations.push(format!(
                "a one-time password took {took:.1?}, posted {posted:.1?} after the begin"
            ));
        }
        let (bytes, name) = self.memory;
        if bytes > MEMORY {
            violations.push(format!("{name} took {} MB", bytes / 1_000_000));
        }
        violations
            .iter()
            .map(|violation| format!("{attack}: {violation}"))
            .collect()
    }
}

impl Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "health within {:.0?} ({}), {} passwords within {} ms (the one posted at {:.1?}), {} MB at most ({}), the disk synced within {:.0?}, {} failures",
            self.health.0,
            self.health.1,
            self.passwords,
            self.password.0.as_millis(),
            self.password.1,
            self.memory.0 / 1_000_000,
            self.memory.1,
            self.disk,
            self.failures.len(),
        )
    }
}
