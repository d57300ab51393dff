//! The categories under which SendGrid counts an account's mails.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use carillon_domain::field_error::quoted;

/// The most categories of a mail (<https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send>).
const MOST: usize = 10;
/// The longest category, in characters.
const LONGEST: usize = 255;

/// The categories under which SendGrid counts an account's mails: at most 10 different ones. In a configuration they are a
/// list, or one text with commas.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Categories(Vec<String>);

impl Categories {
    /// Checks the names.
    pub fn new(names: Vec<String>) -> Result<Self, String> {
        if names.len() > MOST {
            return Err(format!("expected at most {MOST} categories, not {}", names.len()));
        }
        for (at, name) in names.iter().enumerate() {
            let length = name.chars().count();
            if name.trim() != name || !(1..=LONGEST).contains(&length) || name.chars().any(char::is_control) {
                return Err(format!(
                    "expected categories of 1 to {LONGEST} characters without control characters and outer spaces, not {}",
                    quoted(name)
                ));
            }
            if names[..at].contains(name) {
                return Err(format!("expected each category once, not {} twice", quoted(name)));
            }
        }
        Ok(Self(names))
    }

    /// The names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Categories {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a list of names, or one text with commas")]
        enum Form {
            List(Vec<String>),
            Text(String),
        }
        let names = match Form::deserialize(deserializer)? {
            Form::List(names) => names,
            Form::Text(text) => text
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
        };
        Self::new(names).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_are_few_short_and_different() {
        let read = |json: &str| serde_json::from_str::<Categories>(json).map_err(|error| error.to_string());
        assert_eq!(read(r#""shop, orders""#).unwrap().names(), ["shop", "orders"]);
        assert_eq!(read(r#"["Läden"]"#).unwrap().names(), ["Läden"]);
        assert!(read("[]").unwrap().is_empty());
        let eleven = format!("{:?}", (0..11).map(|n| n.to_string()).collect::<Vec<_>>());
        let long = format!("[\"{}\"]", "x".repeat(256));
        for wrong in [
            r#"["a","a"]"#,
            r#"[""]"#,
            r#"[" a"]"#,
            r#"["a\nb"]"#,
            &long,
            &eleven,
            "7",
        ] {
            let said = read(wrong).unwrap_err();
            assert!(said.starts_with("expected"), "{wrong}: {said}");
        }
    }
}
