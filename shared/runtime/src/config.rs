//! Layered configuration: defaults < `carillon.toml` < environment (`CARILLON_SECTION__KEY`) < flags. Unknown keys are
//! an error; a secret may come from a file (`CARILLON_SECTION__KEY_FILE`).

pub mod duration;
mod environment;
pub mod listen;
mod mistake;
pub mod number;
mod read;
mod repair;
mod url;

use std::{collections::BTreeMap, path::Path};

use figment::{
    Figment, Profile,
    error::Kind,
    providers::{Format as _, Serialized, Toml},
    value::{Dict, Map, Value},
};
use serde::{Serialize, de::DeserializeOwned};

pub use self::{
    environment::environment,
    mistake::{Mistake, lines},
    url::HttpUrl,
};
use self::{
    environment::{unknown, variable},
    repair::Repairs,
};
use crate::os_sentence;

/// A text that is not shown by `Debug`.
pub type Secret = secrecy::SecretString;

/// The prefix of Carillon's environment variables.
pub const PREFIX: &str = "CARILLON_";

/// The reason for which a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Values are missing, wrong or unknown.
    #[error("{}", lines(.0))]
    Invalid(Vec<Mistake>),
    /// The named configuration file does not exist.
    #[error("the configuration file {0} does not exist")]
    NoFile(String),
}

/// A configuration of which some settings may have been unreadable.
#[derive(Debug)]
pub struct Reading<T> {
    /// The configuration, with defaults in the place of unreadable settings.
    pub config: T,
    /// All unreadable settings.
    pub mistakes: Vec<Mistake>,
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
            origin: format!("{}{key}", mistake::FLAG),
            key,
            value,
            is_text: false,
        });
    }
    figment.extract_inner(key).ok()
}

/// Merges the layers, which must have no mistake.
pub fn load<T: Serialize + DeserializeOwned>(layers: Layers<'_, T>) -> Result<T, ConfigError> {
    let reading = load_with_mistakes(layers)?;
    if reading.mistakes.is_empty() {
        Ok(reading.config)
    } else {
        Err(ConfigError::Invalid(reading.mistakes))
    }
}

/// Merges the layers, and goes on after a mistake with the setting's default, so that all mistakes are found. It fails
/// if a file cannot be read at all.
pub fn load_with_mistakes<T: Serialize + DeserializeOwned>(
    layers: Layers<'_, T>,
) -> Result<Reading<T>, ConfigError> {
    let defaults = Figment::from(Serialized::defaults(layers.defaults));
    let mut base = defaults.clone();
    if let Some(path) = layers.file {
        if !path.exists() {
            return Err(ConfigError::NoFile(path.display().to_string()));
        }
        is_toml(path)?;
        base = base.merge(Toml::file_exact(path));
    }
    let mut mistakes = unknown(&layers.environment, &|own: Override| {
        read::read::<T>(&base.clone().merge(own), &Repairs::default()).err()
    });
    let mut overrides = Vec::new();
    for (name, value) in layers.environment {
        match variable(&name, value) {
            Ok(own) => overrides.extend(own),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    overrides.extend(layers.flags.into_iter().map(|(key, value)| Override {
        origin: format!("{}{key}", mistake::FLAG),
        key,
        value,
        is_text: false,
    }));
    let mut repairs = Repairs::new(&defaults);
    loop {
        let layered = overrides.iter().cloned().fold(base.clone(), Figment::merge);
        let error = match read::read(&layered, &repairs) {
            Ok(config) => return Ok(Reading { config, mistakes }),
            Err(error) => error,
        };
        // `0123` and `+15550001111` look like numbers, but are texts where a text is expected.
        // A section that lacks a setting is none.
        let is_of_section = matches!(error.kind, Kind::MissingField(_));
        let is_wrong =
            |own: &&mut Override| !is_of_section && !own.is_text && own.key == error.path.join(".");
        if let Some(own) = overrides.iter_mut().find(is_wrong) {
            own.is_text = true;
            continue;
        }
        // The error is in the strongest layer that sets the key, a section or list that contains it, or a key below it.
        let written = |key: &str| {
            let is_within = |inner: &str, outer: &str| {
                let rest = inner.strip_prefix(outer);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            let sets = |own: &&Override| is_within(&own.key, key) || is_within(key, &own.key);
            let own = overrides.iter().rev().find(sets)?;
            Some(mistake::SetBy {
                origin: own.origin.clone(),
                is_below: own.key.len() > key.len(),
            })
        };
        if !repairs.has_caused(&error) {
            mistakes.push(mistake::describe(&error, written));
        }
        if !repairs.add(&error) {
            return Err(ConfigError::Invalid(mistakes));
        }
    }
}

/// Whether a file can be read as TOML. The error names the line in which it cannot.
fn is_toml(path: &Path) -> Result<(), ConfigError> {
    let name = path.display();
    let invalid = |text: String| ConfigError::Invalid(vec![Mistake::new("", text)]);
    let text =
        std::fs::read_to_string(path).map_err(|error| invalid(format!("{name}: {}", os_sentence(&error))))?;
    let Err(error) = toml::from_str::<toml::Table>(&text) else {
        return Ok(());
    };
    let begin = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = text.get(..begin).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let what = error.message().lines().collect::<Vec<_>>().join(", ");
    Err(invalid(format!(
        "{name}, line {line}, column {column}: expected TOML: {what}"
    )))
}

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
/// printed, and read as a text that is not empty.
pub mod hidden {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::Secret;

    /// The value in the error is left out, since it may be a secret that was written as another type, such as a number.
    const EXPECTED: &str = "expected a text that is not empty";

    /// Writes `"***"` if there is a secret.
    pub fn serialize<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
        match secret {
            Some(_) => serializer.serialize_some("***"),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a text.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
        match Option::<String>::deserialize(deserializer) {
            Ok(None) => Ok(None),
            Ok(Some(text)) if !text.trim().is_empty() => Ok(Some(text.into())),
            Ok(Some(_)) | Err(_) => Err(D::Error::custom(EXPECTED)),
        }
    }
}

#[cfg(test)]
mod tests;
