//! Amazon SNS's calls, which carry the events of SES
//! (<https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>). A certificate that SNS serves
//! verifies the signature. The call itself contains the certificate's URL, so the URL is accepted only on SNS's own
//! host for the region of the topic.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use carillon_domain::Timestamp;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
};
use serde::Deserialize;
use url::Url;
use x509_parser::pem::parse_x509_pem;

use super::{SesConfig, TopicArn, receipt::read};
use crate::{
    receipt::{Callback, NotGenuine, Receipt, UnreadableCall, check_time},
    setting::SettingError,
};

/// Reads the calls about one topic.
#[derive(Debug)]
pub struct SnsReceipts {
    topic: TopicArn,
    /// Scheme, host and port of certificates and confirmations.
    origin: url::Origin,
}

/// A call about the topic, not verified yet.
#[derive(Debug)]
pub struct SnsCall {
    envelope: Envelope,
    certificate_url: Url,
    confirm_url: Option<Url>,
}

/// The content of a genuine call.
#[derive(Debug, PartialEq, Eq)]
pub enum SnsContent {
    /// The subscription is confirmed by a GET of this URL.
    Confirm(Url),
    /// The receipts of an event.
    Receipts(Vec<Receipt>),
    /// The subscription was ended.
    Unsubscribed,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    #[serde(rename = "Type")]
    kind: Kind,
    message_id: String,
    topic_arn: String,
    message: String,
    timestamp: String,
    signature_version: String,
    signature: String,
    #[serde(rename = "SigningCertURL")]
    signing_cert_url: String,
    subject: Option<String>,
    token: Option<String>,
    #[serde(rename = "SubscribeURL")]
    subscribe_url: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Kind {
    Notification,
    SubscriptionConfirmation,
    UnsubscribeConfirmation,
}

impl SnsReceipts {
    pub(super) fn new(topic: &TopicArn, config: &SesConfig) -> Result<Self, SettingError> {
        let url = if let Some(endpoint) = &config.sns_endpoint {
            endpoint.join("sns_endpoint", "/")?
        } else {
            let text = format!("https://{}/", topic.host());
            Url::parse(&text)
                .map_err(|_| SettingError::new("receipts_topic", "expected the ARN of a topic"))?
        };
        Ok(Self {
            topic: topic.clone(),
            origin: url.origin(),
        })
    }

    /// Checks the head of a call before its body is read. SNS's signature is in the body, so this refuses only raw messages
    /// and calls whose header names another topic.
    pub fn check_head(&self, head: &Callback<'_>) -> Result<(), NotGenuine> {
        if head.header("x-amz-sns-rawdelivery") == Some("true") {
            return Err(NotGenuine::RawDelivery);
        }
        match head.header("x-amz-sns-topic-arn") {
            Some(topic) if topic != self.topic.as_str() => Err(NotGenuine::WrongTopic),
            _ => Ok(()),
        }
    }

    /// Reads a call and checks that it is about the topic and that its URLs are SNS's own.
    pub fn open(&self, call: &Callback<'_>) -> Result<SnsCall, NotGenuine> {
        self.check_head(call)?;
        let envelope: Envelope = serde_json::from_slice(call.body).map_err(|_| NotGenuine::Unsigned)?;
        if envelope.topic_arn != self.topic.as_str() {
            return Err(NotGenuine::WrongTopic);
        }
        let own = |text: &str| {
            let url = Url::parse(text).ok()?;
            let is_bare = url.username().is_empty() && url.password().is_none();
            (is_bare && url.origin() == self.origin).then_some(url)
        };
        let certificate_url = own(&envelope.signing_cert_url).ok_or(NotGenuine::ForeignUrl)?;
        let confirm_url = match (&envelope.subscribe_url, envelope.kind) {
            (Some(text), Kind::SubscriptionConfirmation) => Some(own(text).ok_or(NotGenuine::ForeignUrl)?),
            _ => None,
        };
        Ok(SnsCall {
            envelope,
            certificate_url,
            confirm_url,
        })
    }
}

impl SnsCall {
    /// The URL of the certificate, on SNS's own host.
    #[must_use]
    pub fn certificate_url(&self) -> &Url {
        &self.certificate_url
    }

    /// Checks the signature. `certificate` is the answer of the certificate's URL.
    pub fn verify(&self, certificate: &[u8], now: Timestamp) -> Result<(), NotGenuine> {
        let (_, pem) = parse_x509_pem(certificate).map_err(|_| NotGenuine::BadCertificate)?;
        let certificate = pem.parse_x509().map_err(|_| NotGenuine::BadCertificate)?;
        let validity = certificate.validity();
        if !(validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now.timestamp()) {
            return Err(NotGenuine::BadCertificate);
        }
        let algorithm = match self.envelope.signature_version.as_str() {
            "1" => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            "2" => &RSA_PKCS1_2048_8192_SHA256,
            _ => return Err(NotGenuine::Unsigned),
        };
        let signature = BASE64_STANDARD
            .decode(&self.envelope.signature)
            .map_err(|_| NotGenuine::Unsigned)?;
        let key = UnparsedPublicKey::new(algorithm, &certificate.public_key().subject_public_key.data);
        key.verify(self.envelope.signed().as_bytes(), &signature)
            .map_err(|_| NotGenuine::WrongSignature)?;
        let at = self
            .envelope
            .timestamp
            .parse()
            .map_err(|_| NotGenuine::OutOfTime)?;
        check_time(at, now)
    }

    /// The content of a call that [`SnsCall::verify`] has found genuine.
    pub fn content(self) -> Result<SnsContent, UnreadableCall> {
        match self.envelope.kind {
            Kind::Notification => {
                let receipt = read(&self.envelope.message, &self.envelope.message_id)?;
                Ok(SnsContent::Receipts(vec![receipt]))
            }
            Kind::SubscriptionConfirmation => {
                let lacks = || UnreadableCall("expected a SubscribeURL in the confirmation".to_owned());
                self.confirm_url.map(SnsContent::Confirm).ok_or_else(lacks)
            }
            Kind::UnsubscribeConfirmation => Ok(SnsContent::Unsubscribed),
        }
    }
}

impl Envelope {
    /// The text that is signed: names and values in the order of the names, each on a line.
    fn signed(&self) -> String {
        let kind = match self.kind {
            Kind::Notification => "Notification",
            Kind::SubscriptionConfirmation => "SubscriptionConfirmation",
            Kind::UnsubscribeConfirmation => "UnsubscribeConfirmation",
        };
        let is_notification = self.kind == Kind::Notification;
        let subject = self.subject.as_deref().filter(|_| is_notification);
        let subscribe_url = self.subscribe_url.as_deref().filter(|_| !is_notification);
        let token = self.token.as_deref().filter(|_| !is_notification);
        let lines = [
            ("Message", Some(self.message.as_str())),
            ("MessageId", Some(&self.message_id)),
            ("Subject", subject),
            ("SubscribeURL", subscribe_url),
            ("Timestamp", Some(&self.timestamp)),
            ("Token", token),
            ("TopicArn", Some(&self.topic_arn)),
            ("Type", Some(kind)),
        ];
        let lines = lines
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}\n{}\n", value?)));
        lines.collect()
    }
}

#[cfg(test)]
mod tests;
