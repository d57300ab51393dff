//! The body of `SendEmail`, and the rules for it. SES ignores members that it does not know.

use serde::Deserialize;
use serde_json::Value;

use super::error::SesError;

const MAX_RECIPIENTS: usize = 50;
const MAX_TAG: usize = 256;
const MAX_HEADERS: usize = 15;
const MAX_HEADER_NAME: usize = 126;
const MAX_HEADER: usize = 996;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SendEmail {
    pub(super) from_email_address: Option<String>,
    #[serde(default)]
    pub(super) destination: Destination,
    pub(super) content: Option<Content>,
    #[serde(default)]
    pub(super) email_tags: Vec<Tag>,
    pub(super) configuration_set_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Destination {
    #[serde(rename = "ToAddresses")]
    to: Vec<String>,
    #[serde(rename = "CcAddresses")]
    cc: Vec<String>,
    #[serde(rename = "BccAddresses")]
    bcc: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Content {
    pub(super) simple: Option<Simple>,
    pub(super) raw: Option<Raw>,
    pub(super) template: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Raw {
    pub(super) data: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Simple {
    pub(super) subject: Data,
    pub(super) body: Body,
    #[serde(default)]
    pub(super) headers: Vec<Header>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Body {
    pub(super) text: Option<Data>,
    pub(super) html: Option<Data>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Data {
    pub(super) data: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) value: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    pub(super) name: String,
    pub(super) value: String,
}

impl Destination {
    /// All receivers, in order.
    pub(super) fn all(&self) -> impl Iterator<Item = &String> {
        [&self.to, &self.cc, &self.bcc].into_iter().flatten()
    }
}

impl SendEmail {
    pub(super) fn parse(json: &[u8]) -> Result<Self, SesError> {
        serde_json::from_slice(json)
            .map_err(|error| SesError::new(400, "SerializationException", error.to_string()))
    }

    /// Checks the members besides addresses and MIME.
    pub(super) fn check(&self) -> Result<(), SesError> {
        let Some(content) = &self.content else {
            return Err(SesError::bad_request(
                "1 validation error detected: 'content' must not be null",
            ));
        };
        let forms = [
            content.simple.is_some(),
            content.raw.is_some(),
            content.template.is_some(),
        ];
        if forms.iter().filter(|is_given| **is_given).count() != 1 {
            let message = "Content must contain exactly one of Simple, Raw and Template.";
            return Err(SesError::bad_request(message));
        }
        if content.template.is_some() {
            return Err(SesError::new(
                404,
                "NotFoundException",
                "Template does not exist.",
            ));
        }
        if self.destination.all().count() > MAX_RECIPIENTS {
            return Err(SesError::bad_request("Recipient count exceeds 50."));
        }
        if let Some(name) = &self.configuration_set_name
            && name.starts_with("missing")
        {
            let message = format!("Configuration set <{name}> does not exist.");
            return Err(SesError::new(404, "NotFoundException", message));
        }
        self.check_tags()?;
        content.simple.as_ref().map_or(Ok(()), Simple::check)
    }

    fn check_tags(&self) -> Result<(), SesError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let is_text = |text: &str| (1..=MAX_TAG).contains(&text.len()) && text.bytes().all(fits);
        for (at, tag) in self.email_tags.iter().enumerate() {
            if !is_text(&tag.name) || !is_text(&tag.value) {
                let message =
                    "Names and values of tags have 1 to 256 ASCII letters, digits, underscores and dashes.";
                return Err(SesError::bad_request(message));
            }
            if self.email_tags[..at].iter().any(|other| other.name == tag.name) {
                return Err(SesError::bad_request(format!("Duplicate tag: {}", tag.name)));
            }
        }
        Ok(())
    }
}

impl Simple {
    fn check(&self) -> Result<(), SesError> {
        if !self.subject.data.is_ascii() {
            return Err(SesError::bad_request(
                "The subject can only contain 7-bit ASCII characters.",
            ));
        }
        if self.body.text.is_none() && self.body.html.is_none() {
            return Err(SesError::bad_request("The body needs a Text or an Html."));
        }
        if self.headers.len() > MAX_HEADERS {
            return Err(SesError::bad_request("A message has at most 15 headers."));
        }
        let is_header = |header: &Header| {
            let fits = |byte: u8| byte.is_ascii_graphic() && byte != b':';
            (1..=MAX_HEADER_NAME).contains(&header.name.len())
                && header.name.bytes().all(fits)
                && !header.value.is_empty()
                && header.value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
                && header.name.len() + header.value.len() <= MAX_HEADER
        };
        match self.headers.iter().find(|header| !is_header(header)) {
            Some(header) => Err(SesError::bad_request(format!(
                "Invalid header: {:?}",
                header.name
            ))),
            None => Ok(()),
        }
    }
}

/// The recipients of a request that need not be valid.
pub(super) fn recipients(json: &[u8]) -> Vec<String> {
    let Ok(body) = serde_json::from_slice::<Value>(json) else {
        return Vec::new();
    };
    let lists = ["ToAddresses", "CcAddresses", "BccAddresses"];
    let lists = lists.map(|list| body["Destination"][list].as_array().cloned());
    lists
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|address| address.as_str().map(str::to_owned))
        .collect()
}
