//! Accounts of several processes that share their breakers. Each test runs in one process's memory; the store's suite
//! shows that Redis gives the same answers.

use carillon_store::{
    RedisFault,
    breakers::{BreakerReport, BreakerState, Breakers, InProcessBreakers},
};

use super::*;
use crate::{account::Sharing, exchange::exchange};

/// The common state, which may be out of reach.
#[derive(Debug, Default)]
struct Common {
    breakers: InProcessBreakers,
    is_away: Mutex<bool>,
}

impl Common {
    fn reached(&self) -> Result<(), RedisFault> {
        if *self.is_away.lock() {
            return Err(RedisFault::Silent);
        }
        Ok(())
    }
}

#[async_trait]
impl Breakers for Common {
    async fn exchange(&self, reports: &[BreakerReport]) -> Result<Vec<BreakerState>, RedisFault> {
        self.reached()?;
        self.breakers.exchange(reports).await
    }

    async fn take_probe(&self, account: &str, process: Uuid, lease: Duration) -> Result<bool, RedisFault> {
        self.reached()?;
        self.breakers.take_probe(account, process, lease).await
    }

    async fn give_probe_back(&self, account: &str, process: Uuid) -> Result<(), RedisFault> {
        self.reached()?;
        self.breakers.give_probe_back(account, process).await
    }

    fn name(&self) -> &'static str {
        "test"
    }
}

/// A worker process with one account.
struct Process {
    accounts: Vec<Arc<Account>>,
    sharing: Arc<Sharing>,
}

impl Process {
    fn new(common: &Arc<Common>, script: Vec<SendOutcome>) -> Self {
        let account = account(script);
        let sharing = Sharing::new(Arc::clone(common) as _, Channel::Sms);
        account.breaker.share(&sharing);
        Self {
            accounts: vec![account],
            sharing,
        }
    }

    /// A process that has exchanged once, as a worker does before it begins.
    async fn started(common: &Arc<Common>, script: Vec<SendOutcome>) -> Self {
        let process = Self::new(common, script);
        process.exchange().await;
        process
    }

    fn account(&self) -> &Account {
        &self.accounts[0]
    }

    fn is_open(&self) -> bool {
        self.account().breaker.is_open()
    }

    async fn exchange(&self) {
        exchange(&self.accounts, &self.sharing).await;
    }

    /// Sends if the process may.
    async fn send(&self) -> Option<Ruled> {
        if !self.is_open() || !self.account().breaker.may_go_first().await {
            return None;
        }
        send(self.account()).await
    }
}

fn ok() -> SendOutcome {
    SendOutcome::Ok { message_id: None }
}

fn retry() -> SendOutcome {
    SendOutcome::Retry(refusal(Scope::Account))
}

#[tokio::test(start_paused = true)]
async fn a_park_holds_every_process_and_one_of_them_sends_the_probe() {
    let common = Arc::new(Common::default());
    let one = Process::started(&common, vec![config(), config()]).await;
    let other = Process::started(&common, Vec::new()).await;
    one.send().await.unwrap();
    assert!(other.is_open(), "it has not heard of it");
    one.exchange().await;
    other.exchange().await;
    assert!(!one.is_open() && !other.is_open());
    tokio::time::advance(FIRST_PARK).await;
    assert!(one.is_open() && other.is_open());
    assert!(one.account().breaker.may_go_first().await);
    assert!(
        !other.account().breaker.may_go_first().await,
        "one probe at a time"
    );
    assert!(!other.is_open(), "another process sends the probe");
    assert!(other.account().breaker.try_acquire(&text("+49")).is_err());
    let second = send_message(one.account(), &text("+33")).await;
    assert!(second.is_ok());
    one.exchange().await;
    other.exchange().await;
    tokio::time::advance(FIRST_PARK).await;
    assert!(!one.is_open() && !other.is_open(), "the second park is longer");
    tokio::time::advance(FIRST_PARK).await;
    assert!(other.send().await.is_some(), "the right was given back");
    other.exchange().await;
    one.exchange().await;
    assert!(one.is_open() && !one.account().breaker.is_on_probation());
    assert!(one.send().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_the_provider_asks_for_holds_every_process_and_ends_by_itself() {
    let common = Arc::new(Common::default());
    let wait = Duration::from_secs(30);
    let throttle = SendOutcome::Throttle(refusal(Scope::Account).after(Some(wait)));
    let one = Process::started(&common, vec![throttle]).await;
    let other = Process::started(&common, Vec::new()).await;
    one.send().await.unwrap();
    one.exchange().await;
    other.exchange().await;
    tokio::time::advance(Duration::from_secs(29)).await;
    assert!(!other.is_open());
    // The wait has at most a tenth of jitter.
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!(other.send().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_failures_of_one_process_do_not_close_the_account_of_one_whose_messages_are_accepted() {
    let common = Arc::new(Common::default());
    let runs = FAILURES_IN_A_ROW as usize;
    let broken = Process::started(&common, vec![retry(); runs]).await;
    let working = Process::started(&common, Vec::new()).await;
    let idle = Process::started(&common, Vec::new()).await;
    for _ in 0..runs {
        broken.send().await.unwrap();
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    working.send().await.unwrap();
    for process in [&broken, &working, &idle] {
        process.exchange().await;
    }
    assert!(!broken.is_open());
    assert!(working.is_open() && !working.account().breaker.is_on_probation());
    assert!(!idle.is_open(), "it has no evidence of its own");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_starts_during_a_park_sends_one_message_first_at_once() {
    let common = Arc::new(Common::default());
    let one = Process::started(&common, vec![config()]).await;
    one.send().await.unwrap();
    one.exchange().await;
    let next = Process::started(&common, vec![ok()]).await;
    assert!(next.account().breaker.is_on_probation());
    assert!(next.send().await.is_some());
    next.exchange().await;
    one.exchange().await;
    assert!(one.is_open());
}

#[tokio::test(start_paused = true)]
async fn without_the_common_state_each_process_decides_alone_and_tells_it_later() {
    let common = Arc::new(Common::default());
    let one = Process::started(&common, vec![config()]).await;
    let other = Process::started(&common, Vec::new()).await;
    *common.is_away.lock() = true;
    one.send().await.unwrap();
    one.exchange().await;
    other.exchange().await;
    assert!(!one.is_open() && other.is_open());
    tokio::time::advance(FIRST_PARK).await;
    assert!(
        one.account().breaker.may_go_first().await,
        "it sends its own probe"
    );
    *common.is_away.lock() = false;
    one.exchange().await;
    other.exchange().await;
    assert!(other.account().breaker.is_on_probation());
}

#[tokio::test(start_paused = true)]
async fn a_common_state_that_was_lost_is_told_again() {
    let common = Arc::new(Common::default());
    let one = Process::started(&common, vec![config()]).await;
    one.send().await.unwrap();
    one.exchange().await;
    // As after FLUSHALL.
    let lost = Arc::new(Common::default());
    let moved = Sharing::new(Arc::clone(&lost) as _, Channel::Sms);
    for _ in 0..2 {
        exchange(&one.accounts, &moved).await;
    }
    let other = Process::started(&lost, Vec::new()).await;
    assert!(other.account().breaker.is_on_probation());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_takes_long_keeps_its_right_and_an_unused_right_is_given_back() {
    let common = Arc::new(Common::default());
    let one = Process::started(&common, vec![config()]).await;
    let other = Process::started(&common, Vec::new()).await;
    one.send().await.unwrap();
    one.exchange().await;
    other.exchange().await;
    tokio::time::advance(FIRST_PARK).await;
    assert!(one.account().breaker.may_go_first().await);
    let probe = one.account().breaker.try_acquire(&text("+49")).unwrap();
    for _ in 0..10 {
        tokio::time::advance(Duration::from_secs(2)).await;
        one.exchange().await;
        assert!(!other.account().breaker.may_go_first().await);
    }
    drop(probe);
    tokio::time::advance(Duration::from_millis(600)).await;
    one.exchange().await;
    assert!(other.account().breaker.may_go_first().await);
    // It is not used, for example because the message was claimed by another worker.
    tokio::time::advance(Duration::from_millis(1_100)).await;
    other.exchange().await;
    assert!(one.account().breaker.may_go_first().await);
}
