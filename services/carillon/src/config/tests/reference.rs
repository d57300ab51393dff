//! The reference file, `deploy/carillon.toml`.

use std::fs;

use super::{load_unchecked, load_with};
use crate::{check, commands::secrets, config::Config};

const REFERENCE: &str = include_str!("../../../../../deploy/carillon.toml");

/// The beginning of a line whose setting is not in use: one without a default, or an alternative to another setting.
const MARK: &str = "#";
const ALTERNATIVE: &str = "#or ";

/// The files that the settings name, below `/etc/carillon`, and those that `carillon secrets` generates for them.
const FILES: [(&str, &str); 4] = [
    ("service-account.json", "providers/fcm_service_account.json"),
    ("AuthKey_F6G7H8I9J0.p8", "providers/apns_key.p8"),
    ("authority.pem", "providers/apns_authority.pem"),
    ("ca.pem", "providers/apns_authority.pem"),
];

/// The settings that hold the content of a file.
const CONTENTS: [(&str, &str); 7] = [
    ("service_account", "providers/fcm_service_account.json"),
    ("key", "providers/apns_key.p8"),
    ("apns_certificate_pem", "simulator/apns_certificate.pem"),
    ("apns_certificate_key_pem", "simulator/apns_certificate_key.pem"),
    ("apns_public_key_pem", "simulator/apns_public_key.pem"),
    ("sendgrid_webhook_key_pem", "providers/apns_key.p8"),
    ("service_account_public_key_pem", "simulator/fcm_public_key.pem"),
];

/// A line of the file without its mark, if it is a setting or a section.
fn setting<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(mark)?;
    rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[')
        .then_some(rest)
}

/// The file with the settings behind a `#` in use. If `with_alternatives` is set, each alternative behind `#or`
/// replaces the setting that its comment names.
fn in_use(with_alternatives: bool) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut section = 0;
    for line in REFERENCE.lines() {
        let alternative = setting(line, ALTERNATIVE);
        if let Some(alternative) = alternative {
            if !with_alternatives {
                continue;
            }
            if let Some((_, named)) = alternative.split_once("instead of ") {
                let named = format!("{} = ", named.trim());
                lines = lines
                    .iter()
                    .enumerate()
                    .filter(|(number, line)| *number < section || !line.starts_with(&named))
                    .map(|(_, line)| line.clone())
                    .collect();
            }
        }
        let line = alternative.or_else(|| setting(line, MARK)).unwrap_or(line);
        lines.push(line.to_owned());
        if line.starts_with('[') {
            section = lines.len();
        }
    }
    lines.join("\n")
}

/// A folder with the files that the settings name.
fn with_files(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    for audience in ["carillon", "providers", "receipts", "simulator", "postgres"] {
        fs::create_dir(folder.path().join(audience)).unwrap();
    }
    secrets::generate(folder.path(), None).unwrap();
    let at = |name: &str| folder.path().join(name);
    let text = FILES.iter().fold(text.to_owned(), |text, (named, file)| {
        text.replace(&format!("/etc/carillon/{named}"), &at(file).display().to_string())
    });
    let text = CONTENTS.iter().fold(text, |text, (name, file)| {
        let content = toml::Value::from(fs::read_to_string(at(file)).unwrap());
        text.replace(&format!("\n{name} = \"…\""), &format!("\n{name} = {content}"))
    });
    (folder, text)
}

fn checked(text: &str) -> Result<(), String> {
    let config = load_with(text, &[])?;
    check::of_all(&config, Vec::new()).map_err(|error| error.to_string())
}

#[test]
fn the_reference_file_has_the_defaults() {
    let read =
        |text: &str| load_with(text, &[]).unwrap_or_else(|error| panic!("deploy/carillon.toml: {error}"));
    let [reference, defaults] =
        [read(REFERENCE), Config::default()].map(|config| toml::to_string(&config).unwrap());
    assert_eq!(reference, defaults);
}

#[test]
fn every_key_of_the_reference_file_is_known_and_every_optional_key_stands_in_it() {
    let all: Vec<&str> = REFERENCE
        .lines()
        .map(|line| {
            setting(line, ALTERNATIVE)
                .or_else(|| setting(line, MARK))
                .unwrap_or(line)
        })
        .collect();
    let config = load_unchecked(&all.join("\n"), &[]).unwrap_or_else(|error| panic!("{error}"));
    // Unset optional settings are left out, so that a key that the file omits shows as a missing line.
    let debug = format!("{config:?}");
    assert!(
        !debug.contains("None"),
        "the reference file lacks a setting: {debug}"
    );
}

#[test]
fn the_reference_file_with_all_its_settings_in_use_passes_the_check_of_the_configuration() {
    let text = in_use(false);
    assert!(!text.contains("\"…\""), "a value has no valid form");
    let (_folder, text) = with_files(&text);
    checked(&text).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_reference_file_with_all_its_alternatives_in_use_passes_the_check_of_the_configuration() {
    let text = in_use(true);
    assert!(!text.contains("\nfrom = \"+1555") && text.contains("\nmessaging_service_sid"));
    let (_folder, text) = with_files(&text);
    assert!(!text.contains("\"…\""), "a value has no valid form");
    let text = text
        .replace("\nbrokers = \"\"", "\nbrokers = \"kafka-1:9092,kafka-2:9092\"")
        .replace("\nsecurity = \"plaintext\"", "\nsecurity = \"sasl_ssl\"");
    match checked(&text) {
        // In a binary without TLS to Kafka, the missing feature is the only error.
        Err(error) if !cfg!(feature = "kafka-tls") => assert_eq!(
            error,
            "the configuration is invalid: kafka.security: this binary was built without the feature kafka-tls"
        ),
        checked => checked.unwrap_or_else(|error| panic!("{error}")),
    }
}
