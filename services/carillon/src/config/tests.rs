//! The configuration as a start reads it.

use carillon_domain::Channel;
use carillon_providers::{ProviderConfig, SmtpConfig, SmtpTls};
use carillon_runtime::config::{Layers, load};

use super::*;

const TWO_ACCOUNTS: &str = r#"
    [providers.main]
    account_sid = "AC1"
    auth_token = "t"
    from = "+15550001111"
    kind = "twilio"
    [providers.spare]
    kind = "twilio"
    account_sid = "AC2"
    auth_token = "t"
    from = "+15550002222"
"#;

fn names(config: &Config, channel: Channel) -> Vec<&str> {
    let accounts = config.channels.accounts(channel, &config.providers).unwrap();
    accounts.into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_channel_has_all_accounts_of_its_kinds_by_name_unless_it_has_an_order() {
    let config = load_with(TWO_ACCOUNTS, &[]).unwrap();
    assert_eq!(names(&config, Channel::Sms), ["main", "spare"]);
    assert!(names(&config, Channel::Push).is_empty());
    let ordered = format!("{TWO_ACCOUNTS}\n[channels.sms]\naccounts = [\"spare\", \"main\"]\n");
    assert_eq!(
        names(&load_with(&ordered, &[]).unwrap(), Channel::Sms),
        ["spare", "main"]
    );
    let from_environment = [("CARILLON_CHANNELS__SMS__ACCOUNTS", "spare")];
    let config = load_with(&ordered, &from_environment).unwrap();
    assert_eq!(names(&config, Channel::Sms), ["spare"]);
}

/// A value that looks like a section and is a text.
const SERVICE_ACCOUNT: &str = r#"{"project_id": "shop", "private_key": "a\nb"}"#;

#[test]
fn an_account_can_stand_in_the_environment_alone() {
    let config = load_with(
        "",
        &[
            ("CARILLON_PROVIDERS__MAIN__KIND", "twilio"),
            ("CARILLON_PROVIDERS__MAIN__ACCOUNT_SID", "123"),
            ("CARILLON_PROVIDERS__MAIN__AUTH_TOKEN", "0123"),
            ("CARILLON_PROVIDERS__MAIN__FROM", "+15550001111"),
            ("CARILLON_PROVIDERS__MAIN__RATE_PER_SECOND", "10"),
            ("CARILLON_PROVIDERS__PUSH__KIND", "fcm"),
            ("CARILLON_PROVIDERS__PUSH__SERVICE_ACCOUNT", SERVICE_ACCOUNT),
        ],
    )
    .unwrap();
    let accounts = config.channels.accounts(Channel::Sms, &config.providers).unwrap();
    let [("main", ProviderConfig::Twilio(twilio))] = &accounts[..] else {
        panic!("{accounts:?}")
    };
    assert_eq!(twilio.from.as_deref(), Some("+15550001111"));
    assert_eq!(twilio.auth_token.as_ref().unwrap().expose_secret(), "0123");
    assert_eq!(twilio.rate_per_second, Some(10));
    let accounts = config
        .channels
        .accounts(Channel::Push, &config.providers)
        .unwrap();
    let [("push", ProviderConfig::Fcm(fcm))] = &accounts[..] else {
        panic!("{accounts:?}")
    };
    assert_eq!(
        fcm.service_account.as_ref().unwrap().expose_secret(),
        SERVICE_ACCOUNT
    );
    let printed = toml::to_string(&config).unwrap();
    assert!(
        printed.contains("kind = \"twilio\"") && !printed.contains("0123"),
        "{printed}"
    );
}

#[test]
fn a_setting_of_an_account_that_is_missing_unknown_or_wrong_is_named_with_its_place() {
    let environment = |name: &'static str, value: &'static str| load_with(TWO_ACCOUNTS, &[(name, value)]);
    for (wrong, expected) in [
        (
            load_with("[providers.smtp]\nhost = \"h\"\nfrom = \"a@example.com\"", &[]),
            "providers.smtp: kind is missing; expected one of apns, fcm, sendgrid, ses, smtp, twilio",
        ),
        (
            load_with("[providers.a]\nkind = \"smtp\"\nfrom = \"a@example.com\"", &[]),
            "providers.a: host is missing",
        ),
        (
            environment("CARILLON_PROVIDERS__MAIN__KIND", "sms77"),
            "CARILLON_PROVIDERS__MAIN__KIND: providers.main.kind: expected one of apns, fcm, sendgrid, ses, smtp, twilio, not \"sms77\"",
        ),
        (
            environment("CARILLON_PROVIDERS__MAIN__ACCOUNT_ID", "AC9"),
            "CARILLON_PROVIDERS__MAIN__ACCOUNT_ID: providers.main.account_id: there is no such setting; did you mean \
             providers.main.account_sid?",
        ),
        (
            environment("CARILLON_PROVIDERS__MAIN__REQUEST_TIMEOUT", "soon"),
            "CARILLON_PROVIDERS__MAIN__REQUEST_TIMEOUT: providers.main.request_timeout: expected a duration such as 30s, \
             15m, 1h or 7d, not \"soon\"",
        ),
        (
            load_with(&format!("{TWO_ACCOUNTS}\nrate_per_second = \"fast\""), &[]),
            "providers.spare.rate_per_second: expected a whole number from 0 to 4294967295, not \
             \"fast\"",
        ),
        (
            environment("CARILLON_PROVIDERS__MAIN", "twilio"),
            "CARILLON_PROVIDERS__MAIN: providers.main: expected a section with the settings of an account, not \
             \"twilio\"",
        ),
    ] {
        assert_eq!(wrong.unwrap_err(), expected);
    }
}

#[test]
fn an_order_that_cannot_be_kept_to_is_refused_and_names_the_account() {
    let ordered = |accounts| load_with(TWO_ACCOUNTS, &[("CARILLON_CHANNELS__SMS__ACCOUNTS", accounts)]);
    for (wrong, expected) in [
        (
            ordered("main,third"),
            "channels.sms.accounts: expected names of accounts of providers, not \"third\"",
        ),
        (
            ordered("main, main"),
            "channels.sms.accounts: expected each account once, not main twice",
        ),
        (
            ordered(""),
            "channels.sms.accounts: expected the name of an account of providers; without this setting, all are used",
        ),
        (
            load_with(TWO_ACCOUNTS, &[("CARILLON_CHANNELS__PUSH__ACCOUNTS", "main")]),
            "channels.push.accounts: expected accounts that send by push; main is of the kind twilio, which sends by sms",
        ),
        (
            load_with("", &[("CARILLON_CHANNELS__FAX__ACCOUNTS", "main")]),
            "CARILLON_CHANNELS__FAX__ACCOUNTS: channels.fax: expected one of push, email, sms, not \"fax\"",
        ),
    ] {
        assert_eq!(wrong.unwrap_err(), expected);
    }
}

#[test]
fn a_name_of_an_account_that_no_environment_variable_could_have_is_refused() {
    let named = |name: &str| load_with(&TWO_ACCOUNTS.replace("providers.spare", name), &[]);
    for name in ["a", "eu-west_2", &"n".repeat(50)] {
        named(&format!("providers.{name}")).unwrap();
    }
    for name in [
        "Spare",
        "2nd",
        "a__b",
        "a-_b",
        "-a",
        "a_",
        "a b",
        "ä",
        "",
        &"n".repeat(51),
    ] {
        let expected = format!(
            "providers: expected names of at most 50 small letters and digits that begin with a letter, with single '-' or '_' \
             between them, not {name:?}"
        );
        let said = named(&format!("providers.\"{name}\"")).unwrap_err();
        assert_eq!(said, expected);
    }
}

#[test]
fn the_defaults_are_valid_and_print_no_secret() {
    let mut config = Config::default();
    config.validate().unwrap();
    config.database.url = Some("postgres://u:hunter2@h/d".to_owned().into());
    let printed = toml::to_string(&config).unwrap();
    assert!(
        printed.contains("***") && !printed.contains("hunter2"),
        "{printed}"
    );
}

const REFERENCE: &str = include_str!("../../../../deploy/carillon.toml");

/// Reads a file as a start does, with these environment variables.
fn load_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("carillon.toml");
    std::fs::write(&file, text).unwrap();
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let config = load(Layers {
        defaults: Config::default(),
        file: Some(&file),
        environment: environment.iter().map(owned).collect(),
        flags: Vec::new(),
    });
    let config: Config = config.map_err(|error| {
        let place = format!("{}: ", file.display());
        error.to_string().replace(&place, "")
    })?;
    config.validate().map_err(|error| error.to_string())?;
    Ok(config)
}

fn read(text: &str) -> Config {
    load_with(text, &[]).unwrap_or_else(|error| panic!("deploy/carillon.toml: {error}"))
}

#[test]
fn the_reference_file_has_the_defaults() {
    let [reference, defaults] =
        [read(REFERENCE), Config::default()].map(|config| toml::to_string(&config).unwrap());
    assert_eq!(reference, defaults);
}

#[test]
fn every_key_of_the_reference_file_is_known_and_every_optional_key_stands_in_it() {
    let is_setting = |rest: &str| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
    let uncommented: Vec<&str> = REFERENCE
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| is_setting(rest))
                .unwrap_or(line)
        })
        .collect();
    let config = read(&uncommented.join("\n"));
    // Unset optional settings are left out, so that a key that the file omits shows as a missing line.
    let debug = format!("{config:?}");
    assert!(
        !debug.contains("None"),
        "the reference file lacks a setting: {debug}"
    );
}

#[test]
fn a_lease_shorter_than_a_request_refuses_to_start() {
    let mut config = Config::default();
    let account = SmtpConfig {
        host: "localhost".into(),
        port: 25,
        tls: SmtpTls::None,
        username: None,
        password: None,
        from: "a@example.com".into(),
        max_connections: 1,
        request_timeout: Duration::from_secs(30),
        rate_per_second: None,
    };
    config.providers.insert("relay", account);
    assert!(
        config
            .validate()
            .unwrap_err()
            .to_string()
            .starts_with("workers.lease")
    );
}

#[test]
fn a_bound_that_cannot_work_refuses_to_start() {
    let mut config = Config::default();
    config.http.header_timeout = Duration::ZERO;
    let error = config.validate().unwrap_err().to_string();
    assert!(error.starts_with("http.header_timeout: expected"), "{error}");
}

#[test]
fn kafka_without_a_shared_address_key_refuses_to_start() {
    let mut config = Config::default();
    config.kafka.brokers = "localhost:9092".into();
    assert!(
        config
            .validate()
            .unwrap_err()
            .to_string()
            .starts_with("security.address_key")
    );
}

#[test]
fn tiers_that_are_no_durations_are_refused() {
    let mut config = Config::default();
    config.retry.tiers = vec!["soon".into()];
    assert!(config.validate().is_err());
}
