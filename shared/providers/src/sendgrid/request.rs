//! Mails to SendGrid: `POST /v3/mail/send`.

use std::collections::BTreeMap;

use carillon_domain::{Content, Timestamp};
use http::{HeaderValue, header::AUTHORIZATION};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use url::Url;

use super::{SendGridConfig, answer::classify};
use crate::{
    http::{HttpRequests, ProviderRequest, ProviderResponse},
    mail::{MailSender, ascii_receiver, message_id, own_headers},
    message::{OutgoingMessage, wrong_content},
    outcome::{Refusal, Scope, SendOutcome},
    setting::SettingError,
};

#[derive(Serialize)]
struct Body<'a> {
    personalizations: [Personalization; 1],
    from: &'a Sender,
    subject: &'a str,
    content: Vec<Part<'a>>,
    headers: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    categories: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    mail_settings: Option<MailSettings>,
}

#[derive(Serialize)]
struct Personalization {
    to: [Receiver; 1],
    /// SendGrid keeps these values and shows them to the account's users. They must not be personal data
    /// (<https://www.twilio.com/docs/sendgrid/for-developers/sending-email/personalizations>).
    custom_args: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Receiver {
    email: String,
}

#[derive(Serialize)]
struct Sender {
    email: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Serialize)]
struct Part<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    value: &'a str,
}

#[derive(Serialize)]
struct MailSettings {
    sandbox_mode: SandboxMode,
}

#[derive(Serialize)]
struct SandboxMode {
    enable: bool,
}

/// The requests to one SendGrid account.
pub struct SendGridRequests {
    url: Url,
    authorization: HeaderValue,
    from: Sender,
    domain: String,
    categories: Vec<String>,
    sandbox: bool,
}

impl SendGridRequests {
    /// Checks the settings.
    pub fn new(config: &SendGridConfig) -> Result<Self, SettingError> {
        let api_key = config
            .api_key
            .as_ref()
            .ok_or_else(|| SettingError::new("api_key", "expected a key, and none is set"))?;
        Ok(Self {
            url: config.base_url.join("base_url", "/v3/mail/send")?,
            authorization: bearer(api_key.expose_secret())?,
            from: sender(&config.from),
            domain: config.from.mailbox().email.domain().to_owned(),
            categories: config.categories.names().to_vec(),
            sandbox: config.sandbox,
        })
    }
}

impl HttpRequests for SendGridRequests {
    fn build(&self, message: &OutgoingMessage, _now: Timestamp) -> Result<ProviderRequest, Refusal> {
        let Content::Email { subject, text, html } = &message.content else {
            return Err(wrong_content("an e-mail"));
        };
        let to = ascii_receiver(message)?;
        // The plain text comes first (<https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors>, "content"), and
        // a part without text is refused.
        let parts = [("text/plain", Some(text)), ("text/html", html.as_ref())];
        let content = parts.into_iter().filter_map(|(kind, value)| {
            let value = value.filter(|value| !value.is_empty())?;
            Some(Part { kind, value })
        });
        // A header is on one line of ASCII: SendGrid folds it, and does not encode it.
        let id = ("Message-ID", format!("<{}>", message_id(message, &self.domain)));
        let own = own_headers(message).map(|header| (header.name, header.line()));
        let body = Body {
            personalizations: [Personalization {
                to: [Receiver { email: to }],
                custom_args: message.references().into(),
            }],
            from: &self.from,
            subject,
            content: content.collect(),
            headers: own.chain([id]).collect(),
            categories: &self.categories,
            mail_settings: self.sandbox.then_some(MailSettings {
                sandbox_mode: SandboxMode { enable: true },
            }),
        };
        let json = serde_json::to_vec(&body)
            .map_err(|error| Refusal::new(Scope::Message, "json", error.to_string()))?;
        let mut request = ProviderRequest::json(self.url.clone(), json);
        request.headers.insert(AUTHORIZATION, self.authorization.clone());
        Ok(request)
    }

    fn classify(&self, answer: &ProviderResponse, now: Timestamp) -> SendOutcome {
        classify(answer, now)
    }
}

fn sender(from: &MailSender) -> Sender {
    let mailbox = from.mailbox();
    Sender {
        email: mailbox.email.to_string(),
        name: mailbox.name.clone(),
    }
}

/// The beginning of every API key.
const PREFIX: &str = "SG.";

fn bearer(api_key: &str) -> Result<HeaderValue, SettingError> {
    let fits = api_key.strip_prefix(PREFIX).is_some_and(|rest| !rest.is_empty())
        && api_key.bytes().all(|byte| byte.is_ascii_graphic());
    let value = fits.then(|| HeaderValue::try_from(format!("Bearer {api_key}")).ok());
    let mut value = value.flatten().ok_or_else(|| {
        let expected = "expected a key that begins with SG. and has ASCII letters, digits and signs without spaces, as SendGrid shows \
                        it once";
        SettingError::new("api_key", expected)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::message::testing::message;

    fn config() -> SendGridConfig {
        SendGridConfig {
            api_key: Some("SG.hunter2".to_owned().into()),
            from: "Große Läden <shop@bücher.example>".parse().unwrap(),
            categories: super::super::Categories::default(),
            sandbox: false,
            webhook_key: None,
            secondary_webhook_key: None,
            base_url: "https://api.sendgrid.com/".parse().unwrap(),
            request_timeout: Duration::from_secs(8),
            rate_per_second: None,
        }
    }

    fn mail(html: Option<&str>) -> OutgoingMessage {
        let content = Content::Email {
            subject: "Grüße & mehr".to_owned(),
            text: "Hallo".to_owned(),
            html: html.map(str::to_owned),
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
    fn a_mail_has_its_plain_text_first_and_its_references_as_custom_args() {
        let requests = SendGridRequests::new(&config()).unwrap();
        let request = requests.build(&mail(Some("<p>Hallo</p>")), now()).unwrap();
        assert_eq!(request.url.as_str(), "https://api.sendgrid.com/v3/mail/send");
        assert_eq!(request.headers[AUTHORIZATION], "Bearer SG.hunter2");
        assert_eq!(request.headers["content-type"], "application/json");
        assert!(!format!("{request:?}").contains("hunter2"));
        let expected = json!({
            "personalizations": [{
                "to": [{"email": "ada@xn--lden-loa.example"}],
                "custom_args": {
                    "carillon_delivery_id": "00000000-0000-0000-0000-000000000000",
                    "carillon_reference": mail(None).reference(),
                },
            }],
            "from": {"email": "shop@xn--bcher-kva.example", "name": "Große Läden"},
            "subject": "Grüße & mehr",
            "content": [
                {"type": "text/plain", "value": "Hallo"},
                {"type": "text/html", "value": "<p>Hallo</p>"},
            ],
            "headers": {
                "Message-ID": "<00000000-0000-0000-0000-000000000000@xn--bcher-kva.example>",
                "X-Carillon-Delivery": "00000000-0000-0000-0000-000000000000",
                "X-Carillon-Event": "o 7",
                "Auto-Submitted": "auto-generated",
                "X-Auto-Response-Suppress": "OOF, AutoReply",
            },
        });
        assert_eq!(body(&request), expected);
    }

    #[test]
    fn categories_and_the_sandbox_are_the_accounts() {
        let config = SendGridConfig {
            categories: super::super::Categories::new(vec!["shop".to_owned()]).unwrap(),
            sandbox: true,
            ..config()
        };
        let request = SendGridRequests::new(&config)
            .unwrap()
            .build(&mail(None), now())
            .unwrap();
        let body = body(&request);
        assert_eq!(body["categories"], json!(["shop"]));
        assert_eq!(body["mail_settings"], json!({"sandbox_mode": {"enable": true}}));
        assert_eq!(body["content"], json!([{"type": "text/plain", "value": "Hallo"}]));
    }

    #[test]
    fn no_text_breaks_a_header_and_custom_args_hold_nothing_of_the_event() {
        let event = "Grüße\r\nBcc: eve@example.com";
        let outgoing = OutgoingMessage {
            event_id: event.into(),
            ..mail(None)
        };
        let body = body(
            &SendGridRequests::new(&config())
                .unwrap()
                .build(&outgoing, now())
                .unwrap(),
        );
        let header = body["headers"]["X-Carillon-Event"].as_str().unwrap();
        assert!(header.starts_with("=?utf-8?"), "{header}");
        assert!(header.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{header}");
        let args = body["personalizations"][0]["custom_args"].to_string();
        assert!(!args.contains("ada") && !args.contains("eve"), "{args}");
    }

    #[test]
    fn the_link_to_unsubscribe_is_a_header_without_encoded_words() {
        let url = format!("https://notify.example/u/{}", "A1-_".repeat(50));
        let outgoing = OutgoingMessage {
            unsubscribe_url: Some(url.clone()),
            ..mail(None)
        };
        let requests = SendGridRequests::new(&config()).unwrap();
        let headers = body(&requests.build(&outgoing, now()).unwrap())["headers"].take();
        assert_eq!(headers["List-Unsubscribe"], format!("<{url}>"));
        assert_eq!(headers["List-Unsubscribe-Post"], "List-Unsubscribe=One-Click");
    }

    #[test]
    fn an_address_that_needs_smtputf8_is_refused_before_it_is_sent() {
        let outgoing = OutgoingMessage {
            to: "läden@example.com".to_owned(),
            ..mail(None)
        };
        let refused = SendGridRequests::new(&config()).unwrap().build(&outgoing, now());
        assert_eq!(refused.unwrap_err().code, "smtputf8-unsupported");
        let sms = message("+491511234567", Content::Sms { text: "x".to_owned() });
        let refused = SendGridRequests::new(&config()).unwrap().build(&sms, now());
        assert_eq!(refused.unwrap_err().code, "wrong-content");
    }

    #[test]
    fn a_key_that_no_header_can_have_is_refused_and_not_shown() {
        for key in [
            "SG.hunter2 x",
            "SG.hunter2\n",
            "SG.hünter2",
            "",
            "SG.",
            "hunter2",
            "sg.hunter2",
        ] {
            let config = SendGridConfig {
                api_key: Some(key.to_owned().into()),
                ..config()
            };
            let error = SendGridRequests::new(&config).err().unwrap();
            assert_eq!(error.key, "api_key");
            assert!(!error.expected.contains("nter2"), "{error}");
        }
    }
}
