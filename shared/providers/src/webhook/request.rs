//! Requests to endpoints.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carillon_domain::{Content, Timestamp};
use http::{HeaderName, HeaderValue};
use url::{Host, Url};

use super::{
    Networks, WebhookConfig,
    answer::{classify, without_answer},
    is_public,
    signature::signatures,
};
use crate::{
    http::{NoAnswer, ProviderRequest, ProviderResponse},
    message::{OutgoingMessage, wrong_content},
    outcome::{Refusal, Scope, SendOutcome},
};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The reason for which no request is made to an endpoint, in the order in which they are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum NotSendable {
    /// The text is no URL of a host.
    #[error("the endpoint's URL is invalid")]
    Url,
    /// The account allows no other scheme.
    #[error("the endpoint's URL is not https, and the account does not allow others")]
    NotHttps,
    /// None of the addresses of the endpoint's host may be called.
    #[error("the endpoint's address is not on the public internet")]
    Address,
}

impl NotSendable {
    /// The stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Url => "endpoint-invalid",
            Self::NotHttps => "endpoint-not-https",
            Self::Address => "address-not-allowed",
        }
    }

    /// The refusal of the message.
    #[must_use]
    pub fn refusal(self) -> Refusal {
        Refusal::new(Scope::Endpoint, self.code(), self.to_string())
    }
}

/// The requests of one account.
#[derive(Debug, Clone)]
pub struct WebhookRequests {
    allow_http: bool,
    allowed_networks: Networks,
}

impl WebhookRequests {
    /// The requests under the settings.
    #[must_use]
    pub fn new(config: &WebhookConfig) -> Self {
        Self {
            allow_http: config.allow_http,
            allowed_networks: config.allowed_networks.clone(),
        }
    }

    /// Whether endpoints may have this address. The transport asks for each address that it is about to connect to.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        is_public(address) || self.allowed_networks.contain(address)
    }

    /// Reads an endpoint's URL, and refuses it as far as it shows itself that it may not be called. Other names are checked when they
    /// have been resolved.
    pub(super) fn judge(&self, url: &str) -> Result<Url, NotSendable> {
        let url = Url::parse(url).map_err(|_| NotSendable::Url)?;
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            _ => return Err(NotSendable::NotHttps),
        }
        let may_be_called = match url.host() {
            Some(Host::Ipv4(ip)) => self.allows(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => self.allows(IpAddr::V6(ip)),
            // Resolvers answer these names with the addresses of this machine (RFC 6761 §6.3).
            Some(Host::Domain(name)) if is_localhost(name) => {
                self.allows(Ipv4Addr::LOCALHOST.into()) || self.allows(Ipv6Addr::LOCALHOST.into())
            }
            Some(Host::Domain(_)) => true,
            None => return Err(NotSendable::Url),
        };
        if may_be_called {
            Ok(url)
        } else {
            Err(NotSendable::Address)
        }
    }

    /// Builds the signed request. `webhook-id` is the delivery's id, which is the same in each attempt and by which a receiver
    /// recognises a copy.
    pub fn build(&self, message: &OutgoingMessage, now: Timestamp) -> Result<ProviderRequest, Refusal> {
        let Content::Webhook { body } = &message.content else {
            return Err(wrong_content("the body of a webhook"));
        };
        let url = self.judge(&message.to).map_err(NotSendable::refusal)?;
        if message.secrets.is_empty() {
            let detail = "the endpoint has no secret";
            return Err(Refusal::new(Scope::Endpoint, "endpoint-without-secret", detail));
        }
        let (id, seconds) = (message.delivery_id.to_string(), now.timestamp());
        let body = body.clone().into_bytes();
        let signed = signatures(&message.secrets, &id, seconds, &body);
        let mut request = ProviderRequest::json(url, body);
        for (name, value) in [(ID, id), (TIMESTAMP, seconds.to_string()), (SIGNATURE, signed)] {
            let value = HeaderValue::try_from(value).map_err(|_| {
                Refusal::new(
                    Scope::Message,
                    "header",
                    "a header has other characters than ASCII",
                )
            })?;
            request.headers.insert(name, value);
        }
        Ok(request)
    }

    /// The outcome of a request by its answer.
    pub fn classify(&self, answer: &ProviderResponse) -> SendOutcome {
        classify(answer)
    }

    /// The outcome of a request without an answer.
    pub fn unanswered(&self, why: NoAnswer) -> SendOutcome {
        without_answer(why)
    }
}

/// Whether a name is `localhost`, or below it.
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let top = name.rsplit('.').next().unwrap_or_default();
    top.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use carillon_domain::contact::SigningSecret;

    use super::*;
    use crate::message::testing::message;

    fn webhook(to: &str) -> OutgoingMessage {
        let body = r#"{"type":"OrderShipped"}"#.to_owned();
        OutgoingMessage {
            secrets: vec![SigningSecret::of([1; 32]), SigningSecret::of([2; 32])],
            ..message(to, Content::Webhook { body })
        }
    }

    fn built(config: &WebhookConfig, message: &OutgoingMessage) -> Result<ProviderRequest, String> {
        let now = "2026-11-24T10:00:00.9Z".parse().unwrap();
        let built = WebhookRequests::new(config).build(message, now);
        built.map_err(|refusal| refusal.code)
    }

    #[test]
    fn a_request_has_the_deliverys_id_the_time_and_one_signature_for_each_secret() {
        let message = webhook("https://hooks.example.com/a?b=c");
        let request = built(&WebhookConfig::default(), &message).unwrap();
        assert_eq!(request.method, http::Method::POST);
        assert_eq!(request.url.as_str(), "https://hooks.example.com/a?b=c");
        assert_eq!(request.headers["content-type"], "application/json");
        assert_eq!(
            request.headers["webhook-id"],
            "00000000-0000-0000-0000-000000000000"
        );
        assert_eq!(request.headers["webhook-timestamp"], "1795514400");
        let signed = signatures(
            &message.secrets,
            &message.delivery_id.to_string(),
            1_795_514_400,
            &request.body,
        );
        assert_eq!(request.headers["webhook-signature"], signed);
        assert_eq!(signed.split(' ').count(), 2);
        assert_eq!(request.body, br#"{"type":"OrderShipped"}"#);
    }

    #[test]
    fn plain_http_and_addresses_inside_are_refused_before_a_connection_is_made() {
        let default = WebhookConfig::default();
        let dev = WebhookConfig {
            allow_http: true,
            allowed_networks: Networks::parse(["127.0.0.0/8"]).unwrap(),
            ..WebhookConfig::default()
        };
        for (to, by_default, in_dev) in [
            ("https://hooks.example.com/", Ok(()), Ok(())),
            ("http://hooks.example.com/", Err("endpoint-not-https"), Ok(())),
            ("https://127.0.0.1/", Err("address-not-allowed"), Ok(())),
            ("https://[::ffff:127.0.0.1]/", Err("address-not-allowed"), Ok(())),
            // Other spellings of 127.0.0.1 and 10.0.0.1, which URLs allow.
            ("https://2130706433/", Err("address-not-allowed"), Ok(())),
            ("https://0x7f.1/", Err("address-not-allowed"), Ok(())),
            (
                "https://012.0.0.1/",
                Err("address-not-allowed"),
                Err("address-not-allowed"),
            ),
            (
                "https://169.254.169.254/latest/meta-data",
                Err("address-not-allowed"),
                Err("address-not-allowed"),
            ),
            (
                "ftp://hooks.example.com/",
                Err("endpoint-not-https"),
                Err("endpoint-not-https"),
            ),
            ("hooks", Err("endpoint-invalid"), Err("endpoint-invalid")),
        ] {
            for (config, expected) in [(&default, by_default), (&dev, in_dev)] {
                let result = built(config, &webhook(to)).map(drop);
                assert_eq!(result, expected.map_err(str::to_owned), "{to}");
            }
        }
    }

    #[test]
    fn an_endpoint_without_a_secret_and_other_content_are_refused() {
        let config = WebhookConfig::default();
        let without = OutgoingMessage {
            secrets: Vec::new(),
            ..webhook("https://hooks.example.com/")
        };
        assert_eq!(built(&config, &without).unwrap_err(), "endpoint-without-secret");
        let sms = message(
            "https://hooks.example.com/",
            Content::Sms { text: "x".to_owned() },
        );
        assert_eq!(built(&config, &sms).unwrap_err(), "wrong-content");
    }
}
