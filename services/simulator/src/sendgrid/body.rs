//! The body of a request: its members and their types.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::error::SendGridError;

/// All members that the reference names. The unused ones are accepted and ignored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "members that a mail may have and that change nothing here"
)]
pub(super) struct Body {
    #[serde(default)]
    pub(super) personalizations: Vec<Personalization>,
    pub(super) from: Option<Address>,
    reply_to: Option<Address>,
    reply_to_list: Option<Vec<Address>>,
    pub(super) subject: Option<String>,
    #[serde(default)]
    pub(super) content: Vec<Content>,
    attachments: Option<Vec<Value>>,
    template_id: Option<String>,
    sections: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) categories: Vec<String>,
    #[serde(default)]
    pub(super) custom_args: BTreeMap<String, String>,
    send_at: Option<i64>,
    batch_id: Option<String>,
    asm: Option<Value>,
    ip_pool_name: Option<String>,
    pub(super) mail_settings: Option<MailSettings>,
    tracking_settings: Option<Value>,
}

/// An envelope: who gets the mail, and the values of the mail for them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "members that a mail may have and that change nothing here"
)]
pub(super) struct Personalization {
    pub(super) from: Option<Address>,
    #[serde(default)]
    pub(super) to: Vec<Address>,
    #[serde(default)]
    pub(super) cc: Vec<Address>,
    #[serde(default)]
    pub(super) bcc: Vec<Address>,
    pub(super) subject: Option<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    substitutions: Option<BTreeMap<String, String>>,
    dynamic_template_data: Option<Value>,
    #[serde(default)]
    pub(super) custom_args: BTreeMap<String, String>,
    send_at: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Address {
    #[serde(default)]
    pub(super) email: String,
    pub(super) name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Content {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) value: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct MailSettings {
    pub(super) sandbox_mode: Option<Switch>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Switch {
    #[serde(default)]
    pub(super) enable: bool,
}

impl Body {
    pub(super) fn parse(json: &[u8]) -> Result<Self, SendGridError> {
        let value: Value =
            serde_json::from_slice(json).map_err(|_| SendGridError::new(400, None, "Bad Request"))?;
        serde_path_to_error::deserialize(value).map_err(|error| {
            let field = field(error.path());
            SendGridError::of(field, error.into_inner().to_string())
        })
    }

    /// Whether the mail is checked and not delivered.
    pub(super) fn is_of_the_sandbox(&self) -> bool {
        let mode = self
            .mail_settings
            .as_ref()
            .and_then(|settings| settings.sandbox_mode.as_ref());
        mode.is_some_and(|mode| mode.enable)
    }
}

impl Personalization {
    /// All receivers with the name of their field, in order.
    pub(super) fn receivers(&self) -> impl Iterator<Item = (&'static str, usize, &Address)> {
        [("to", &self.to), ("cc", &self.cc), ("bcc", &self.bcc)]
            .into_iter()
            .flat_map(|(field, list)| {
                list.iter()
                    .enumerate()
                    .map(move |(at, address)| (field, at, address))
            })
    }
}

/// The recipients of a request that need not be valid.
pub(super) fn recipients(json: &[u8]) -> Vec<String> {
    let Ok(body) = serde_json::from_slice::<Value>(json) else {
        return Vec::new();
    };
    let personalizations = body["personalizations"].as_array();
    let lists = personalizations
        .into_iter()
        .flatten()
        .flat_map(|one| ["to", "cc", "bcc"].map(|field| &one[field]));
    lists
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(|address| address["email"].as_str().map(str::to_owned))
        .collect()
}

/// The path as SendGrid writes it: `personalizations.0.to.0.email`.
fn field(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let parts: Vec<String> = path
        .iter()
        .map(|segment| match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.clone(),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => "?".to_owned(),
        })
        .collect();
    parts.join(".")
}
