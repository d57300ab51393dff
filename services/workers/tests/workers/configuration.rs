//! Accounts built from the configuration.

use std::sync::Arc;

use carillon_domain::{Channel, SystemClock, clock::SharedClock};
use carillon_providers::{FcmConfig, ProvidersConfig, SmtpConfig, TwilioConfig, twilio::TwilioRequests};
use carillon_workers::{ChannelsConfig, FcmSender, OpenError, SmtpSender, WorkersConfig, accounts};

use crate::{fcm_tokens, http_server::nobody, relay, twilio};

fn clock() -> SharedClock {
    Arc::new(SystemClock)
}

/// The setting that an error names.
#[track_caller]
fn blamed<T>(result: Result<T, impl Into<OpenError>>) -> &'static str {
    let Err(OpenError::Setting(fault)) = result.map_err(Into::into) else {
        panic!("it is refused, and says what was expected")
    };
    assert!(!fault.expected.contains("secret"), "{}", fault.expected);
    fault.key
}

#[tokio::test]
async fn each_channel_has_the_accounts_that_are_configured() {
    let mut providers = ProvidersConfig::default();
    let mut channels = ChannelsConfig::default();
    providers.insert(
        "firebase",
        fcm_tokens::config("http://127.0.0.1:1", "http://127.0.0.1:1"),
    );
    providers.insert("main", twilio::config("http://127.0.0.1:1"));
    providers.insert("spare", twilio::config("http://127.0.0.1:1"));
    providers.insert("relay", relay::config(nobody().await));
    let names = |providers: &_, channels: &_, channel| -> Vec<String> {
        let accounts = accounts(providers, channels, &WorkersConfig::default(), channel, &clock()).unwrap();
        accounts
            .iter()
            .map(|account| account.name().to_string())
            .collect()
    };
    for (channel, expected) in [
        (Channel::Push, vec!["firebase"]),
        (Channel::Sms, vec!["main", "spare"]),
        (Channel::Email, vec!["relay"]),
    ] {
        assert_eq!(names(&providers, &channels, channel), expected);
        assert!(names(&ProvidersConfig::default(), &channels, channel).is_empty());
    }
    channels.set(Channel::Sms, vec!["spare".to_owned(), "main".to_owned()]);
    assert_eq!(names(&providers, &channels, Channel::Sms), ["spare", "main"]);
}

#[test]
fn an_account_that_cannot_work_is_named_with_its_setting() {
    let mut providers = ProvidersConfig::default();
    let config = TwilioConfig {
        auth_token: None,
        ..twilio::config("http://127.0.0.1:1")
    };
    providers.insert("spare", config);
    let Err(error) = accounts(
        &providers,
        &ChannelsConfig::default(),
        &WorkersConfig::default(),
        Channel::Sms,
        &clock(),
    ) else {
        panic!("an account without a token is refused")
    };
    assert_eq!(
        error.to_string(),
        "providers.spare.auth_token: expected a token, and none is set"
    );
}

#[test]
fn a_service_account_is_read_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.json");
    std::fs::write(
        &path,
        fcm_tokens::service_account("http://127.0.0.1:1/token").to_string(),
    )
    .unwrap();
    let config = |path| FcmConfig {
        service_account: None,
        service_account_path: path,
        ..fcm_tokens::config("http://127.0.0.1:1", "http://127.0.0.1:1")
    };
    assert!(FcmSender::new(&config(Some(path)), clock()).is_ok());
    assert_eq!(blamed(FcmSender::new(&config(None), clock())), "service_account");
    let missing = dir.path().join("missing.json");
    let Err(OpenError::Setting(fault)) = FcmSender::new(&config(Some(missing.clone())), clock()) else {
        panic!("a file that is not there is refused")
    };
    assert_eq!(
        fault.to_string(),
        format!(
            "service_account_path: {}: there is no such file or folder",
            missing.display()
        )
    );
    let wrong = dir.path().join("wrong.json");
    for content in ["postgres://u:secret@h/d", "{\"project_id\": \"secret\"}"] {
        std::fs::write(&wrong, content).unwrap();
        let blamed = blamed(FcmSender::new(&config(Some(wrong.clone())), clock()));
        assert_eq!(blamed, "service_account_path");
    }
}

#[test]
fn a_configuration_that_cannot_work_is_refused_with_its_key() {
    let fcm = |text: &str| FcmConfig {
        service_account: Some(text.to_owned().into()),
        ..fcm_tokens::config("http://127.0.0.1:1", "http://127.0.0.1:1")
    };
    let mut no_key = fcm_tokens::service_account("http://127.0.0.1:1/token");
    no_key["private_key"] = "secret".into();
    for config in [fcm("{\"secret\""), fcm(&no_key.to_string())] {
        assert_eq!(blamed(FcmSender::new(&config, clock())), "service_account");
    }

    let twilio = twilio::config("http://127.0.0.1:1");
    let two_origins = TwilioConfig {
        messaging_service_sid: Some("MG00000000000000000000000000000009".parse().unwrap()),
        ..twilio.clone()
    };
    let no_origin = TwilioConfig {
        from: None,
        ..twilio.clone()
    };
    let no_token = TwilioConfig {
        auth_token: None,
        ..twilio
    };
    for config in [two_origins, no_origin] {
        assert_eq!(blamed(TwilioRequests::new("main", &config)), "from");
    }
    assert_eq!(blamed(TwilioRequests::new("main", &no_token)), "auth_token");

    let no_password = SmtpConfig {
        username: Some("shop".to_owned()),
        ..relay::config("127.0.0.1:1".parse().unwrap())
    };
    assert_eq!(blamed(SmtpSender::new(&no_password, clock())), "password");
}
