//! Layered configuration: defaults < `carillon.toml` < environment (`CARILLON_SECTION__KEY`) < flags. Unknown keys are
//! an error; a secret may come from a file (`CARILLON_SECTION__KEY_FILE`).

pub mod duration;
pub mod listen;
mod mistake;

use std::{collections::BTreeMap, path::Path};

use figment::{
    Figment, Profile,
    providers::{Format as _, Serialized, Toml},
    value::{Dict, Map, Value},
};
use serde::{Serialize, de::DeserializeOwned};

/// A text that does not print itself.
pub type Secret = secrecy::SecretString;

/// What every environment variable of Carillon begins with.
pub const PREFIX: &str = "CARILLON_";

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value is missing, wrong or unknown; the text names the key as it was written and where it was.
    #[error("{0}")]
    Invalid(String),
    /// A secret's file cannot be read.
    #[error("{variable}: cannot read {path}: {error}")]
    SecretFile {
        /// Which variable named it.
        variable: String,
        /// The file.
        path: String,
        /// Why not.
        error: std::io::Error,
    },
    /// The configuration file was named and is not there.
    #[error("the configuration file {0} does not exist")]
    NoFile(String),
}

/// Where a configuration comes from, weakest first.
pub struct Layers<'a, T> {
    /// Every key's default.
    pub defaults: T,
    /// `carillon.toml`, if there is one.
    pub file: Option<&'a Path>,
    /// Usually [`environment`].
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

/// One key's value, if it can be read by itself. Mistakes in other keys do not matter, so it serves to report
/// such mistakes.
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

/// Puts the layers together.
pub fn load<T: Serialize + DeserializeOwned>(layers: Layers<'_, T>) -> Result<T, ConfigError> {
    let mut base = Figment::from(Serialized::defaults(layers.defaults));
    if let Some(path) = layers.file {
        if !path.exists() {
            return Err(ConfigError::NoFile(path.display().to_string()));
        }
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
        let error = match layered.extract() {
            Ok(config) => return Ok(config),
            Err(error) => error,
        };
        // `0123` and `+15550001111` look like numbers; where a text is expected, they are texts.
        let is_wrong = |own: &&mut Override| !own.is_text && own.key == error.path.join(".");
        if let Some(own) = overrides.iter_mut().find(is_wrong) {
            own.is_text = true;
            continue;
        }
        // The mistake is in the strongest layer that sets the key or a key below it.
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

/// `CARILLON_SECTION__KEY` → (`section.key`, value); a name that ends in `_FILE` takes the file's content. A name
/// without a section, such as `CARILLON_API_KEY`, is not configuration but a flag's own variable.
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

/// Keys that end in `_file` themselves: their value is a path, not the place of another key's secret.
const NAMES_A_FILE: [&str; 1] = ["kafka.ca_file"];

/// One value that outweighs the layers below, written as people do on a command line: `true`, `8`, `1s,2s`, `text`.
#[derive(Clone)]
struct Override {
    key: String,
    value: String,
    /// Taken as it is; otherwise what looks like a number, a truth or a list is one.
    is_text: bool,
    /// The setting as it was written: an environment variable's name or a flag.
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

/// Secrets in a serialisable configuration: they are written as `"***"` (so that the effective configuration can be
/// printed) and read as text.
pub mod hidden {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Secret;

    /// Writes three stars if there is a secret.
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
    fn a_flag_outweighs_the_environment_which_outweighs_the_file() {
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
            format!("--set http.prot: http.prot: {ending}")
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
    fn a_wrong_value_is_named_with_its_place_and_what_was_expected() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("carillon.toml");
        std::fs::write(&file, "[http]\nport = \"eighty\"\n").unwrap();
        let error = with(&[], Some(&file), &[]).unwrap_err().to_string();
        let expected =
            "http.port: expected a whole number that is not negative and not too large, not \"eighty\"";
        assert_eq!(error, format!("{}: {expected}", file.display()));
        let error = with(&[("CARILLON_HTTP__PORT", "eighty")], None, &[])
            .unwrap_err()
            .to_string();
        assert_eq!(error, format!("CARILLON_HTTP__PORT: {expected}"));
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
