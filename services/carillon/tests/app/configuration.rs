//! `carillon config check`, and the same check at the start of a role.

use std::{fs, path::Path};

use crate::command_line::{carillon, run, stderr, stdout};

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
        "carillon: the configuration cannot work: providers.push.service_account_path: key.json: there is no such file or \
         folder\n"
    );
    fs::write(folder.path().join("key.json"), "postgres://u:hunter2@h/d").unwrap();
    assert_eq!(
        refused(folder.path(), &ACCOUNT, &worker),
        "carillon: the configuration cannot work: providers.push.service_account_path: expected JSON with project_id, \
         client_email, private_key and token_uri in the file key.json\n"
    );
    // Another role does not read the file, and may not have it.
    let said = stderr(&run(folder.path(), &[&["tracker"], &ACCOUNT[..]].concat()));
    assert!(said.contains("database.url: expected"), "{said}");
    for audience in ["carillon", "providers", "simulator", "postgres"] {
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
fn an_account_without_what_it_needs_is_refused_at_config_check_and_at_the_start() {
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
                "providers.main.account_sid=AC1",
                "--set",
                "providers.main.auth_token=t",
            ],
            "providers.main.from: expected either from or messaging_service_sid, and neither is set",
        ),
        (
            &["--set", "providers.a.host=h"],
            "providers.a: kind is missing; expected one of apns, fcm, sendgrid, ses, smtp, twilio",
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
        "[security]\naddress_key = 'k'\n[kafka]\nbrokers = 'kafka'\nproperties = { 'linger.mss' = '1' }\n",
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
                format!("carillon: {name}: there is no such variable; {meant}\n")
            );
        }
    }
    let mut asked = carillon(folder.path());
    asked
        .args(["config", "check"])
        .env("CARILLON_CI_KAFKA", "required");
    stdout(&asked.output().unwrap());
}
