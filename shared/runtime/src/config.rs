//! Layered configuration: defaults < `carillon.toml` < environment (`CARILLON_SECTION__KEY`) < flags. Unknown keys are
//! an error; a secret may come from a file (`CARILLON_SECTION__KEY_FILE`).

pub mod duration;
pub mod listen;
mod mistake;
mod read;

use std::{collections::BTreeMap, path::Path};

use figment::{
    Figment, Profile,
    providers::{Format as _, Serialized, Toml},
    value::{Dict, Map, Value},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::os_sentence;

/// A text that is not shown by `Debug`.
pub type Secret = secrecy::SecretString;

/// The prefix of Carillon's environment variables.
pub const PREFIX: &str = "CARILLON_";

/// The reason for which a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value is missing, wrong or unknown. The text names the key in its original spelling, and its place.
    #[error("{0}")]
    Invalid(String),
    /// A secret's file cannot be read.
    #[error("{variable}: cannot read {path}: {}", os_sentence(.error))]
    SecretFile {
        /// The environment variable.
        variable: String,
        /// The file.
        path: String,
        /// The error.
        error: std::io::Error,
    },
    /// The named configuration file does not exist.
    #[error("the configuration file {0} does not exist")]
    NoFile(String),
}

/// The sources of a configuration, weakest first.
pub struct Layers<'a, T> {
    /// The defaults of all keys.
    pub defaults: T,
    /// `carillon.toml`, if it exists.
    pub file: Option<&'a Path>,
    /// The environment; usually [`environment`].
    pub environment: BTreeMap<String, String>,
    /// Dotted keys from flags, such as `http.listen`.
    pub flags: Vec<(String, String)>,
}

/// The process's environment variables that begin with [`PREFIX`].
#[must_use]
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars()
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect()
}

/// The value of a single key, if it can be read alone. Errors in other keys have no effect, so this is used while
/// such errors are reported.
pub fn peek<T: DeserializeOwned>(layers: Layers<'_, ()>, key: &str) -> Option<T> {
    let mut figment = Figment::new();
    if let Some(path) = layers.file {
        figment = figment.merge(Toml::file_exact(path));
    }
    for (name, value) in layers.environment {
        if let Ok(Some(variable)) = variable(&name, value) {
            figment = figment.merge(variable);
        }
    }
    for (key, value) in layers.flags {
        figment = figment.merge(Override {
            origin: format!("--set {key}"),
            key,
            value,
            is_text: false,
        });
    }
    figment.extract_inner(key).ok()
}

/// Merges the layers.
pub fn load<T: Serialize + DeserializeOwned>(layers: Layers<'_, T>) -> Result<T, ConfigError> {
    let mut base = Figment::from(Serialized::defaults(layers.defaults));
    if let Some(path) = layers.file {
        if !path.exists() {
            return Err(ConfigError::NoFile(path.display().to_string()));
        }
        is_toml(path)?;
        base = base.merge(Toml::file_exact(path));
    }
    let mut overrides = Vec::new();
    for (name, value) in layers.environment {
        overrides.extend(variable(&name, value)?);
    }
    overrides.extend(layers.flags.into_iter().map(|(key, value)| Override {
        origin: format!("--set {key}"),
        key,
        value,
        is_text: false,
    }));
    loop {
        let layered = overrides.iter().cloned().fold(base.clone(), Figment::merge);
        let error = match read::read(&layered) {
            Ok(config) => return Ok(config),
            Err(error) => error,
        };
        // `0123` and `+15550001111` look like numbers, but are texts where a text is expected.
        let is_wrong = |own: &&mut Override| !own.is_text && own.key == error.path.join(".");
        if let Some(own) = overrides.iter_mut().find(is_wrong) {
            own.is_text = true;
            continue;
        }
        // The error is in the strongest layer that sets the key or a key below it.
        let written = |key: &str| {
            let sets = |own: &&Override| {
                let rest = own.key.strip_prefix(key);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            Some(overrides.iter().rev().find(sets)?.origin.clone())
        };
        return Err(ConfigError::Invalid(mistake::describe(&error, written)));
    }
}

/// Whether a file can be read as TOML. The error names the line in which it cannot.
fn is_toml(path: &Path) -> Result<(), ConfigError> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::Invalid(format!("{name}: {}", os_sentence(&error))))?;
    let Err(error) = toml::from_str::<toml::Table>(&text) else {
        return Ok(());
    };
    let begin = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = text.get(..begin).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let what = error.message().lines().collect::<Vec<_>>().join(", ");
    let error = format!("{name}, line {line}, column {column}: expected TOML: {what}");
    Err(ConfigError::Invalid(error))
}

/// `CARILLON_SECTION__KEY` → (`section.key`, value). The value of a name that ends in `_FILE` is read from the file.
/// A name without a section, such as `CARILLON_API_KEY`, is the variable of a flag, not configuration.
fn variable(name: &str, value: String) -> Result<Option<Override>, ConfigError> {
    let Some(rest) = name.strip_prefix(PREFIX).filter(|rest| rest.contains("__")) else {
        return Ok(None);
    };
    let key = rest.to_ascii_lowercase().replace("__", ".");
    let origin = name.to_owned();
    let Some(key) = key
        .strip_suffix("_file")
        .filter(|_| !NAMES_A_FILE.contains(&key.as_str()))
    else {
        return Ok(Some(Override {
            key,
            value,
            is_text: false,
            origin,
        }));
    };
    match std::fs::read_to_string(&value) {
        Ok(secret) => {
            let value = secret.trim_end_matches(['\r', '\n']).to_owned();
            Ok(Some(Override {
                key: key.to_owned(),
                value,
                is_text: true,
                origin,
            }))
        }
        Err(error) => Err(ConfigError::SecretFile {
            variable: name.to_owned(),
            path: value,
            error,
        }),
    }
}

/// Keys that themselves end in `_file`: the value is a path, not the file of another key's secret.
const NAMES_A_FILE: [&str; 1] = ["kafka.ca_file"];

/// A value that overrides lower layers, spelled as on a command line: `true`, `8`, `1s,2s`, `text`.
#[derive(Clone)]
struct Override {
    key: String,
    value: String,
    /// Whether the value is kept as text. Otherwise a value that looks like a number, a boolean or a list becomes
    /// one.
    is_text: bool,
    /// The original spelling of the setting: an environment variable's name or a flag.
    origin: String,
}

impl figment::Provider for Override {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let value = match self.value.parse() {
            Ok(value) if !self.is_text => value,
            Ok(_) => Value::from(self.value.clone()),
            Err(never) => match never {},
        };
        let nested = figment::util::nest(&self.key, value);
        let dict = nested.into_dict().unwrap_or_default();
        Ok(Profile::Default.collect(dict))
    }
}

/// Lists that may be written as one comma-separated text: `CARILLON_RETRY__TIERS=1s,2s`.
pub mod comma_separated {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes a list.
    pub fn serialize<S: Serializer>(items: &[String], serializer: S) -> Result<S::Ok, S::Error> {
        items.serialize(serializer)
    }

    /// Reads a list, or one text with commas.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            List(Vec<String>),
            Text(String),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::List(items) => items,
            Form::Text(text) => text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    }
}

/// Secrets in a serialisable configuration. They are written as `"***"`, so that the effective configuration can be
/// printed, and read as text.
pub mod hidden {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Secret;

    /// Writes `"***"` if there is a secret.
    pub fn serialize<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
        match secret {
            Some(_) => serializer.serialize_some("***"),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a text.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(Secret::from))
    }
}

#[cfg(test)]
mod tests {
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
        assert!(matches!(
            with(&[("CARILLON_HTTP__TOKEN_FILE", "/nowhere")], None, &[]),
            Err(ConfigError::SecretFile { .. })
        ));
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
}
