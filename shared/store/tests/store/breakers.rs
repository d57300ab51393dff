//! The common state of breakers: one suite for both implementations.

use std::time::Duration;

use carillon_store::{
    RedisConfig, RedisFault,
    breakers::{
        BreakerChange, BreakerReport, BreakerState, Breakers, Closure, InProcessBreakers, RedisBreakers,
    },
};
use uuid::Uuid;

const MINUTE: Duration = Duration::from_mins(1);

fn redis_url() -> Option<String> {
    std::env::var("CARILLON_REDIS__URL").ok()
}

/// Waits until a condition holds, for at most half a minute.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let condition = async {
        while !holds().await {
            looks.tick().await;
        }
    };
    let held = tokio::time::timeout(Duration::from_secs(30), condition).await;
    assert!(held.is_ok(), "{what}");
}

/// Runs a test on each available implementation, with keys of its own.
async fn on_each(test: impl AsyncFn(&dyn Breakers)) {
    test(&InProcessBreakers::default()).await;
    if let Some(url) = redis_url() {
        let config = RedisConfig {
            prefix: format!("test:{}:", Uuid::now_v7().simple()),
            timeout: Duration::from_secs(5),
            ..RedisConfig::new(url)
        };
        test(&RedisBreakers::connect(config).unwrap()).await;
    }
}

fn report(account: &str, seen: u64, change: Option<BreakerChange>) -> BreakerReport {
    BreakerReport {
        account: account.to_owned(),
        seen,
        change,
    }
}

async fn tell(breakers: &dyn Breakers, seen: u64, change: BreakerChange) -> BreakerState {
    let reports = [report("a", seen, Some(change))];
    breakers.exchange(&reports).await.unwrap().remove(0)
}

async fn look(breakers: &dyn Breakers) -> BreakerState {
    let reports = [report("a", 0, None)];
    breakers.exchange(&reports).await.unwrap().remove(0)
}

fn parked(left: Duration, parks: u32) -> BreakerChange {
    BreakerChange::Closed(Closure {
        left,
        parks,
        throttles: 0,
        cause: Some("operator".to_owned()),
        run: Duration::from_secs(3),
    })
}

fn paused(left: Duration) -> BreakerChange {
    BreakerChange::Closed(Closure {
        left,
        throttles: 1,
        ..Closure::default()
    })
}

/// Whether a time is that long, less a second that the test may take.
fn is_about(left: Duration, expected: Duration) -> bool {
    left <= expected && left + Duration::from_secs(1) > expected
}

#[tokio::test]
async fn a_closure_reaches_every_process_with_its_cause_and_the_time_that_is_left() {
    on_each(async |breakers| {
        assert_eq!(look(breakers).await, BreakerState::default());
        let told = tell(breakers, 0, parked(MINUTE, 2)).await;
        let seen = look(breakers).await;
        assert!(
            seen.version > 0 && seen.version == told.version,
            "{}",
            breakers.name()
        );
        let closure = seen.closure.unwrap();
        assert!(is_about(closure.left, MINUTE), "{closure:?}");
        assert_eq!((closure.parks, closure.throttles), (2, 0));
        assert_eq!(closure.cause.as_deref(), Some("operator"));
        assert!(closure.run >= Duration::from_secs(3) && closure.run < Duration::from_secs(5));
        let reports = [report("b", 0, None), report("a", 0, None)];
        let both = breakers.exchange(&reports).await.unwrap();
        assert_eq!(
            both[0],
            BreakerState::default(),
            "another account is not affected"
        );
        assert_eq!(both[1].version, seen.version);
    })
    .await;
}

#[tokio::test]
async fn who_has_seen_the_closure_opens_the_account_and_who_has_not_does_not() {
    on_each(async |breakers| {
        let first = tell(breakers, 0, parked(MINUTE, 1)).await;
        let stale = tell(breakers, 0, BreakerChange::Works).await;
        assert_eq!(stale.version, first.version, "{}", breakers.name());
        assert!(stale.closure.is_some());
        let open = tell(breakers, first.version, BreakerChange::Works).await;
        assert!(open.version > first.version && open.closure.is_none());
        assert_eq!(look(breakers).await, open);
    })
    .await;
}

#[tokio::test]
async fn the_closures_of_two_processes_are_joined_and_a_later_one_of_a_process_that_knows_replaces() {
    on_each(async |breakers| {
        tell(breakers, 0, parked(2 * MINUTE, 3)).await;
        let joined = tell(breakers, 0, paused(MINUTE)).await;
        let closure = joined.closure.unwrap();
        assert!(
            is_about(closure.left, 2 * MINUTE),
            "{closure:?} ({})",
            breakers.name()
        );
        assert_eq!((closure.parks, closure.throttles), (3, 1));
        assert_eq!(closure.cause.as_deref(), Some("operator"));
        let replaced = tell(breakers, joined.version, paused(MINUTE)).await;
        let closure = replaced.closure.unwrap();
        assert!(is_about(closure.left, MINUTE), "{closure:?}");
        assert_eq!((closure.parks, closure.throttles, closure.cause), (0, 1, None));
    })
    .await;
}

#[tokio::test]
async fn a_pause_ends_by_itself_and_a_park_waits_for_its_probe() {
    on_each(async |breakers| {
        let short = Duration::from_millis(50);
        tell(breakers, 0, parked(short, 1)).await;
        until("the park's time is over", async || {
            look(breakers).await.closure.unwrap().left.is_zero()
        })
        .await;
        assert_eq!(look(breakers).await.closure.unwrap().parks, 1);
        let seen = look(breakers).await.version;
        let pause = BreakerChange::Closed(Closure {
            left: short,
            ..Closure::default()
        });
        tell(breakers, seen, pause).await;
        until("the pause is over", async || {
            look(breakers).await.closure.is_none()
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn one_process_at_a_time_has_the_probe_and_a_dead_ones_ends_with_its_lease() {
    on_each(async |breakers| {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let take = async |process, lease| breakers.take_probe("a", process, lease).await.unwrap();
        assert!(take(one, MINUTE).await);
        assert!(take(one, MINUTE).await, "it is renewed");
        assert!(!take(other, MINUTE).await, "{}", breakers.name());
        assert!(breakers.take_probe("b", other, MINUTE).await.unwrap());
        breakers.give_probe_back("a", other).await.unwrap();
        assert!(!take(other, MINUTE).await, "another's is not given back");
        breakers.give_probe_back("a", one).await.unwrap();
        assert!(take(other, Duration::from_millis(50)).await);
        until("the lease has ended", async || {
            breakers.take_probe("a", one, MINUTE).await.unwrap()
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn of_many_processes_that_ask_at_once_one_gets_the_probe() {
    on_each(async |breakers| {
        let asked = (0..64).map(|number| breakers.take_probe("a", Uuid::from_u128(number), MINUTE));
        let taken = futures::future::join_all(asked).await;
        let taken = taken.into_iter().filter(|taken| *taken.as_ref().unwrap()).count();
        assert_eq!(taken, 1, "{}", breakers.name());
    })
    .await;
}

#[tokio::test]
async fn without_redis_the_fault_comes_quickly() {
    let config = RedisConfig {
        timeout: Duration::from_millis(100),
        ..RedisConfig::new("redis://127.0.0.1:1".to_owned())
    };
    let breakers = RedisBreakers::connect(config).unwrap();
    let begun = tokio::time::Instant::now();
    for _ in 0..100 {
        let asked = breakers.exchange(&[report("a", 0, None)]).await;
        assert_eq!(asked, Err(RedisFault::Silent));
        let taken = breakers.take_probe("a", Uuid::nil(), MINUTE).await;
        assert_eq!(taken, Err(RedisFault::Silent));
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(RedisBreakers::connect(RedisConfig::new("http://x".to_owned())).is_err());
}
