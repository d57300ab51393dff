//! Limits: one suite for both implementations.

use std::time::Duration;

use carillon_domain::{
    Channel, Timestamp,
    catalog::{LimitDef, LimitScope},
    decide::{LimitCheck, LimitVerdict},
};
use carillon_store::quota::{InProcessQuotas, Quotas, RedisFault, RedisQuotas, RedisQuotasConfig};
use uuid::Uuid;

use crate::support::{seconds, start};

const MEMORY: Duration = Duration::from_mins(10);

fn redis_url() -> Option<String> {
    std::env::var("CARILLON_REDIS__URL").ok()
}

/// Runs a test on each available implementation, with keys of its own.
async fn on_each(test: impl AsyncFn(&dyn Quotas)) {
    test(&InProcessQuotas::new(MEMORY)).await;
    if let Some(url) = redis_url() {
        let prefix = format!("test:{}:", Uuid::now_v7().simple());
        let config = RedisQuotasConfig {
            prefix,
            memory: MEMORY,
            timeout: Duration::from_secs(5),
            ..RedisQuotasConfig::new(url)
        };
        test(&RedisQuotas::connect(config).unwrap()).await;
    }
}

fn check(key: &str, max: u32, per: Duration) -> LimitCheck {
    let id = Uuid::now_v7();
    LimitCheck {
        id,
        message: id,
        key: key.into(),
        scope: LimitScope::Category,
        limit: LimitDef {
            channel: Channel::Email,
            max,
            per,
        },
    }
}

async fn take(quotas: &dyn Quotas, check: LimitCheck, now: Timestamp) -> LimitVerdict {
    quotas.take(&[check], now).await[0]
}

#[tokio::test]
async fn no_window_of_the_period_holds_more_than_the_limit() {
    on_each(async |quotas| {
        let per = seconds(60);
        let mut allowed: Vec<Timestamp> = Vec::new();
        // A message every 7 seconds for ten minutes.
        for n in 0..86 {
            let now = start() + seconds(7 * n);
            if take(quotas, check("u", 3, per), now).await == LimitVerdict::Allowed {
                allowed.push(now);
            }
        }
        for from in &allowed {
            let held = allowed
                .iter()
                .filter(|at| *at >= from && **at < *from + per)
                .count();
            assert!(held <= 3, "{held} from {from} on ({})", quotas.name());
        }
        // The whole allowance is usable: 3 in each of ten minutes.
        assert!(allowed.len() >= 28, "{} ({})", allowed.len(), quotas.name());
    })
    .await;
}

#[tokio::test]
async fn room_comes_back_exactly_when_the_window_has_passed() {
    on_each(async |quotas| {
        let per = seconds(60);
        assert_eq!(
            take(quotas, check("u", 1, per), start()).await,
            LimitVerdict::Allowed
        );
        let just_before = start() + per - Duration::from_micros(1);
        assert_eq!(
            take(quotas, check("u", 1, per), just_before).await,
            LimitVerdict::Exceeded(start() + per)
        );
        assert_eq!(
            take(quotas, check("u", 1, per), start() + per).await,
            LimitVerdict::Allowed
        );
    })
    .await;
}

#[tokio::test]
async fn a_repeated_check_of_a_limit_gives_the_same_verdict_and_counts_once() {
    on_each(async |quotas| {
        let per = seconds(3600);
        let (first, second) = (check("u", 1, per), check("u", 1, per));
        for now in [start(), start() + seconds(300)] {
            let verdicts = quotas.take(&[first.clone(), second.clone()], now).await;
            assert_eq!(
                verdicts,
                [LimitVerdict::Allowed, LimitVerdict::Exceeded(start() + per)],
                "{}",
                quotas.name()
            );
        }
        // The same holds for checks in one batch.
        let (one, other) = (check("v", 2, per), check("v", 2, per));
        let verdicts = quotas
            .take(&[one.clone(), one.clone(), one, other], start())
            .await;
        assert_eq!(verdicts, [LimitVerdict::Allowed; 4]);
        assert_eq!(
            take(quotas, check("v", 2, per), start()).await,
            LimitVerdict::Exceeded(start() + per)
        );
    })
    .await;
}

#[tokio::test]
async fn a_look_at_limits_gives_the_verdict_of_a_take_at_that_time_and_changes_nothing() {
    on_each(async |quotas| {
        let per = seconds(60);
        let look = async |check: &LimitCheck, at| quotas.look(std::slice::from_ref(check), at).await[0];
        let (first, second, third) = (check("u", 2, per), check("u", 2, per), check("u", 2, per));
        // Looking takes nothing, however often it is done.
        for _ in 0..5 {
            assert_eq!(look(&first, start()).await, LimitVerdict::Allowed);
        }
        for taken in [&first, &second] {
            assert_eq!(take(quotas, taken.clone(), start()).await, LimitVerdict::Allowed);
        }
        let just_before = start() + per - Duration::from_micros(1);
        for (at, expected) in [
            (start(), LimitVerdict::Exceeded(start() + per)),
            (just_before, LimitVerdict::Exceeded(start() + per)),
            (start() + per, LimitVerdict::Allowed),
            (start(), LimitVerdict::Exceeded(start() + per)),
        ] {
            assert_eq!(look(&third, at).await, expected, "{at} ({})", quotas.name());
        }
        // A verdict that was given stays.
        assert_eq!(look(&first, start()).await, LimitVerdict::Allowed);
        // A look is not remembered: the check that was looked at is judged when it is made.
        assert_eq!(
            take(quotas, third.clone(), start() + per).await,
            LimitVerdict::Allowed
        );
        let larger = LimitDef {
            max: 4,
            ..third.limit.clone()
        };
        let changed = LimitCheck {
            limit: larger,
            ..check("u", 2, per)
        };
        assert_eq!(look(&changed, start() + per).await, LimitVerdict::Allowed);
        assert!(quotas.look(&[], start()).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn every_key_has_a_limit_of_its_own_and_batches_may_be_large() {
    on_each(async |quotas| {
        let checks: Vec<_> = (0..2_500)
            .map(|n| check(&format!("user-{}", n / 2), 1, seconds(60)))
            .collect();
        let verdicts = quotas.take(&checks, start()).await;
        assert_eq!(verdicts.len(), checks.len());
        for pair in verdicts.chunks(2) {
            assert_eq!(
                pair,
                [
                    LimitVerdict::Allowed,
                    LimitVerdict::Exceeded(start() + seconds(60))
                ]
            );
        }
        assert!(quotas.take(&[], start()).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_message_that_one_limit_has_no_room_for_takes_no_room_of_the_others() {
    on_each(async |quotas| {
        let (minute, hour) = (seconds(60), seconds(3_600));
        let message = || {
            let message = Uuid::now_v7();
            [("short", 1, minute), ("long", 3, hour)].map(|(key, max, per)| LimitCheck {
                message,
                ..check(key, max, per)
            })
        };
        let first = quotas.take(&message(), start()).await;
        assert_eq!(first, [LimitVerdict::Allowed; 2]);
        // Ten messages, one after the other and in one batch, have to wait for the short period.
        let waiting: Vec<_> = (0..10).flat_map(|_| message()).collect();
        let expected = [LimitVerdict::Exceeded(start() + minute), LimitVerdict::Allowed];
        for _ in 0..2 {
            let verdicts = quotas.take(&waiting, start() + seconds(1)).await;
            assert!(verdicts.chunks(2).all(|two| two == expected), "{verdicts:?}");
        }
        for n in 1..3 {
            let at = start() + minute * n;
            let verdicts = quotas.take(&message(), at).await;
            assert_eq!(verdicts, [LimitVerdict::Allowed; 2], "{n} ({})", quotas.name());
        }
        let at = start() + minute * 3;
        let verdicts = quotas.take(&message(), at).await;
        assert_eq!(
            verdicts,
            [LimitVerdict::Allowed, LimitVerdict::Exceeded(start() + hour)]
        );
    })
    .await;
}

#[tokio::test]
async fn a_look_at_several_messages_counts_those_before_each_and_gives_the_verdicts_of_a_take() {
    on_each(async |quotas| {
        let per = seconds(60);
        let message = |user: &str| {
            let message = Uuid::now_v7();
            [(user, 1), ("tenant", 3)].map(|(key, max)| LimitCheck {
                message,
                ..check(key, max, per)
            })
        };
        let known = message("u-0");
        assert_eq!(quotas.take(&known, start()).await, [LimitVerdict::Allowed; 2]);
        let at = start() + seconds(10);
        let users = ["u-1", "u-1", "u-2", "u-3", "u-0"];
        let mut checks = known.to_vec();
        checks.extend(users.into_iter().flat_map(message));
        let (allowed, first, now) = (
            LimitVerdict::Allowed,
            LimitVerdict::Exceeded(start() + per),
            LimitVerdict::Exceeded(at + per),
        );
        let expected = [
            allowed, allowed, // counted before
            allowed, allowed, // u-1
            now, allowed, // u-1 again: no room for the user, so none is taken of the tenant
            allowed, allowed, // u-2
            allowed, first, // u-3: three of the tenant
            first, first, // u-0
        ];
        for _ in 0..2 {
            let looked = quotas.look(&checks, at).await;
            assert_eq!(looked, expected, "{}", quotas.name());
        }
        assert_eq!(quotas.take(&checks, at).await, expected, "{}", quotas.name());
    })
    .await;
}

#[tokio::test]
async fn the_time_of_room_is_that_at_which_enough_messages_have_left_the_period() {
    on_each(async |quotas| {
        let per = seconds(60);
        for n in 0..3 {
            let verdict = take(quotas, check("u", 3, per), start() + seconds(n)).await;
            assert_eq!(verdict, LimitVerdict::Allowed);
        }
        let at = start() + seconds(10);
        // With a lower limit, more of them have to leave.
        for (max, room_at) in [(3, 60), (2, 61), (1, 62)] {
            let expected = LimitVerdict::Exceeded(start() + seconds(room_at));
            let asked = check("u", max, per);
            let looked = quotas.look(std::slice::from_ref(&asked), at).await;
            assert_eq!(looked, [expected], "{max} ({})", quotas.name());
            assert_eq!(
                take(quotas, asked, at).await,
                expected,
                "{max} ({})",
                quotas.name()
            );
        }
    })
    .await;
}

#[tokio::test]
async fn without_redis_the_answer_is_unavailable_and_comes_quickly() {
    let config = RedisQuotasConfig {
        timeout: Duration::from_millis(100),
        ..RedisQuotasConfig::new("redis://127.0.0.1:1".to_owned())
    };
    let quotas = RedisQuotas::connect(config).unwrap();
    let checks: Vec<_> = (0..5_000).map(|_| check("u", 1, seconds(60))).collect();
    let begun = tokio::time::Instant::now();
    for _ in 0..20 {
        let verdicts = quotas.take(&checks, start()).await;
        assert_eq!(verdicts, vec![LimitVerdict::Unavailable; 5_000]);
        assert_eq!(quotas.look(&checks, start()).await, verdicts);
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(quotas.check().await, Err(RedisFault::Silent));
}

#[tokio::test]
async fn an_address_that_is_not_one_of_redis_is_refused() {
    assert!(RedisQuotas::connect(RedisQuotasConfig::new("http://x".to_owned())).is_err());
}

/// A Redis server for one test, which can be killed.
struct OwnRedis {
    port: u16,
    process: tokio::process::Child,
}

impl OwnRedis {
    fn start(port: u16) -> Self {
        let process = tokio::process::Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { port, process }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    async fn kill(mut self) -> u16 {
        self.process.kill().await.unwrap();
        self.port
    }
}

/// Checks new limits until one is answered.
async fn until_answered(quotas: &RedisQuotas) {
    let answered = async {
        loop {
            let verdict = take(
                quotas,
                check(&Uuid::now_v7().to_string(), 1, seconds(60)),
                start(),
            )
            .await;
            if verdict == LimitVerdict::Allowed {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), answered)
        .await
        .unwrap();
}

#[tokio::test]
async fn limits_are_counted_again_after_redis_died_and_lost_its_data() {
    if redis_url().is_none() {
        return;
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let redis = OwnRedis::start(free);
    let quotas = RedisQuotas::connect(RedisQuotasConfig::new(redis.url())).unwrap();
    until_answered(&quotas).await;
    assert_eq!(
        take(&quotas, check("u", 1, seconds(60)), start()).await,
        LimitVerdict::Allowed
    );
    assert_eq!(
        take(&quotas, check("u", 1, seconds(60)), start()).await,
        LimitVerdict::Exceeded(start() + seconds(60))
    );

    let port = redis.kill().await;
    assert_eq!(
        take(&quotas, check("u", 1, seconds(60)), start()).await,
        LimitVerdict::Unavailable
    );
    let _redis = OwnRedis::start(port);
    until_answered(&quotas).await;
    // Its counts and its script are gone: only precision is lost.
    assert_eq!(
        take(&quotas, check("u", 1, seconds(60)), start()).await,
        LimitVerdict::Allowed
    );
    assert_eq!(
        take(&quotas, check("u", 1, seconds(60)), start()).await,
        LimitVerdict::Exceeded(start() + seconds(60))
    );
}

impl OwnRedis {
    async fn command(&self, words: &[&str]) {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async::<()>(&mut connection).await.unwrap();
    }
}

#[tokio::test]
async fn a_fault_of_redis_is_named_and_limits_are_counted_again_once_it_ends() {
    if redis_url().is_none() {
        return;
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let redis = OwnRedis::start(free);
    let quotas = RedisQuotas::connect(RedisQuotasConfig::new(redis.url())).unwrap();
    until_answered(&quotas).await;
    let (before, after): (&[&[&str]], &[&[&str]]) = (
        &[
            &["REPLICAOF", "127.0.0.1", "1"],
            &["CONFIG", "SET", "maxmemory", "1"],
            &["CONFIG", "SET", "min-replicas-to-write", "1"],
            &["CONFIG", "SET", "requirepass", "hunter2"],
        ],
        &[
            &["REPLICAOF", "NO", "ONE"],
            &["CONFIG", "SET", "maxmemory", "0"],
            &["CONFIG", "SET", "min-replicas-to-write", "0"],
            &[],
        ],
    );
    let faults = [
        RedisFault::Replica,
        RedisFault::Full,
        RedisFault::NotSafe,
        RedisFault::Login,
    ];
    for ((begin, end), fault) in before.iter().zip(after).zip(faults) {
        redis.command(begin).await;
        if fault == RedisFault::Login {
            // Existing connections keep their rights; a new one has none.
            let fresh = RedisQuotas::connect(RedisQuotasConfig::new(redis.url())).unwrap();
            assert_eq!(fresh.check().await, Err(fault));
            continue;
        }
        assert_eq!(quotas.check().await, Err(fault));
        let verdict = take(
            &quotas,
            check(&Uuid::now_v7().to_string(), 1, seconds(60)),
            start(),
        )
        .await;
        // Redis lets a script that has begun to write continue without memory, so limits are counted although
        // Redis is full.
        let expected = if fault == RedisFault::Full {
            LimitVerdict::Allowed
        } else {
            LimitVerdict::Unavailable
        };
        assert_eq!(verdict, expected, "{fault}");
        redis.command(end).await;
        until_answered(&quotas).await;
        assert_eq!(quotas.check().await, Ok(()), "{fault}");
    }
}

#[tokio::test]
async fn an_address_that_leads_to_another_redis_after_a_failover_is_followed() {
    if redis_url().is_none() {
        return;
    }
    let port = || {
        std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port()
    };
    let (old, new) = (OwnRedis::start(port()), OwnRedis::start(port()));
    for redis in [&old, &new] {
        until_answered(&RedisQuotas::connect(RedisQuotasConfig::new(redis.url())).unwrap()).await;
    }
    // One address leads to both servers, like a DNS name or a load balancer. Open connections stay with their
    // server.
    let front = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = front.local_addr().unwrap();
    let target = std::sync::Arc::new(std::sync::atomic::AtomicU16::new(old.port));
    let to = std::sync::Arc::clone(&target);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = front.accept().await {
            let port = to.load(std::sync::atomic::Ordering::SeqCst);
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    let quotas = RedisQuotas::connect(RedisQuotasConfig::new(format!("redis://{address}/0"))).unwrap();
    until_answered(&quotas).await;
    old.command(&["REPLICAOF", "127.0.0.1", &new.port.to_string()])
        .await;
    target.store(new.port, std::sync::atomic::Ordering::SeqCst);
    until_answered(&quotas).await;
    assert_eq!(quotas.check().await, Ok(()));
}
