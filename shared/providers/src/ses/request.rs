//! Mails to SES: `POST /v2/email/outbound-emails`.
//!
//! A mail is sent as MIME (`Content.Raw`), so that it is the same as over SMTP: headers, encoding, folding. Of its headers
//! SES replaces `Message-ID` and `Date` (<https://docs.aws.amazon.com/ses/latest/dg/header-fields.html>), so a second copy
//! is recognised by `X-Carillon-Delivery` alone.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use carillon_domain::Timestamp;
use serde::Serialize;
use url::Url;

use super::{ConfigurationSet, SesConfig, answer::classify, reference::tags, signature::Signer};
use crate::{
    http::{HttpRequests, ProviderRequest, ProviderResponse},
    mail::{Mails, ascii_receiver},
    message::OutgoingMessage,
    outcome::{Refusal, Scope, SendOutcome},
    setting::SettingError,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SendEmail<'a> {
    destination: Destination,
    content: Content,
    /// They come back with events of the configuration set.
    email_tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    configuration_set_name: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Destination {
    to_addresses: [String; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    raw: Raw,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    data: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    name: &'static str,
    value: String,
}

/// The requests to SES of one account.
pub struct SesRequests {
    url: Url,
    mails: Mails,
    signer: Signer,
    configuration_set: Option<ConfigurationSet>,
}

impl SesRequests {
    /// Checks the settings.
    pub fn new(config: &SesConfig) -> Result<Self, SettingError> {
        let path = "/v2/email/outbound-emails";
        let url = if let Some(base) = &config.base_url {
            base.join("base_url", path)?
        } else {
            let text = format!("https://{}{path}", config.region.host());
            Url::parse(&text).map_err(|_| SettingError::new("region", "expected an AWS region"))?
        };
        Ok(Self {
            url,
            mails: Mails::new(&config.from),
            signer: Signer::new(config)?,
            configuration_set: config.configuration_set.clone(),
        })
    }
}

impl HttpRequests for SesRequests {
    fn build(&self, message: &OutgoingMessage, now: Timestamp) -> Result<ProviderRequest, Refusal> {
        let mail = self.mails.build(message, now)?;
        let [delivery, (_, reference)] = message.references();
        let tags = std::iter::once(delivery).chain(tags(&reference));
        let body = SendEmail {
            destination: Destination {
                to_addresses: [ascii_receiver(message)?],
            },
            content: Content {
                raw: Raw {
                    data: BASE64_STANDARD.encode(mail.content),
                },
            },
            email_tags: tags.map(|(name, value)| Tag { name, value }).collect(),
            configuration_set_name: self.configuration_set.as_ref().map(ConfigurationSet::as_str),
        };
        let json = serde_json::to_vec(&body)
            .map_err(|error| Refusal::new(Scope::Message, "json", error.to_string()))?;
        let mut request = ProviderRequest::json(self.url.clone(), json);
        self.signer
            .sign(&mut request, now)
            .map_err(|_| Refusal::new(Scope::Account, "signature", "the request cannot be signed"))?;
        Ok(request)
    }

    fn classify(&self, answer: &ProviderResponse, _now: Timestamp) -> SendOutcome {
        classify(answer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{message::testing::message, ses::testing::config};

    fn mail() -> OutgoingMessage {
        let content = carillon_domain::Content::Email {
            subject: "Grüße".to_owned(),
            text: "Hallo".to_owned(),
            html: Some("<p>Hallo</p>".to_owned()),
        };
        message("ada@läden.example", content)
    }

    fn now() -> Timestamp {
        "2026-11-24T10:00:00Z".parse().unwrap()
    }

    fn body(request: &ProviderRequest) -> Value {
        serde_json::from_slice(&request.body).unwrap()
    }

    #[test]
    fn a_mail_is_mime_with_tags_by_which_its_receipts_find_it() {
        let config = SesConfig {
            configuration_set: Some("receipts".parse().unwrap()),
            ..config()
        };
        let request = SesRequests::new(&config).unwrap().build(&mail(), now()).unwrap();
        let url = "https://email.eu-central-1.amazonaws.com/v2/email/outbound-emails";
        assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", url));
        assert_eq!(request.headers["content-type"], "application/json");
        let mut body = body(&request);
        let raw = body["Content"]["Raw"]["Data"].take();
        let mime = BASE64_STANDARD.decode(raw.as_str().unwrap()).unwrap();
        let mime = String::from_utf8(mime).unwrap();
        for line in [
            "To: ada@xn--lden-loa.example\r\n",
            "X-Carillon-Delivery: 00000000-0000-0000-0000-000000000000\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Content-Type: text/plain",
            "Content-Type: text/html",
        ] {
            assert!(mime.contains(line), "{line}: {mime}");
        }
        assert!(mime.is_ascii());
        let tag = |name: &str, value: &str| json!({"Name": name, "Value": value});
        let expected = json!({
            "Destination": {"ToAddresses": ["ada@xn--lden-loa.example"]},
            "Content": {"Raw": {"Data": null}},
            "EmailTags": [
                tag("carillon_delivery_id", "00000000-0000-0000-0000-000000000000"),
                tag("carillon_reference", &mail().reference()),
            ],
            "ConfigurationSetName": "receipts",
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_request_is_signed_for_its_region_and_shows_no_credentials() {
        let request = SesRequests::new(&config())
            .unwrap()
            .build(&mail(), now())
            .unwrap();
        assert_eq!(request.headers["x-amz-date"], "20261124T100000Z");
        let authorization = request.headers["authorization"].to_str().unwrap();
        let scope = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261124/eu-central-1/ses/aws4_request, \
                     SignedHeaders=content-type;host;x-amz-date, Signature=";
        assert!(authorization.starts_with(scope), "{authorization}");
        assert!(!format!("{request:?}").contains("Signature="));
        assert!(request.headers.get("x-amz-security-token").is_none());
    }

    #[test]
    fn temporary_credentials_send_their_token_under_the_signature() {
        let config = SesConfig {
            session_token: Some("hunter2/token+x==".to_owned().into()),
            ..config()
        };
        let request = SesRequests::new(&config).unwrap().build(&mail(), now()).unwrap();
        assert_eq!(request.headers["x-amz-security-token"], "hunter2/token+x==");
        let authorization = request.headers["authorization"].to_str().unwrap();
        assert!(
            authorization.contains("x-amz-date;x-amz-security-token"),
            "{authorization}"
        );
        assert!(!format!("{request:?}").contains("hunter2"));
    }

    #[test]
    fn settings_that_cannot_work_are_named_without_their_value() {
        let broken_token = SesConfig {
            session_token: Some("hunter2\n".to_owned().into()),
            ..config()
        };
        let no_secret = SesConfig {
            secret_access_key: None,
            ..config()
        };
        let broken_secret = SesConfig {
            secret_access_key: Some("hunter2 ".to_owned().into()),
            ..config()
        };
        for (config, key) in [
            (broken_token, "session_token"),
            (no_secret, "secret_access_key"),
            (broken_secret, "secret_access_key"),
        ] {
            let error = SesRequests::new(&config).err().unwrap();
            assert_eq!(error.key, key);
            assert!(!error.expected.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn an_address_that_needs_smtputf8_is_refused_before_it_is_sent() {
        let outgoing = OutgoingMessage {
            to: "läden@example.com".to_owned(),
            ..mail()
        };
        let refused = SesRequests::new(&config()).unwrap().build(&outgoing, now());
        assert_eq!(refused.unwrap_err().code, "smtputf8-unsupported");
    }
}
