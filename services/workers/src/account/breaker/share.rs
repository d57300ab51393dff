//! The state that a breaker shares with the breakers of other processes: its closures, and the right to send a probe. A
//! breaker decides by its own state. The exchange (`../../exchange.rs`) brings news of other processes in the
//! background. While the common state cannot be reached, the breaker decides alone.

use std::{
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};

use carillon_domain::Channel;
use carillon_store::{
    RedisFault,
    breakers::{BreakerReport, BreakerState, Breakers},
};
use metrics::Gauge;
use tokio::{sync::Notify, time::Instant};
use uuid::Uuid;

use super::Breaker;

/// The lease of the right to send a probe. The exchange renews it while the probe is under way.
const LEASE: Duration = Duration::from_secs(5);
/// The time after which a right to send a probe that is not used is given back.
const UNUSED: Duration = Duration::from_secs(1);
/// The time after which another process's probe is asked about again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// The right to send an account's probe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum ProbeRight {
    /// Not asked for.
    #[default]
    None,
    /// This process has it since.
    Ours(Instant),
    /// Another process has it; to be asked for again at this time.
    Others(Instant),
}

/// The common state, as one worker uses it.
#[derive(Debug)]
pub(crate) struct Sharing {
    breakers: Arc<dyn Breakers>,
    channel: Channel,
    process: Uuid,
    /// Notified when a breaker has news.
    pub(crate) news: Notify,
    is_away: AtomicBool,
    reached: Gauge,
}

impl Sharing {
    /// The common state of a channel's accounts.
    pub(crate) fn new(breakers: Arc<dyn Breakers>, channel: Channel) -> Arc<Self> {
        let reached = metrics::gauge!("carillon_provider_breakers_shared", "channel" => channel.as_str());
        Arc::new(Self {
            breakers,
            channel,
            process: Uuid::now_v7(),
            news: Notify::new(),
            is_away: AtomicBool::new(false),
            reached,
        })
    }

    /// Tells about accounts and returns their states; `None` if the common state cannot be reached.
    pub(crate) async fn exchange(&self, reports: &[BreakerReport]) -> Option<Vec<BreakerState>> {
        self.reached(self.breakers.exchange(reports).await)
    }

    /// The answer of a call. The beginning and the end of a fault are logged.
    fn reached<T>(&self, answer: Result<T, RedisFault>) -> Option<T> {
        self.reached.set(f64::from(u8::from(answer.is_ok())));
        match answer {
            Ok(answer) => {
                if self.is_away.swap(false, Ordering::Relaxed) {
                    tracing::info!(channel = %self.channel, "the breakers of provider accounts are shared again");
                }
                Some(answer)
            }
            Err(fault) => {
                if !self.is_away.swap(true, Ordering::Relaxed) {
                    tracing::warn!(channel = %self.channel, %fault,
                        "the breakers of provider accounts cannot be shared; each worker decides by its own answers");
                }
                None
            }
        }
    }
}

impl Breaker {
    /// Shares the breaker from now on.
    pub(crate) fn share(&self, sharing: &Arc<Sharing>) {
        // A worker shares its accounts once, when it starts.
        let _ = self.sharing.set(Arc::clone(sharing));
    }

    /// Whether this process may send the next message. On probation it needs the right to send the probe, and asks for
    /// it. Without probation, or while the common state cannot be reached, it may always send.
    pub(crate) async fn may_go_first(&self) -> bool {
        let Some(sharing) = self.sharing.get() else {
            return true;
        };
        {
            let state = self.state.lock();
            if !state.is_on_probation() || state.has_probe_right() {
                return true;
            }
        }
        // One question at a time, so that a right is not given back while it is asked for.
        let _asking = self.asking.lock().await;
        if self.state.lock().has_probe_right() {
            return true;
        }
        let taken = sharing
            .breakers
            .take_probe(&self.account, sharing.process, LEASE)
            .await;
        let is_ours = sharing.reached(taken).unwrap_or(true);
        let now = Instant::now();
        self.state.lock().set_probe_right(if is_ours {
            ProbeRight::Ours(now)
        } else {
            ProbeRight::Others(now + ASK_AGAIN)
        });
        is_ours
    }

    /// The news of this process about the account.
    pub(crate) fn report(&self) -> BreakerReport {
        let mut state = self.state.lock();
        BreakerReport {
            account: self.account.to_string(),
            seen: state.seen(),
            change: state.take_news(Instant::now()),
        }
    }

    /// Notes that a report did not arrive, so that it is repeated.
    pub(crate) fn unsaid(&self, report: &BreakerReport) {
        if report.change.is_some() {
            self.state.lock().tell_again();
        }
    }

    /// Takes the common state over.
    pub(crate) fn adopt(&self, common: &BreakerState) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let was_parked = state.is_parked();
        if !state.adopt(common, now) {
            return;
        }
        let closed_for = state.take_return(now);
        let told = state.complaint(now).filter(|_| !was_parked && state.is_parked());
        self.tell(&state);
        drop(state);
        if let Some((cause, left)) = told {
            let cause = cause.map_or("unknown", |cause| cause.as_str());
            tracing::warn!(provider = %self.account, channel = %self.channel, cause,
                seconds = left.unwrap_or_default().as_secs(), "another worker has parked the provider account");
        }
        if let Some(closed_for) = closed_for {
            tracing::info!(provider = %self.account, channel = %self.channel,
                closed_for_seconds = closed_for.as_secs(), "the provider account works again");
        }
        self.changed.notify_waiters();
    }

    /// Renews the right to send a probe while one is under way, and gives it back when it is not used.
    pub(crate) async fn keep_probe_right(&self) {
        let Some(sharing) = self.sharing.get() else {
            return;
        };
        let ProbeRight::Ours(since) = self.state.lock().probe_right() else {
            return;
        };
        let _asking = self.asking.lock().await;
        let (account, process) = (&self.account, sharing.process);
        if self.state.lock().is_probing() {
            let renewed = sharing.breakers.take_probe(account, process, LEASE).await;
            sharing.reached(renewed);
            return;
        }
        let is_over = {
            let mut state = self.state.lock();
            let is_over = !state.is_probing()
                && state.has_probe_right()
                && (!state.is_open(Instant::now()) || !state.is_on_probation() || since.elapsed() > UNUSED);
            if is_over {
                state.set_probe_right(ProbeRight::None);
            }
            is_over
        };
        if is_over {
            let given_back = sharing.breakers.give_probe_back(account, process).await;
            sharing.reached(given_back);
        }
    }
}
