//! Messages to Twilio.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use carillon_domain::{Content, Timestamp};
use http::{HeaderValue, header::AUTHORIZATION};
use secrecy::ExposeSecret as _;
use url::{Url, form_urlencoded};

use super::{
    TwilioConfig,
    answer::classify,
    callback::{callback_url, url_of},
    config::check_token,
};
use crate::{
    http::{HttpRequests, ProviderRequest, ProviderResponse, SentList},
    message::{OutgoingMessage, wrong_content},
    outcome::{Refusal, SendOutcome},
    setting::SettingError,
};

/// The requests to one Twilio account.
pub struct TwilioRequests {
    pub(super) url: Url,
    /// HTTP's basic authentication.
    pub(super) authorization: HeaderValue,
    /// `From` or `MessagingServiceSid`, and its value.
    pub(super) origin: (&'static str, String),
    /// The URL of status callbacks.
    callbacks: Option<Url>,
}

impl TwilioRequests {
    /// Checks the settings. `account` is the account's name in the configuration.
    pub fn new(account: &str, config: &TwilioConfig) -> Result<Self, SettingError> {
        let auth_token = config
            .auth_token
            .as_ref()
            .ok_or_else(|| SettingError::new("auth_token", "expected a token, and none is set"))?;
        check_token("auth_token", auth_token.expose_secret())?;
        if let Some(secondary) = &config.secondary_auth_token {
            check_token("secondary_auth_token", secondary.expose_secret())?;
        }
        let origin = match (&config.messaging_service_sid, &config.from) {
            (Some(service), None) => ("MessagingServiceSid", service.as_str().to_owned()),
            (None, Some(sender)) => ("From", sender.as_str().to_owned()),
            (neither_or_both, _) => {
                let state = if neither_or_both.is_some() {
                    "both are set"
                } else {
                    "neither is set"
                };
                let expected = format!("expected either from or messaging_service_sid, and {state}");
                return Err(SettingError::new("from", expected));
            }
        };
        let sid = config.account_sid.as_str();
        let path = format!("/2010-04-01/Accounts/{sid}/Messages.json");
        Ok(Self {
            url: config.base_url.join("base_url", &path)?,
            authorization: basic(sid, auth_token.expose_secret())?,
            origin,
            callbacks: callback_url(account, config)?,
        })
    }
}

impl HttpRequests for TwilioRequests {
    fn build(&self, message: &OutgoingMessage, now: Timestamp) -> Result<ProviderRequest, Refusal> {
        let Content::Sms { text } = &message.content else {
            return Err(wrong_content("a text message"));
        };
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("To", &message.to)
            .append_pair(self.origin.0, &self.origin.1)
            .append_pair("Body", text);
        if let Some(callbacks) = &self.callbacks {
            form.append_pair("StatusCallback", url_of(callbacks, message).as_str());
        }
        if let Some(expires_at) = message.expires_at {
            // Twilio takes 1 to 36,000 seconds.
            let seconds = (expires_at - now).num_seconds().clamp(1, 36_000);
            form.append_pair("ValidityPeriod", &seconds.to_string());
        }
        let mut request = ProviderRequest::form(self.url.clone(), form.finish());
        request.headers.insert(AUTHORIZATION, self.authorization.clone());
        Ok(request)
    }

    fn classify(&self, answer: &ProviderResponse, _now: Timestamp) -> SendOutcome {
        classify(answer)
    }

    fn sent_list(&self) -> Option<&dyn SentList> {
        Some(self)
    }
}

fn basic(user: &str, password: &str) -> Result<HeaderValue, SettingError> {
    let text = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
    let mut value = HeaderValue::try_from(text)
        .map_err(|_| SettingError::new("auth_token", "expected a token that fits into a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twilio::testing::{SID, TOKEN, config};

    fn message(content: Content) -> OutgoingMessage {
        crate::message::testing::message("+491511234567", content)
    }

    #[test]
    fn a_request_has_a_callback_to_its_account_and_shows_no_credentials() {
        let requests = TwilioRequests::new("spare", &config()).unwrap();
        let text = "Grüße & 100 %".to_owned();
        let request = requests
            .build(
                &message(Content::Sms { text }),
                "2026-11-24T10:00:00Z".parse().unwrap(),
            )
            .unwrap();
        assert_eq!(
            request.url.as_str(),
            format!("https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages.json")
        );
        let fields: Vec<_> = form_urlencoded::parse(&request.body).into_owned().collect();
        let reference = message(Content::Sms { text: String::new() }).reference();
        let callback = format!(
            "https://carillon.example/v1/receipts/spare?delivery_id=00000000-0000-0000-0000-000000000000&event_id=o+7\
             &reference={reference}#rc=5&rp=all"
        );
        let expected = [
            ("To", "+491511234567"),
            ("From", "+15550001111"),
            ("Body", "Grüße & 100 %"),
            ("StatusCallback", &callback),
        ];
        assert_eq!(
            fields,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        let credentials = BASE64_STANDARD.encode(format!("{SID}:{TOKEN}"));
        assert_eq!(
            request.headers[AUTHORIZATION].to_str().unwrap(),
            format!("Basic {credentials}")
        );
        assert!(!format!("{request:?}").contains(&credentials[..20]));
    }

    #[test]
    fn a_token_that_twilio_never_gives_is_refused_and_not_shown() {
        let config = TwilioConfig {
            auth_token: Some("hunter2".to_owned().into()),
            ..config()
        };
        let said = TwilioRequests::new("spare", &config).err().unwrap().to_string();
        assert!(
            said.starts_with("auth_token: expected the 32 hexadecimal digits") && !said.contains("hunter2")
        );
    }

    #[test]
    fn a_text_of_another_channel_is_refused() {
        let requests = TwilioRequests::new("spare", &config()).unwrap();
        let mail = Content::Email {
            subject: String::new(),
            text: String::new(),
            html: None,
        };
        let refused = requests.build(&message(mail), "2026-11-24T10:00:00Z".parse().unwrap());
        assert_eq!(refused.unwrap_err().code, "wrong-content");
    }
}
