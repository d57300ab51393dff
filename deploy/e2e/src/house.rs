//! The installation under fault, and its supervisor. The supervisor restarts processes that ended by themselves and
//! records each such end, which is a failure of the run.

use std::{collections::BTreeMap, process::ExitStatus, sync::Arc, time::Duration};

use carillon_testkit::installation::{Installation, RoleArgs};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::console::Console;

/// Two processes of each role that shares work, one of each other role.
pub(crate) const ROLES: &[RoleArgs] = &[
    ("simulator", &["simulator"]),
    ("templates", &["templates"]),
    ("gateway", &["gateway"]),
    ("router-1", &["router"]),
    ("router-2", &["router"]),
    ("email-1", &["worker", "--channel", "email"]),
    ("email-2", &["worker", "--channel", "email"]),
    ("sms", &["worker", "--channel", "sms"]),
    ("push", &["worker", "--channel", "push"]),
    ("tracker-1", &["tracker"]),
    ("tracker-2", &["tracker"]),
    ("scheduler-1", &["scheduler"]),
    ("scheduler-2", &["scheduler"]),
];

/// The interval at which processes are checked.
const LOOK: Duration = Duration::from_millis(250);
/// The pause before a process that ended by itself is started again.
const PAUSE: Duration = Duration::from_secs(1);

/// A running process.
#[derive(Debug, Clone, Copy)]
struct Up {
    since: Instant,
    was_ready: bool,
    frozen: bool,
}

impl Up {
    fn now() -> Self {
        Self {
            since: Instant::now(),
            was_ready: false,
            frozen: false,
        }
    }
}

struct Inner {
    installation: Installation,
    up: BTreeMap<&'static str, Up>,
    /// Services that are down; `last_away` is the time at which one last was.
    away: Vec<&'static str>,
    last_away: Option<Instant>,
    deaths: Vec<String>,
}

/// The installation; clones share it.
#[derive(Clone)]
pub(crate) struct House {
    inner: Arc<Mutex<Inner>>,
    http: reqwest::Client,
    console: Console,
}

impl House {
    pub(crate) fn new(mut installation: Installation, http: reqwest::Client, console: Console) -> Self {
        let up = installation.roles().map(|(name, _)| (name, Up::now())).collect();
        let inner = Inner {
            installation,
            up,
            away: Vec::new(),
            last_away: None,
            deaths: Vec::new(),
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            http,
            console,
        }
    }

    /// Kills a process by SIGKILL.
    pub(crate) fn kill(&self, name: &'static str) {
        let mut inner = self.inner.lock();
        // If it has just ended by itself, the supervisor has not seen that yet.
        if inner.up.remove(name).is_some() {
            inner.installation.kill(name);
        }
    }

    /// Starts a process if it is not running.
    pub(crate) fn start(&self, name: &'static str) {
        let mut inner = self.inner.lock();
        if inner.up.contains_key(name) {
            return;
        }
        inner.installation.start_role(name);
        inner.up.insert(name, Up::now());
    }

    /// Stops a process by SIGSTOP.
    pub(crate) fn freeze(&self, name: &'static str) {
        self.signal(name, true);
    }

    /// Continues a process by SIGCONT.
    pub(crate) fn thaw(&self, name: &'static str) {
        self.signal(name, false);
    }

    fn signal(&self, name: &'static str, freeze: bool) {
        let mut inner = self.inner.lock();
        // A process that has ended by itself is the supervisor's concern.
        let Some(up) = inner.up.get_mut(name) else { return };
        up.frozen = freeze;
        for (_, role) in inner.installation.roles().filter(|(role, _)| *role == name) {
            if freeze {
                role.freeze();
            } else {
                role.thaw();
            }
        }
    }

    /// Notes that a service goes down or is up again. A process that starts meanwhile may fail and is started again.
    pub(crate) fn service(&self, name: &'static str, is_there: bool) {
        let mut inner = self.inner.lock();
        inner.last_away = Some(Instant::now());
        inner.away.retain(|other| *other != name);
        if !is_there {
            inner.away.push(name);
        }
    }

    /// The processes that have ended by themselves so far.
    pub(crate) fn deaths(&self) -> Vec<String> {
        self.inner.lock().deaths.clone()
    }

    /// Supervises the processes for ever.
    pub(crate) async fn supervise(&self) {
        let mut timer = tokio::time::interval(LOOK);
        loop {
            timer.tick().await;
            for name in self.bury() {
                let house = self.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(PAUSE).await;
                    house.start(name);
                });
            }
            self.ask_who_is_ready().await;
        }
    }

    /// Finds processes that have ended by themselves.
    fn bury(&self) -> Vec<&'static str> {
        let mut inner = self.inner.lock();
        let ended: Vec<(&'static str, ExitStatus)> = inner
            .installation
            .roles()
            .filter_map(|(name, role)| Some((name, role.ended()?)))
            .collect();
        let mut dead = Vec::new();
        for (name, status) in ended {
            let Some(up) = inner.up.remove(name) else { continue };
            dead.push(name);
            let needed_what_is_away =
                !inner.away.is_empty() || inner.last_away.is_some_and(|away| away >= up.since);
            if !up.was_ready && needed_what_is_away {
                self.console.say(format!(
                    "{name} could not start while a service was away; the supervisor tries again"
                ));
            } else {
                let text = format!(
                    "{name} ended by itself ({status}), {:.1} s after its start",
                    up.since.elapsed().as_secs_f64()
                );
                self.console.say(format!("!! {text}"));
                inner.deaths.push(text);
            }
        }
        dead
    }

    async fn ask_who_is_ready(&self) {
        let waiting: Vec<(&'static str, Instant, String)> = {
            let mut inner = self.inner.lock();
            let waiting = inner.up.iter().filter(|(_, up)| !up.was_ready && !up.frozen);
            let waiting: Vec<_> = waiting.map(|(name, up)| (*name, up.since)).collect();
            waiting
                .into_iter()
                .map(|(name, since)| (name, since, inner.installation.ready_url(name)))
                .collect()
        };
        let asked = waiting.into_iter().map(|(name, since, url)| async move {
            let answer = self.http.get(url).timeout(LOOK).send().await;
            answer
                .is_ok_and(|answer| answer.status().is_success())
                .then_some((name, since))
        });
        for (name, since) in futures::future::join_all(asked).await.into_iter().flatten() {
            let mut inner = self.inner.lock();
            if let Some(up) = inner.up.get_mut(name).filter(|up| up.since == since) {
                up.was_ready = true;
            }
        }
    }

    /// Keeps logs and data; returns their folder.
    pub(crate) fn keep(&self) -> std::path::PathBuf {
        let mut inner = self.inner.lock();
        inner.installation.keep_dir();
        inner.installation.dir().to_owned()
    }
}
