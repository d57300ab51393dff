//! Defaults in the place of unreadable settings, so that the settings after them are read too.

use figment::{
    Error, Figment,
    error::Kind,
    value::{Dict, Value},
};

use super::mistake;

/// The setting that chooses the types of the other settings of its section.
pub(super) const KIND: &str = "kind";

/// The settings that are read as if nobody had set them.
#[derive(Default)]
pub(super) struct Repairs {
    defaults: Option<Value>,
    paths: Vec<Vec<String>>,
}

impl Repairs {
    pub(super) fn new(defaults: &Figment) -> Self {
        Self {
            defaults: defaults.find_value("").ok(),
            paths: Vec::new(),
        }
    }

    /// Whether an error says that a setting is missing which was left out as unreadable.
    pub(super) fn has_caused(&self, error: &Error) -> bool {
        let Kind::MissingField(name) = &error.kind else {
            return false;
        };
        let missing = [&error.path[..], &[name.to_string()]].concat();
        self.paths.contains(&missing)
    }

    /// Leaves out the setting that an error is about, or the section around it if the setting was left out before.
    /// Returns false if nothing is left to leave out.
    pub(super) fn add(&mut self, error: &Error) -> bool {
        let mut path = mistake::path(error);
        // The other settings of its section cannot be read without it.
        if path.last().is_some_and(|key| key == KIND) {
            path.pop();
        }
        while self.paths.contains(&path) {
            path.pop();
        }
        let is_setting = !path.is_empty();
        self.paths.push(path);
        is_setting
    }

    /// The settings after all repairs.
    pub(super) fn apply(&self, mut settings: Value) -> Value {
        for path in &self.paths {
            if let Value::Dict(_, section) = &mut settings {
                let default = self.defaults.as_ref().and_then(|value| value.as_dict());
                repair(section, path, default);
            }
        }
        settings
    }
}

/// Puts the default in the place of the setting at a path; without a default, removes the setting. The path of a list's
/// item repairs the list.
fn repair(section: &mut Dict, path: &[String], defaults: Option<&Dict>) {
    let Some((key, rest)) = path.split_first() else {
        return;
    };
    let default = defaults.and_then(|section| section.get(key));
    if let Some(Value::Dict(_, inner)) = section.get_mut(key)
        && !rest.is_empty()
    {
        repair(inner, rest, default.and_then(Value::as_dict));
        return;
    }
    match default {
        Some(default) => section.insert(key.clone(), default.clone()),
        None => section.remove(key),
    };
}
