use std::io::Write as _;

use carillon_testkit::{kafka_brokers, postgres_url, redis_url};

/// CI reads this line. It bypasses the test runner's capture, which discards the output of passing tests.
#[test]
fn the_tests_say_which_backends_they_ran_on() {
    let pick = |real: bool, name, embedded| if real { name } else { embedded };
    let line = format!(
        "carillon tests ran on: bus={} sql={} quota={}",
        pick(kafka_brokers().is_some(), "kafka", "embedded"),
        pick(postgres_url().is_some(), "postgres", "sqlite"),
        pick(redis_url().is_some(), "redis", "in-process"),
    );
    writeln!(std::io::stderr(), "{line}").unwrap();
    let urls = [
        kafka_brokers().is_some(),
        postgres_url().is_some(),
        redis_url().is_some(),
    ];
    assert!(
        urls == [true; 3] || urls == [false; 3],
        "expected all three services or none: {line}"
    );
}
