//! The configuration as a start reads it.

mod impossible;
mod reference;

use std::sync::LazyLock;

use carillon_domain::Channel;
use carillon_providers::ProviderConfig;
use carillon_runtime::config::{Layers, load};
use rsa::{
    RsaPrivateKey,
    pkcs8::{EncodePrivateKey as _, LineEnding},
};

use super::*;

const TWO_ACCOUNTS: &str = r#"
    [providers.main]
    account_sid = "AC00000000000000000000000000000001"
    auth_token = "5ec0de5ec0de5ec0de5ec0de5ec0de00"
    from = "+15550001111"
    kind = "twilio"
    [providers.spare]
    kind = "twilio"
    account_sid = "AC00000000000000000000000000000002"
    auth_token = "5ec0de5ec0de5ec0de5ec0de5ec0de00"
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

/// A service account's key: a value that looks like a section and is a text.
static SERVICE_ACCOUNT: LazyLock<String> = LazyLock::new(|| {
    let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2_048).unwrap();
    let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string();
    serde_json::json!({
        "project_id": "shop", "client_email": "shop@example.com", "private_key": pem,
        "token_uri": "https://oauth2.googleapis.com/token",
    })
    .to_string()
});

#[test]
fn an_account_can_stand_in_the_environment_alone() {
    let config = load_with(
        "",
        &[
            ("CARILLON_PROVIDERS__MAIN__KIND", "twilio"),
            (
                "CARILLON_PROVIDERS__MAIN__ACCOUNT_SID",
                "AC00000000000000000000000000000001",
            ),
            (
                "CARILLON_PROVIDERS__MAIN__AUTH_TOKEN",
                "5ec0de5ec0de5ec0de5ec0de5ec0de00",
            ),
            ("CARILLON_PROVIDERS__MAIN__FROM", "+15550001111"),
            ("CARILLON_PROVIDERS__MAIN__RATE_PER_SECOND", "10"),
            ("CARILLON_PROVIDERS__PUSH__KIND", "fcm"),
            ("CARILLON_PROVIDERS__PUSH__SERVICE_ACCOUNT", &SERVICE_ACCOUNT),
        ],
    )
    .unwrap();
    let accounts = config.channels.accounts(Channel::Sms, &config.providers).unwrap();
    let [("main", ProviderConfig::Twilio(twilio))] = &accounts[..] else {
        panic!("{accounts:?}")
    };
    assert_eq!(twilio.from.as_ref().unwrap().as_str(), "+15550001111");
    assert_eq!(
        twilio.auth_token.as_ref().unwrap().expose_secret(),
        "5ec0de5ec0de5ec0de5ec0de5ec0de00"
    );
    assert_eq!(twilio.rate_per_second.unwrap().get(), 10);
    let accounts = config
        .channels
        .accounts(Channel::Push, &config.providers)
        .unwrap();
    let [("push", ProviderConfig::Fcm(fcm))] = &accounts[..] else {
        panic!("{accounts:?}")
    };
    assert_eq!(
        fcm.service_account.as_ref().unwrap().expose_secret(),
        *SERVICE_ACCOUNT
    );
    let printed = toml::to_string(&config).unwrap();
    assert!(
        printed.contains("kind = \"twilio\"") && !printed.contains("5ec0de5ec0de5ec0de5ec0de5ec0de00"),
        "{printed}"
    );
}

#[test]
fn a_setting_of_an_account_that_is_missing_unknown_or_wrong_is_named_with_its_place() {
    let environment = |name: &'static str, value: &'static str| load_with(TWO_ACCOUNTS, &[(name, value)]);
    for (wrong, expected) in [
        (
            load_with("[providers.smtp]\nhost = \"h\"\nfrom = \"a@example.com\"", &[]),
            "providers.smtp: kind is missing; expected one of apns, fcm, sendgrid, ses, smtp, twilio, webhook",
        ),
        (
            load_with("[providers.a]\nkind = \"smtp\"\nfrom = \"a@example.com\"", &[]),
            "providers.a: host is missing",
        ),
        (
            environment("CARILLON_PROVIDERS__MAIN__KIND", "sms77"),
            "CARILLON_PROVIDERS__MAIN__KIND: providers.main.kind: expected one of apns, fcm, sendgrid, ses, smtp, twilio, webhook, not \"sms77\"",
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
            "providers.spare.rate_per_second: expected a whole number from 1 to 4294967295, not \
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
            "CARILLON_CHANNELS__FAX__ACCOUNTS: channels.fax: expected one of push, email, sms, webhook, not \"fax\"",
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
    assert!(config.validate().is_empty());
    config.database.url = Some("postgres://u:hunter2@h/d".parse().unwrap());
    let printed = toml::to_string(&config).unwrap();
    assert!(
        printed.contains("***") && !printed.contains("hunter2"),
        "{printed}"
    );
}

/// Reads a file as a start does, with these environment variables.
fn load_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let config = load_unchecked(text, environment)?;
    match config.validate().into_iter().chain(config.links_rule()).next() {
        Some(broken) => Err(broken.to_string()),
        None => Ok(config),
    }
}

/// Reads each setting, without the rules that involve several.
fn load_unchecked(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
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
    config.map_err(|error| {
        let place = format!("{}: ", file.display());
        error.to_string().replace(&place, "")
    })
}

#[test]
fn a_lease_shorter_than_a_request_refuses_to_start_and_names_the_bound() {
    let relay = "[providers.relay]\nkind = 'smtp'\nhost = 'h'\nfrom = 'a@example.com'\n";
    let said = load_with(&format!("{relay}[workers]\nlease = '9s'"), &[]).unwrap_err();
    assert_eq!(
        said,
        "workers.lease: expected more than 9s, which is the longest call of a provider (its request_timeout, and for SMTP the \
         reset after it), not 9s"
    );
    load_with(&format!("{relay}[workers]\nlease = '10s'"), &[]).unwrap();
    let said = load_with(&format!("{relay}[shutdown]\ngrace = '5s'"), &[]).unwrap_err();
    assert!(
        said.starts_with("shutdown.grace: expected no less than 9s"),
        "{said}"
    );
}

#[test]
fn kafka_without_a_shared_address_key_refuses_to_start() {
    let mut config = Config::default();
    config.kafka.brokers = "localhost:9092".into();
    assert!(
        config
            .validate()
            .swap_remove(0)
            .to_string()
            .starts_with("security.address_key")
    );
}

#[test]
fn a_secret_of_another_type_is_refused_without_being_repeated() {
    for text in [
        "[security]\naddress_key = 8675309",
        "[security]\ninternal_token = [8675309]",
        "[database]\nurl = 8675309",
        "[redis]\nurl = 8675309",
        "[kafka]\nsasl_password = 8675309",
        "[simulator]\ntwilio_auth_token = 8675309",
        "[providers.a]\nkind = 'twilio'\nauth_token = 8675309",
        "[providers.a]\nkind = 'smtp'\npassword = 8675309",
        "[providers.a]\nkind = 'fcm'\nservice_account = 8675309",
        "[providers.a]\nkind = 'apns'\nkey = 8675309",
    ] {
        let said = load_with(text, &[]).unwrap_err();
        assert!(said.contains("expected") && !said.contains("8675309"), "{said}");
    }
}

#[test]
fn each_broker_has_a_host_and_a_port_and_spaces_between_them_do_not_matter() {
    let kafka = |brokers| {
        [
            ("CARILLON_KAFKA__BROKERS", brokers),
            ("CARILLON_SECURITY__ADDRESS_KEY", "k"),
        ]
    };
    let config = load_with("", &kafka("kafka-1:9092, [::1]:9093")).unwrap();
    assert_eq!(config.kafka.brokers, "kafka-1:9092,[::1]:9093");
    for (brokers, wrong) in [
        ("nonsense", "nonsense"),
        ("kafka-1:9092,kafka-2", "kafka-2"),
        ("a:b", "a:b"),
    ] {
        let said = load_with("", &kafka(brokers)).unwrap_err();
        assert_eq!(
            said,
            format!(
                "CARILLON_KAFKA__BROKERS: kafka.brokers: expected brokers as HOST:PORT, separated by commas, such as \
                 kafka-1:9092,kafka-2:9092, not \"{wrong}\""
            )
        );
    }
}

#[test]
fn the_url_of_a_provider_and_the_url_of_a_process_follow_one_rule() {
    // The two URLs are of different types, because `carillon-providers` does no I/O and `carillon-runtime` is
    // independent of notifications.
    for text in [
        "https://shop.example",
        "http://127.0.0.1:8081/",
        "https://[::1]:8443/base",
        "HTTPS://shop.example",
        "",
        "shop.example",
        "ftp://shop.example",
        "http://",
        "http:///path",
        "https://h:0x",
        "https://h?x",
        "https://h#x",
        "http://u@h",
        "http://u:hunter2@h",
        " https://h",
        "https://h h",
    ] {
        let of_provider: Result<carillon_providers::BaseUrl, String> = text.parse();
        let of_process: Result<HttpUrl, String> = text.parse();
        assert_eq!(of_provider.is_ok(), of_process.is_ok(), "{text}");
        if let (Err(provider), Err(process)) = (of_provider, of_process) {
            let begins = "expected an http or https URL without user, query and fragment";
            assert!(provider.starts_with(begins) && process.starts_with(begins));
            assert!(!provider.contains("hunter2") && !process.contains("hunter2"));
        }
    }
}
