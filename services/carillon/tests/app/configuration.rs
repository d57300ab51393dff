//! `carillon config check`, and the same check at the start of a role.

use std::{fs, path::Path};

use crate::command_line::{Dev, carillon, run, stderr, stdout};

const ACCOUNT: [&str; 4] = [
    "--set",
    "providers.push.kind=fcm",
    "--set",
    "providers.push.service_account_path=key.json",
];

/// The errors of `config check` and of a role's start, which are the same.
#[track_caller]
fn refused(folder: &Path, settings: &[&str], role: &[&str]) -> String {
    let checked = stderr(&run(folder, &[&["config", "check"], settings].concat()));
    let started = stderr(&run(folder, &[role, settings].concat()));
    assert_eq!(checked, started);
    checked
}

#[test]
fn a_file_that_a_role_reads_at_its_start_is_read_by_config_check_too() {
    let folder = tempfile::tempdir().unwrap();
    let worker = ["worker", "--channel", "push"];
    assert_eq!(
        refused(folder.path(), &ACCOUNT, &worker),
        "carillon: the configuration is invalid: providers.push.service_account_path: key.json: there is no such file or \
         folder\n"
    );
    fs::write(folder.path().join("key.json"), "postgres://u:hunter2@h/d").unwrap();
    assert_eq!(
        refused(folder.path(), &ACCOUNT, &worker),
        "carillon: the configuration is invalid: providers.push.service_account_path: expected JSON with project_id, \
         client_email, private_key and token_uri in the file key.json\n"
    );
    // Another role does not read the file, and may not have it.
    let tracker = ["tracker", "--set", "http.listen=127.0.0.1:0"];
    let said = stderr(&run(folder.path(), &[&tracker[..], &ACCOUNT].concat()));
    assert!(said.contains("database.url: expected"), "{said}");
    for audience in ["carillon", "providers", "receipts", "simulator", "postgres"] {
        fs::create_dir(folder.path().join(audience)).unwrap();
    }
    stdout(&run(folder.path(), &["secrets", "."]));
    fs::copy(
        folder.path().join("providers/fcm_service_account.json"),
        folder.path().join("key.json"),
    )
    .unwrap();
    let valid = stdout(&run(
        folder.path(),
        &[&["config", "check"], &ACCOUNT[..]].concat(),
    ));
    assert!(valid.starts_with("# The configuration is valid."), "{valid}");
}

#[test]
fn an_account_without_a_required_setting_is_refused_at_config_check_and_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for (settings, says) in [
        (
            &["--set", "providers.push.kind=fcm"][..],
            "providers.push.service_account: expected service_account_path or service_account, and neither is set",
        ),
        (
            &[
                "--set",
                "providers.main.kind=twilio",
                "--set",
                "providers.main.account_sid=AC00000000000000000000000000000001",
                "--set",
                "providers.main.auth_token=5ec0de5ec0de5ec0de5ec0de5ec0de00",
            ],
            "providers.main.from: expected either from or messaging_service_sid, and neither is set",
        ),
        (
            &["--set", "providers.a.host=h"],
            "providers.a: kind is missing; expected one of apns, fcm, sendgrid, ses, smtp, twilio, webhook",
        ),
    ] {
        let said = refused(folder.path(), settings, &["gateway"]);
        assert!(said.ends_with(&format!(": {says}\n")), "{said}");
        assert_eq!(said.matches("providers.").count(), 1, "{said}");
    }
}

#[test]
fn a_setting_of_kafka_that_librdkafka_does_not_take_is_refused_before_anything_is_connected() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("carillon.toml"),
        "[database]\nurl = 'postgres://h/d'\n[security]\naddress_key = 'k'\n[kafka]\nbrokers = 'kafka:9092'\nproperties = { 'linger.mss' = '1' }\n",
    )
    .unwrap();
    let said = refused(folder.path(), &[], &["gateway"]);
    assert!(
        said.contains("kafka.properties.linger.mss: expected a property of librdkafka"),
        "{said}"
    );
    let said = refused(
        folder.path(),
        &["--set", "kafka.sasl_username=u", "--set", "kafka.properties={}"],
        &["gateway"],
    );
    assert!(
        said.contains("kafka.security: expected sasl_ssl or sasl_plaintext"),
        "{said}"
    );
}

#[test]
fn a_variable_that_is_no_setting_stops_every_command_with_the_name_that_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value, meant) in [
        (
            "CARILLON_HTTP_LISTEN",
            "0.0.0.0:80",
            "did you mean CARILLON_HTTP__LISTEN?",
        ),
        (
            "CARILLON_DATABASE_URL",
            "postgres://u:hunter2@h/d",
            "did you mean CARILLON_DATABASE__URL?",
        ),
        (
            "CARILLON_DATABASE_URL_FILE",
            "/run/url",
            "did you mean CARILLON_DATABASE__URL_FILE?",
        ),
        (
            "CARILLON_BUS_TOPICS_PARTITIONS",
            "3",
            "did you mean CARILLON_BUS__TOPICS__PARTITIONS?",
        ),
        (
            "CARILLON_PROVIDERS_MAIN_KIND",
            "smtp",
            "did you mean CARILLON_PROVIDERS__MAIN__KIND?",
        ),
        (
            "CARILLON_FOO",
            "1",
            "settings are named CARILLON_SECTION__KEY, such as CARILLON_HTTP__LISTEN",
        ),
    ] {
        for command in [&["config", "check"][..], &["gateway"], &["keys", "list"]] {
            let mut asked = carillon(folder.path());
            asked.args(command).env(name, value);
            let said = stderr(&asked.output().unwrap());
            assert_eq!(
                said,
                format!(
                    "carillon: the configuration is invalid: {name}: there is no such variable; {meant}\n"
                )
            );
        }
    }
    let mut asked = carillon(folder.path());
    asked
        .args(["config", "check"])
        .env("CARILLON_CI_KAFKA", "required");
    stdout(&asked.output().unwrap());
}

const KAFKA: [&str; 4] = [
    "--set",
    "kafka.brokers=kafka:9092",
    "--set",
    "security.address_key=k",
];

#[test]
fn kafka_without_a_database_is_refused_at_config_check_and_at_the_start_of_each_role() {
    let folder = tempfile::tempdir().unwrap();
    for role in [
        &["gateway"][..],
        &["router"],
        &["worker", "--channel", "sms"],
        &["tracker"],
        &["scheduler"],
        &["templates"],
        &["all"],
    ] {
        assert_eq!(
            refused(folder.path(), &KAFKA, role),
            "carillon: the configuration is invalid: database.url: expected postgres://user:password@host/database, since \
             kafka.brokers is set, but no database is\n"
        );
    }
}

#[test]
fn kafka_with_sqlite_is_refused_for_a_role_in_a_process_of_its_own_and_config_check_warns_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = [&KAFKA[..], &["--set", "database.url=sqlite://store.db"]].concat();
    let said = stderr(&run(folder.path(), &[&["gateway"], &sqlite[..]].concat()));
    assert_eq!(
        said,
        "carillon: the configuration is invalid: database.url: expected postgres://user:password@host/database, not \
         sqlite://…: SQLite serves one process only, kafka.brokers is set, and this process lacks some roles\n"
    );
    let checked = stdout(&run(folder.path(), &[&["config", "check"], &sqlite[..]].concat()));
    let says = "# The configuration is valid.\n# Warning: database.url: SQLite serves `carillon all`";
    assert!(checked.starts_with(says), "{checked}");
}

#[test]
fn a_password_that_goes_unencrypted_to_a_relay_on_the_internet_is_a_warning_of_config_check() {
    let folder = tempfile::tempdir().unwrap();
    let check = |host: &str, more: &[&str]| {
        let host = format!("providers.relay.host={host}");
        let relay = [
            "config",
            "check",
            "--set",
            "providers.relay.kind=smtp",
            "--set",
            "providers.relay.from=shop@example.com",
            "--set",
            "providers.relay.username=u",
            "--set",
            "providers.relay.password=hunter2",
            "--set",
            &host,
        ];
        stdout(&run(folder.path(), &[&relay[..], more].concat()))
    };
    let open = ["--set", "providers.relay.tls=none"];
    let warned = check("smtp.example.com", &open);
    assert!(
        warned.contains(
            "# Warning: providers.relay.tls: expected starttls or implicit, not none, because the password goes to \
             smtp.example.com unencrypted.\n"
        ) && !warned.contains("hunter2"),
        "{warned}"
    );
    for (host, more) in [
        ("simulator", &open[..]),
        ("127.0.0.1", &open),
        ("10.0.0.7", &open),
        ("smtp.example.com", &[]),
    ] {
        assert!(!check(host, more).contains("Warning"), "{host}");
    }
}

#[test]
fn config_check_and_a_role_list_all_mistakes_of_values_rules_and_files() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("carillon.toml"),
        "[http]\nlisten = 'nonsense'\nstall_timeout = '40s'\n[retry]\ntiers = ['soon']\n[providers.a]\nkind = 'fax'\n\
         [providers.b]\nkind = 'smtp'\nhost = 'h'\nfrom = 'a@example.com'\nrequest_timeout = '5m'\n\
         [channels.email]\naccounts = ['a']\n[workers]\nlease = '1s'\n[telemetry]\ntrace_ratio = 2\n",
    )
    .unwrap();
    let said = refused(
        folder.path(),
        &[&["--set", "bus.prefix=a b"], &ACCOUNT[..]].concat(),
        &["worker", "--channel", "push"],
    );
    let said = said.replace("carillon.toml: ", "");
    let lines: Vec<&str> = said.lines().collect();
    let begins = [
        "carillon: the configuration has 7 mistakes:",
        "  http.listen: expected ",
        "  providers.a.kind: expected one of apns, ",
        "  http.stall_timeout: expected no more than http.body_timeout (30s), not 40s",
        "  retry.tiers: expected durations such as 5s,1m,10m,1h, not \"soon\"",
        "  telemetry.trace_ratio: expected a number from 0 to 1, not 2",
        "  bus.prefix: expected 1 to 100 ASCII letters, ",
        "  providers.push.service_account_path: key.json: there is no such file or folder",
    ];
    assert_eq!(lines.len(), begins.len(), "{said}");
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line}");
    }
}

#[test]
fn ready_asks_at_the_configured_address_and_reads_nothing_else_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    for (settings, asked) in [
        (&["--set", "http.listen=127.0.0.1:1"][..], "127.0.0.1:1"),
        (
            &["--set", "http.listen=0.0.0.0:1", "--set", "retry.tiers=x"],
            "127.0.0.1:1",
        ),
        (
            &["--set", "http.listen=127.0.0.1:2", "--url", "http://127.0.0.1:1"],
            "127.0.0.1:1",
        ),
    ] {
        let said = stderr(&run(folder.path(), &[&["ready"], settings].concat()));
        assert_eq!(said, format!("carillon: no process answers at http://{asked}\n"));
    }
    let said = stderr(&run(folder.path(), &["ready", "--set", "http.listen=x"]));
    assert!(
        said.starts_with("carillon: http.listen: expected HOST:PORT"),
        "{said}"
    );
}

#[test]
fn dev_signs_links_of_a_public_url_with_the_key_of_its_folder_and_commands_write_times_with_z() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("carillon.toml"),
        "[http]\npublic_url = 'https://notify.example'\n",
    )
    .unwrap();
    let dev = Dev::start(folder.path());
    assert!(dev.ready["api_key"].is_string());
    let keys = stdout(&run(folder.path(), &["keys", "list"]));
    assert!(keys.contains("Z ") && !keys.contains("+00:00"), "{keys}");
    // A role of its own has no folder, and needs the key.
    let said = stderr(&run(folder.path(), &["gateway"]));
    assert!(
        said.starts_with(
            "carillon: the configuration is invalid: security.address_key: expected a secret text"
        ),
        "{said}"
    );
}
