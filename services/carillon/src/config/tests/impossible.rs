//! Values that can never work, setting by setting.

use super::load_with;

/// An account of a kind with these settings.
fn account(kind: &str, settings: &str) -> String {
    format!("[providers.a]\nkind = '{kind}'\n{settings}")
}

/// Each text is refused with an error that begins with the first phrase, the setting's key, and holds the second.
#[track_caller]
fn refused(cases: &[(String, &str, &str)]) {
    for (text, begins, holds) in cases {
        let said = load_with(text, &[]).map(|_| ()).expect_err(text);
        // A setting that is wrong by itself is an error of its file, whose name `load_with` removes.
        assert!(said.starts_with(begins) && said.contains(holds), "{text}: {said}");
    }
}

fn plain(cases: &[(&str, &'static str, &'static str)]) {
    let owned: Vec<_> = cases
        .iter()
        .map(|(text, begins, holds)| ((*text).to_owned(), *begins, *holds))
        .collect();
    refused(&owned);
}

#[test]
fn an_account_at_fcm_or_twilio_that_can_never_send_is_refused_with_key_value_and_the_expected_value() {
    let fcm = |settings: &str| account("fcm", settings);
    let twilio = |settings: &str| {
        account(
            "twilio",
            &format!("auth_token = '5ec0de5ec0de5ec0de5ec0de5ec0de00'\n{settings}"),
        )
    };
    refused(&[
        (fcm(""), "providers.a.service_account: expected", "neither is set"),
        (
            fcm("service_account = '{}'"),
            "providers.a.service_account: expected JSON",
            "private_key",
        ),
        (
            fcm("service_account_path = 'x'\nservice_account = '{}'"),
            "providers.a.service_account: expected",
            "both are set",
        ),
        (
            fcm("base_url = 'x'"),
            "providers.a.base_url: expected an http",
            "not \"x\"",
        ),
        (
            fcm("rate_per_second = -1"),
            "providers.a.rate_per_second: expected a whole",
            "not -1",
        ),
        (
            twilio("account_sid = 'AC00000000000000000000000000000001'"),
            "providers.a.from: expected",
            "neither is set",
        ),
        (
            twilio(
                "account_sid = 'AC00000000000000000000000000000001'\nfrom = 'x'\nmessaging_service_sid = 'MG00000000000000000000000000000009'",
            ),
            "providers.a.from: expected",
            "both are set",
        ),
        (
            twilio("account_sid = 'AC00000000000000000000000000000001'\nmessaging_service_sid = ''"),
            "providers.a.messaging_service_sid: expected MG",
            "not \"\"",
        ),
        (
            twilio("account_sid = ''\nfrom = 'x'"),
            "providers.a.account_sid: expected AC",
            "not \"\"",
        ),
        (
            twilio("account_sid = 'AC00000000000000000000000000000001'\nfrom = '0049 151'"),
            "providers.a.from: expected a number",
            "not \"0049 151\"",
        ),
        (
            twilio("account_sid = 'AC00000000000000000000000000000001'\nfrom = 'x'\ncallback_url = 'foo'"),
            "providers.a.callback_url: expected an http",
            "not \"foo\"",
        ),
    ]);
}

#[test]
fn an_account_at_apns_that_can_never_send_is_refused_with_key_value_and_the_expected_value() {
    let ids = "team_id = 'A1B2C3D4E5'\nkey_id = 'A1B2C3D4E5'\ntopic = 'com.example.shop'\n";
    let apns = |settings: &str| account("apns", &format!("{ids}{settings}"));
    refused(&[
        (apns(""), "providers.a.key_path: expected", "neither is set"),
        (
            apns("key_path = 'x'\nkey = 'y'"),
            "providers.a.key_path: expected",
            "both are set",
        ),
        (
            apns("key = 'x'"),
            "providers.a.key: expected a private key of the curve P-256",
            "PEM",
        ),
        (
            apns("key_path = 'x'\nmax_connections = 0"),
            "providers.a.max_connections: expected a whole number from 1 to 65535",
            "not 0",
        ),
        (
            apns("key_path = 'x'\nrequest_timeout = '0s'"),
            "providers.a.request_timeout: expected a duration",
            "not 0",
        ),
        (
            apns("key_path = 'x'\nbase_url = 'http://h'"),
            "providers.a.base_url: expected https://",
            "not \"http://h\"",
        ),
    ]);
}

#[test]
fn an_smtp_relay_that_can_never_be_reached_is_refused_with_key_value_and_the_expected_value() {
    let smtp = |settings: &str| account("smtp", settings);
    let relay = |settings: &str| smtp(&format!("host = 'h'\nfrom = 'a@b.example'\n{settings}"));
    refused(&[
        (
            smtp("host = 'h'\nfrom = 'nonsense'"),
            "providers.a.from: expected an address",
            "not \"nonsense\"",
        ),
        (
            smtp("host = 'h'\nfrom = ''"),
            "providers.a.from: expected an address",
            "not \"\"",
        ),
        (
            smtp("host = ''\nfrom = 'a@b.example'"),
            "providers.a.host: expected a host name",
            "not \"\"",
        ),
        (
            smtp("host = 'h:25'\nfrom = 'a@b.example'"),
            "providers.a.host: expected a host name",
            "not \"h:25\"",
        ),
        (
            relay("port = 0"),
            "providers.a.port: expected a whole number from 1 to 65535",
            "not 0",
        ),
        (
            relay("max_connections = 0"),
            "providers.a.max_connections: expected a whole number",
            "not 0",
        ),
        (
            relay("rate_per_second = 0"),
            "providers.a.rate_per_second: expected a whole number",
            "not 0",
        ),
        (
            relay("request_timeout = '0s'"),
            "providers.a.request_timeout: expected a duration from 100ms to 5m",
            "not 0",
        ),
        (
            relay("username = 'u'"),
            "providers.a.password: expected",
            "username and password",
        ),
        (
            relay("tls = 'yes'"),
            "providers.a.tls: expected one of",
            "not \"yes\"",
        ),
    ]);
}

#[test]
fn a_store_or_bus_that_can_never_be_reached_is_refused_with_key_value_and_the_expected_value() {
    let kafka = |settings: &str| format!("[security]\naddress_key = 'k'\n[kafka]\n{settings}");
    plain(&[
        (
            "[database]\nmax_connections = 0",
            "database.max_connections: expected a whole",
            "not 0",
        ),
        (
            "[database]\nurl = 'mysql://x'",
            "database.url: expected postgres://",
            "not \"mysql://…\"",
        ),
        (
            "[database]\nurl = ''",
            "database.url: expected postgres://",
            "not a text without a scheme",
        ),
        (
            "[database]\nhistory_retention = '0s'",
            "database.history_retention: expected a duration",
            "not 0s",
        ),
        (
            "[redis]\nurl = 'http://x'",
            "redis.url: expected redis://",
            "not \"http://…\"",
        ),
        (
            "[bus.topics]\npartitions = 0",
            "bus.topics.partitions: expected a whole",
            "not 0",
        ),
        (
            "[bus.topics]\nmin_insync_replicas = 2",
            "bus.topics.min_insync_replicas: expected no more than 1",
            "not 2",
        ),
        (
            "[bus.topics.topics.'e-mail.bulk']\npartitions = 2",
            "bus.topics.topics: expected names",
            "not \"e-mail.bulk\"",
        ),
        (
            "[bus.topics.topics.'email.bulk']\npartitions = 0",
            "bus.topics.topics.email.bulk.partitions: expected",
            "not 0",
        ),
        (
            "[bus.topics.topics.'email.bulk']\nretention = '0s'",
            "bus.topics.topics.email.bulk.retention: expected a duration",
            "not 0s",
        ),
        ("[bus]\nprefix = 'a b'", "bus.prefix: expected", "not \"a b\""),
    ]);
    refused(&[
        (
            kafka("brokers = 'a:9092,,b:9092'"),
            "kafka.brokers: expected brokers",
            "not \"\"",
        ),
        (
            kafka("brokers = 'http://kafka:9092'"),
            "kafka.brokers: expected brokers",
            "not \"http://kafka:9092\"",
        ),
        (
            kafka("brokers = 'kafka:0'"),
            "kafka.brokers: expected brokers",
            "not \"kafka:0\"",
        ),
        (
            kafka("delivery_timeout = '0s'"),
            "kafka.delivery_timeout: expected a duration",
            "not 0s",
        ),
        (
            kafka("brokers = 'kafka:9092'\ndelivery_timeout = '20s'"),
            "gateway.claim_lease: expected more than kafka.delivery_timeout (20s)",
            "not 10s",
        ),
        (
            kafka("sasl_mechanism = 'MAGIC'"),
            "kafka.sasl_mechanism: expected one of PLAIN",
            "not \"MAGIC\"",
        ),
    ]);
}

#[test]
fn a_setting_of_a_role_that_can_never_work_is_refused_with_key_value_and_the_expected_value() {
    plain(&[
        (
            "[telemetry]\nlog = 'foo=bar=baz'",
            "telemetry.log: expected directives",
            "not \"foo=bar=baz\"",
        ),
        (
            "[telemetry]\notlp_endpoint = 'collector:4318'",
            "telemetry.otlp_endpoint: expected an http",
            "not \"collector:4318\"",
        ),
        (
            "[gateway]\npublic_url = 'foo'",
            "gateway.public_url: expected an http or https URL",
            "not \"foo\"",
        ),
        (
            "[gateway]\nmax_in_flight = 0",
            "gateway.max_in_flight: expected a whole",
            "not 0",
        ),
        (
            "[gateway]\nmax_in_flight = 100",
            "gateway.tenant.posts_in_flight: expected at most 100",
            "not 768",
        ),
        (
            "[gateway.tenant]\nheld_bytes = 4294967296",
            "gateway.tenant.held_bytes: expected at most",
            "gateway.max_held_bytes",
        ),
        (
            "[gateway.key]\nothers_in_flight = 900",
            "gateway.key.others_in_flight: expected 1 to 48, which is gateway.tenant.others_in_flight",
            "not 900",
        ),
        (
            "[templates]\nurl = 'templates:8080'",
            "templates.url: expected an http",
            "not \"templates:8080\"",
        ),
        (
            "[templates]\nurl = 'http://templates:8080'",
            "security.internal_token: expected a secret",
            "templates.url",
        ),
        (
            "[security]\naddress_key = ''",
            "security.address_key: expected",
            "not empty",
        ),
        (
            "[security]\ninternal_token = 'ä'",
            "security.internal_token: expected visible ASCII",
            "header",
        ),
        (
            "[http]\nlisten = 'foo'",
            "http.listen: expected HOST:PORT",
            "not \"foo\"",
        ),
        (
            "[simulator]\nlisten = ''",
            "simulator.listen: expected HOST:PORT",
            "not \"\"",
        ),
        (
            "[workers]\nbulk_in_flight = 0",
            "workers.bulk_in_flight: expected a whole",
            "not 0",
        ),
        (
            "[retry]\nmax_attempts = 0",
            "retry.max_attempts: expected a whole",
            "not 0",
        ),
        (
            "[retry]\ntiers = ['5s', 'soon']",
            "retry.tiers: expected durations",
            "not \"soon\"",
        ),
        (
            "[retry]\ntiers = ['5s', '1s']",
            "retry.tiers: expected retry tiers in ascending order",
            "not \"5s,1s\"",
        ),
        (
            "[retry]\ntiers = ['5s', '8d']",
            "bus.topics.retention: expected more than the longest",
            "(8d)",
        ),
    ]);
}

#[test]
fn a_time_that_can_never_work_is_refused_with_its_bounds() {
    plain(&[
        (
            "[http]\nheader_timeout = '0s'",
            "http.header_timeout: expected a duration from 100ms to 1h",
            "not 0s",
        ),
        (
            "[http]\nstall_timeout = '1m'",
            "http.stall_timeout: expected no more than http.body_timeout (30s)",
            "not 1m",
        ),
        (
            "[gateway]\nclaim_lease = '0s'",
            "gateway.claim_lease: expected a duration",
            "not 0s",
        ),
        (
            "[workers]\ngive_up_after = '1000000000y'",
            "workers.give_up_after: expected a duration from 1s to 365d",
            "not ",
        ),
        (
            "[router]\nlimits_patience = '-1s'",
            "router.limits_patience: expected a duration",
            "not \"-1s\"",
        ),
        (
            "[shutdown]\nstall_limit = '0s'",
            "shutdown.stall_limit: expected a duration",
            "not 0s",
        ),
        ("[bus]\nstuck_after = 5", "bus.stuck_after: expected a", "not 5"),
    ]);
}

#[test]
fn a_source_that_is_no_topic_of_another_system_is_refused_with_key_and_value() {
    plain(&[
        (
            "[sources]\ntopics = ['a b']",
            "sources.topics: expected the name of a topic, or TOPIC@TENANT",
            "\"a b\"",
        ),
        (
            "[sources]\ntopics = ['orders@a|b']",
            "sources.topics: expected the name of a topic, or TOPIC@TENANT",
            "orders@a|b",
        ),
        (
            "[sources]\ntopics = ['orders', 'orders@acme']",
            "sources.topics: expected each topic once",
            "\"orders\"",
        ),
        (
            "[sources]\ntopics = ['notifications.events']",
            "sources.topics: expected topics of other systems",
            "\"notifications.events\"",
        ),
    ]);
}
