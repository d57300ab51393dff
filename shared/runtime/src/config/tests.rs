//! Layers, their errors, and the variables of the environment.

use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::*;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    http: Http,
    retry: Retry,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Http {
    port: u16,
    #[serde(with = "hidden", default)]
    token: Option<Secret>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Retry {
    #[serde(with = "comma_separated")]
    tiers: Vec<String>,
}

fn defaults() -> Config {
    Config {
        http: Http { port: 1, token: None },
        retry: Retry {
            tiers: vec!["5s".into()],
        },
    }
}

fn with(
    environment: &[(&str, &str)],
    file: Option<&Path>,
    flags: &[(&str, &str)],
) -> Result<Config, ConfigError> {
    let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    load(Layers {
        defaults: defaults(),
        file,
        environment: own(environment).into_iter().collect(),
        flags: own(flags),
    })
}

#[test]
fn a_flag_overrides_the_environment_which_overrides_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("carillon.toml");
    std::fs::write(&file, "[http]\nport = 2\n").unwrap();
    assert_eq!(with(&[], Some(&file), &[]).unwrap().http.port, 2);
    assert_eq!(
        with(&[("CARILLON_HTTP__PORT", "3")], Some(&file), &[])
            .unwrap()
            .http
            .port,
        3
    );
    assert_eq!(
        with(
            &[("CARILLON_HTTP__PORT", "3")],
            Some(&file),
            &[("http.port", "4")]
        )
        .unwrap()
        .http
        .port,
        4
    );
}

#[test]
fn an_unknown_key_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("carillon.toml");
    std::fs::write(&file, "[http]\nprot = 2\n").unwrap();
    let said = |environment: &[(&str, &str)], file: Option<&Path>, flags: &[(&str, &str)]| {
        with(environment, file, flags).unwrap_err().to_string()
    };
    let ending = "there is no such setting; did you mean http.port?";
    assert_eq!(
        said(&[("CARILLON_HTTP__PROT", "3")], None, &[]),
        format!("CARILLON_HTTP__PROT: http.prot: {ending}")
    );
    assert_eq!(
        said(&[], None, &[("http.prot", "3")]),
        format!("--set http.prot: {ending}")
    );
    assert_eq!(
        said(&[], Some(&file), &[]),
        format!("{}: http.prot: {ending}", file.display())
    );
    assert_eq!(
        said(&[("CARILLON_QUEUE__X", "3")], None, &[]),
        "CARILLON_QUEUE__X: queue: there is no such setting; expected one of http, retry"
    );
}

#[test]
fn a_wrong_value_is_named_with_its_place_and_the_expected_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("carillon.toml");
    std::fs::write(&file, "[http]\nport = \"eighty\"\n").unwrap();
    let error = with(&[], Some(&file), &[]).unwrap_err().to_string();
    let expected = "http.port: expected a whole number from 0 to 65535, not \"eighty\"";
    assert_eq!(error, format!("{}: {expected}", file.display()));
    let error = with(&[("CARILLON_HTTP__PORT", "eighty")], None, &[])
        .unwrap_err()
        .to_string();
    assert_eq!(error, format!("CARILLON_HTTP__PORT: {expected}"));
}

#[test]
fn a_file_that_is_no_toml_or_cannot_be_read_is_named_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("carillon.toml");
    std::fs::write(&file, "[http]\nport = [\n").unwrap();
    let error = with(&[], Some(&file), &[]).unwrap_err().to_string();
    let begin = format!("{}, line 2, column 9: expected TOML: ", file.display());
    assert!(error.starts_with(&begin) && error.lines().count() == 1, "{error}");
    std::fs::write(&file, b"\xff").unwrap();
    let error = with(&[], Some(&file), &[]).unwrap_err().to_string();
    assert_eq!(error, format!("{}: it is not a text in UTF-8", file.display()));
    let error = with(&[], Some(dir.path()), &[]).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("{}: it is a folder, and a file is expected", dir.path().display())
    );
}

#[test]
fn a_secret_can_come_from_a_file_and_does_not_print_itself() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    let config = with(
        &[("CARILLON_HTTP__TOKEN_FILE", file.to_str().unwrap())],
        None,
        &[],
    )
    .unwrap();
    assert_eq!(config.http.token.as_ref().unwrap().expose_secret(), "s3cret");
    assert!(!format!("{config:?}{}", toml::to_string(&config).unwrap()).contains("s3cret"));
    let said = with(&[("CARILLON_HTTP__TOKEN_FILE", "/nowhere")], None, &[]).unwrap_err();
    assert_eq!(
        said.to_string(),
        "CARILLON_HTTP__TOKEN_FILE: cannot read /nowhere: there is no such file or folder"
    );
}

#[test]
fn digits_are_a_text_where_a_text_is_expected() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "0123").unwrap();
    for (name, value) in [
        ("CARILLON_HTTP__TOKEN", "+15550001111"),
        ("CARILLON_HTTP__TOKEN_FILE", file.to_str().unwrap()),
    ] {
        let config = with(&[(name, value)], None, &[]).unwrap();
        let token = config.http.token.unwrap().expose_secret().to_owned();
        assert!(token == "+15550001111" || token == "0123", "{token}");
    }
    assert!(with(&[("CARILLON_HTTP__PORT", "eighty")], None, &[]).is_err());
}

#[test]
fn a_list_can_be_written_with_commas() {
    let config = with(&[("CARILLON_RETRY__TIERS", "1s, 2s")], None, &[]).unwrap();
    assert_eq!(config.retry.tiers, ["1s", "2s"]);
}

#[test]
fn a_named_file_that_is_not_there_is_an_error() {
    assert!(matches!(
        with(&[], Some(Path::new("/nowhere.toml")), &[]),
        Err(ConfigError::NoFile(_))
    ));
}

#[test]
fn a_variable_that_is_no_setting_is_refused_with_the_nearest_known_name() {
    let said = |name: &str, value: &str| with(&[(name, value)], None, &[]).unwrap_err().to_string();
    for (name, value, hint) in [
        ("CARILLON_HTTP_PORT", "3", "did you mean CARILLON_HTTP__PORT?"),
        (
            "CARILLON_HTTP_PORT",
            "eighty",
            "did you mean CARILLON_HTTP__PORT?",
        ),
        ("CARILLON_HTTP_PROT", "3", "did you mean CARILLON_HTTP__PORT?"),
        (
            "CARILLON_RETRY_TIERS",
            "1s",
            "did you mean CARILLON_RETRY__TIERS?",
        ),
        ("CARILLON_API_KEYS", "k", "did you mean CARILLON_API_KEY?"),
        ("CARILLON_APIKEY", "k", "did you mean CARILLON_API_KEY?"),
        (
            "CARILLON_FOO",
            "1",
            "settings are named CARILLON_SECTION__KEY, such as CARILLON_HTTP__LISTEN",
        ),
        (
            "CARILLON_",
            "1",
            "settings are named CARILLON_SECTION__KEY, such as CARILLON_HTTP__LISTEN",
        ),
    ] {
        assert_eq!(
            said(name, value),
            format!("{name}: there is no such variable; {hint}")
        );
    }
}

#[test]
fn variables_of_flags_scripts_tests_and_kubernetes_are_no_settings() {
    for (name, value) in [
        ("CARILLON_API_KEY", "k"),
        ("CARILLON_URL", "http://h"),
        ("CARILLON_CONFIG", "x"),
        ("CARILLON_CI_KAFKA", "required"),
        ("CARILLON_TEST_KAFKA_DATA", "/tmp/x"),
        ("CARILLON_SERVICE_HOST", "10.0.0.1"),
        ("CARILLON_GATEWAY_SERVICE_PORT_HTTP", "80"),
        ("CARILLON_PORT", "tcp://10.0.0.1:80"),
        ("CARILLON_GATEWAY_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("CARILLON_GATEWAY_PORT_80_TCP", "tcp://10.0.0.1:80"),
    ] {
        assert_eq!(with(&[(name, value)], None, &[]).unwrap().http.port, 1, "{name}");
    }
}

#[test]
fn the_error_of_a_flag_names_its_key_once() {
    let said = |flags: &[(&str, &str)]| with(&[], None, flags).unwrap_err().to_string();
    assert_eq!(
        said(&[("http.port", "eighty")]),
        "--set http.port: expected a whole number from 0 to 65535, not \"eighty\""
    );
    assert_eq!(
        said(&[("queue.x", "1")]),
        "--set queue.x: there is no such setting; expected one of http, retry"
    );
}

#[test]
fn all_mistakes_are_listed_and_none_that_only_follows_from_another() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("carillon.toml");
    std::fs::write(
        &file,
        "[http]\nport = \"eighty\"\nprot = 2\n[retry]\ntiers = [1, 2]\n",
    )
    .unwrap();
    let environment = [
        ("CARILLON_FOO", "1"),
        ("CARILLON_QUEUE__X", "1"),
        ("CARILLON_HTTP__TOKEN_FILE", "/nowhere"),
    ];
    let flags = [("http.token", "")];
    let said = with(&environment, Some(&file), &flags).unwrap_err().to_string();
    let place = format!("{}: ", file.display());
    let lines: Vec<String> = said.lines().map(|line| line.replace(&place, "")).collect();
    assert_eq!(lines[0], "the configuration has 7 mistakes:");
    for expected in [
        "  CARILLON_FOO: there is no such variable; ",
        "  CARILLON_HTTP__TOKEN_FILE: cannot read /nowhere: ",
        "  CARILLON_QUEUE__X: queue: there is no such setting; ",
        "  http.port: expected a whole number from 0 to 65535, not \"eighty\"",
        "  http.prot: there is no such setting; did you mean http.port?",
        "  --set http.token: expected a text that is not empty",
        "  retry.tiers: ",
    ] {
        let found = lines.iter().filter(|line| line.starts_with(expected)).count();
        assert_eq!(found, 1, "{expected} in {said}");
    }
}

#[test]
fn a_missing_setting_is_told_with_its_own_variable_and_not_with_that_of_another_setting() {
    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Accounts {
        accounts: BTreeMap<String, Account>,
    }
    #[derive(Debug, Serialize, Deserialize)]
    struct Account {
        port: u16,
        host: String,
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("carillon.toml");
    std::fs::write(&file, "[accounts.filed]\nport = 1\n").unwrap();
    let said = |file: Option<&Path>, environment: &[(&str, &str)]| {
        let pairs = environment.iter();
        let layers = Layers {
            defaults: Accounts::default(),
            file,
            environment: pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            flags: Vec::new(),
        };
        load(layers).unwrap_err().to_string()
    };
    assert_eq!(
        said(None, &[("CARILLON_ACCOUNTS__MAIN__PORT", "80")]),
        "accounts.main: host is missing (CARILLON_ACCOUNTS__MAIN__HOST)"
    );
    let filed = said(Some(&file), &[("CARILLON_ACCOUNTS__FILED__PORT", "80")]);
    assert_eq!(
        filed,
        "accounts.filed: host is missing (CARILLON_ACCOUNTS__FILED__HOST)"
    );
    // A section that one variable sets as a whole is wrong there.
    assert_eq!(
        said(None, &[("CARILLON_ACCOUNTS__MAIN", "{port=80}")]),
        "CARILLON_ACCOUNTS__MAIN: accounts.main: host is missing"
    );
    assert_eq!(
        said(None, &[("CARILLON_ACCOUNTS__MAIN", "{port=\"x\",host=\"h\"}")]),
        "CARILLON_ACCOUNTS__MAIN: accounts.main.port: expected a whole number from 0 to 65535, not \"x\""
    );
}

#[test]
fn a_setting_without_a_default_that_cannot_be_read_is_not_called_missing_too() {
    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Accounts {
        accounts: BTreeMap<String, Account>,
    }
    #[derive(Debug, Serialize, Deserialize)]
    struct Account {
        port: u16,
        #[serde(rename = "kind")]
        _kind: String,
    }
    let flags = [
        ("accounts.a.kind", "x"),
        ("accounts.a.port", "eighty"),
        ("accounts.b.port", "80"),
        ("accounts.c.kind.x", "1"),
        ("accounts.c.port", "eighty"),
    ];
    let reading = load_with_mistakes(Layers {
        defaults: Accounts::default(),
        file: None,
        environment: BTreeMap::new(),
        flags: flags
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec(),
    })
    .unwrap();
    let said: Vec<String> = reading.mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "--set accounts.a.port: expected a whole number from 0 to 65535, not \"eighty\"",
            "accounts.b: kind is missing",
            "accounts.c.kind: expected a string, not a section",
        ]
    );
    assert!(reading.config.accounts.is_empty());
    assert!(reading.mistakes[0].concerns("accounts.a") && reading.mistakes[0].concerns("accounts.a.port"));
    assert!(!reading.mistakes[0].concerns("accounts.ab") && !reading.mistakes[0].concerns("http"));
}
