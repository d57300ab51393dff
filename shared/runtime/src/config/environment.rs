//! Settings in environment variables.

use std::collections::BTreeMap;

use figment::error::Kind;

use super::{Mistake, Override, PREFIX};
use crate::os_sentence;

/// Carillon's environment variables that are not settings: those of flags, and the beginnings of those of this
/// repository's scripts and tests. Every other variable that begins with [`PREFIX`] has to be a setting.
const NOT_SETTINGS: [&str; 5] = [
    "CARILLON_API_KEY",
    "CARILLON_CONFIG",
    "CARILLON_URL",
    "CARILLON_CI_",
    "CARILLON_TEST_",
];

/// Keys that themselves end in `_file`: the value is a path, not the file of another key's secret.
const NAMES_A_FILE: [&str; 1] = ["kafka.ca_file"];

/// The most underscores of an unknown name for which the nearest setting is looked for.
const MAX_UNDERSCORES: usize = 6;
/// The similarity from which on a name is suggested.
const SIMILAR: f64 = 0.8;

/// The process's environment variables that begin with [`PREFIX`].
#[must_use]
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
        .collect()
}

/// `CARILLON_SECTION__KEY` → (`section.key`, value). The value of a name that ends in `_FILE` is read from the file.
/// A name without a section, such as `CARILLON_API_KEY`, is no setting.
pub(super) fn variable(name: &str, value: String) -> Result<Option<Override>, Mistake> {
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
        Err(error) => Err(Mistake::new(
            key,
            format!("{name}: cannot read {value}: {}", os_sentence(&error)),
        )),
    }
}

/// The variables that are neither settings nor variables of something else. `fault` reads the configuration with one
/// more value.
pub(super) fn unknown(
    environment: &BTreeMap<String, String>,
    fault: &dyn Fn(Override) -> Option<figment::Error>,
) -> Vec<Mistake> {
    let unknown = environment.iter().filter(|(name, value)| {
        let is_setting = name.strip_prefix(PREFIX).is_some_and(|rest| rest.contains("__"));
        !is_setting && !is_no_setting(name) && !is_of_kubernetes(name, value)
    });
    let mistake = |(name, value): (&String, &String)| {
        let hint = match nearest(name, value, fault) {
            Some(nearest) => format!("did you mean {nearest}?"),
            None => "settings are named CARILLON_SECTION__KEY, such as CARILLON_HTTP__LISTEN".to_owned(),
        };
        Mistake::new("", format!("{name}: there is no such variable; {hint}"))
    };
    unknown.map(mistake).collect()
}

fn is_no_setting(name: &str) -> bool {
    NOT_SETTINGS
        .iter()
        .any(|known| *known == name || known.ends_with('_') && name.starts_with(known))
}

/// Whether Kubernetes has set a variable for a service whose name begins with `carillon`: `CARILLON_SERVICE_HOST`,
/// `CARILLON_GATEWAY_PORT=tcp://10.0.0.1:80`, `CARILLON_GATEWAY_PORT_80_TCP_ADDR`.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || ["tcp://", "udp://", "sctp://"]
            .iter()
            .any(|scheme| value.starts_with(scheme))
        || [
            "_TCP_PROTO",
            "_TCP_PORT",
            "_TCP_ADDR",
            "_UDP_PROTO",
            "_UDP_PORT",
            "_UDP_ADDR",
        ]
        .iter()
        .any(|end| name.ends_with(end))
}

/// The known name that is most similar to an unknown one. The settings are found by reading: each `_` may stand for
/// `__`, and an error about an unknown key lists the known ones beside it.
fn nearest(name: &str, value: &str, fault: &dyn Fn(Override) -> Option<figment::Error>) -> Option<String> {
    let rest = name.strip_prefix(PREFIX)?;
    // The variable may name the file of a secret.
    if let Some(secret) = rest.strip_suffix("_FILE").filter(|_| value.contains('/'))
        && let Some(setting) = nearest(&format!("{PREFIX}{secret}"), "", fault)
    {
        return Some(format!("{setting}_FILE"));
    }
    let words: Vec<&str> = rest.split('_').collect();
    let gaps = (words.len() - 1).min(MAX_UNDERSCORES);
    let mut known: Vec<String> = NOT_SETTINGS
        .iter()
        .filter(|name| !name.ends_with('_'))
        .map(ToString::to_string)
        .collect();
    for doubled in 1..1_u32 << gaps {
        let mut key = words[0].to_ascii_lowercase();
        for (gap, word) in words[1..].iter().enumerate() {
            key.push(if doubled & (1 << gap) == 0 { '_' } else { '.' });
            key.push_str(&word.to_ascii_lowercase());
        }
        let value = value.to_owned();
        let own = Override {
            key: key.clone(),
            value,
            is_text: false,
            origin: String::new(),
        };
        match fault(own) {
            Some(error) if is_of_section(&error) => {}
            Some(error) => match error.kind {
                Kind::UnknownField(_, siblings) => {
                    let section = error.path.split_last().map(|(_, section)| section.join("."));
                    if let Some(section) = section.filter(|section| !section.is_empty()) {
                        known.extend(
                            siblings
                                .iter()
                                .map(|key| variable_of(&format!("{section}.{key}"))),
                        );
                    }
                }
                _ => known.push(variable_of(&key)),
            },
            None => known.push(variable_of(&key)),
        }
    }
    let score = |known: &str| strsim::jaro_winkler(rest, known.strip_prefix(PREFIX).unwrap_or(known));
    let best = known.into_iter().max_by(|a, b| score(a).total_cmp(&score(b)))?;
    (score(&best) > SIMILAR).then_some(best)
}

/// Whether the key is a section, which has no value of its own.
fn is_of_section(error: &figment::Error) -> bool {
    matches!(&error.kind, Kind::InvalidType(_, expected) if expected.starts_with("struct ") || expected.contains("section"))
}

/// The variable that sets a key.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"))
}
