//! Twilio's status callbacks: a form for each status, signed with the account's token over the URL and the sorted parameters.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use ring::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use url::form_urlencoded;

use super::Call;
use crate::Message;
use crate::faults::ReceiptFault;

/// The account that signs.
pub(crate) struct Account {
    sid: String,
    token: Key,
}

impl Account {
    pub(crate) fn new(sid: String, token: &str) -> Self {
        Self {
            sid,
            token: Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes()),
        }
    }

    /// The callbacks of a message: `sent`, then its fate. A message without a `StatusCallback` has none.
    pub(super) fn calls(&self, message: &Message, fault: &ReceiptFault, is_forged: bool) -> Vec<Call> {
        let callback = message
            .datum("status_callback")
            .and_then(|url| Url::parse(url).ok());
        let Some(mut url) = callback else {
            return Vec::new();
        };
        // The fragment is for Twilio, which neither sends nor signs it.
        url.set_fragment(None);
        let fate = fault.report.as_deref().unwrap_or("delivered");
        let statuses = [("sent", None), (fate, fault.code.as_deref())];
        statuses
            .into_iter()
            .map(|(status, code)| self.call(&url, message, (status, code), is_forged))
            .collect()
    }

    fn call(
        &self,
        url: &Url,
        message: &Message,
        (status, code): (&str, Option<&str>),
        is_forged: bool,
    ) -> Call {
        let sid = message.provider_message_id.as_str();
        let mut parameters = vec![
            ("AccountSid", self.sid.as_str()),
            ("ApiVersion", "2010-04-01"),
            ("From", message.datum("from").unwrap_or_default()),
            ("MessageSid", sid),
            ("MessageStatus", status),
            ("SmsSid", sid),
            ("SmsStatus", status),
            ("To", &message.to),
        ];
        if let Some(code) = code {
            parameters.push(("ErrorCode", code));
        }
        self.signed(url, &parameters, is_forged)
    }

    /// The call to the account's webhook about a message that a recipient has sent.
    pub(crate) fn inbound(&self, url: &Url, sid: &str, given: &[(&str, &str)], is_forged: bool) -> Call {
        let usual = [
            ("AccountSid", self.sid.as_str()),
            ("ApiVersion", "2010-04-01"),
            ("MessageSid", sid),
            ("NumMedia", "0"),
            ("NumSegments", "1"),
            ("SmsMessageSid", sid),
            ("SmsSid", sid),
            ("SmsStatus", "received"),
        ];
        self.signed(url, &[&usual[..], given].concat(), is_forged)
    }

    /// The call with a form, signed.
    fn signed(&self, url: &Url, parameters: &[(&str, &str)], is_forged: bool) -> Call {
        let signature = self.signature(url.as_str(), parameters, is_forged);
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish();
        Call {
            url: url.clone(),
            headers: vec![
                (
                    "content-type",
                    "application/x-www-form-urlencoded; charset=UTF-8".to_owned(),
                ),
                ("x-twilio-signature", signature),
            ],
            body: form,
        }
    }

    fn signature(&self, url: &str, parameters: &[(&str, &str)], is_forged: bool) -> String {
        let mut sorted = parameters.to_vec();
        sorted.sort_unstable();
        let mut content = url.to_owned();
        for (name, value) in sorted {
            content.push_str(name);
            content.push_str(value);
        }
        if is_forged {
            content.push('x');
        }
        STANDARD.encode(sign(&self.token, content.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_twilios_documentation_is_signed_as_there() {
        let account = Account::new("AC1".to_owned(), "12345");
        let parameters = [
            ("CallSid", "CA1234567890ABCDE"),
            ("Digits", "1234"),
            ("From", "+14158675309"),
            ("To", "+18005551212"),
            ("Caller", "+14158675309"),
        ];
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
        assert_eq!(
            account.signature(url, &parameters, false),
            "RSOYDt4T1cUTdK1PDd93/VVr8B8="
        );
        assert_ne!(
            account.signature(url, &parameters, true),
            "RSOYDt4T1cUTdK1PDd93/VVr8B8="
        );
    }
}
