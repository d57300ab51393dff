//! The settings of the simulator, `[simulator]`.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use carillon_runtime::{
    Secret,
    config::{HttpUrl, duration, hidden, listen, number},
};
use carillon_simulator::{ApnsIdentity, SimulatorConfig};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};

use super::Config;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SimulatorSection {
    /// The address for FCM, Twilio, SendGrid, SES, API and page.
    #[serde(with = "listen")]
    pub(crate) listen: SocketAddr,
    /// The address for SMTP.
    #[serde(with = "listen")]
    pub(crate) smtp_listen: SocketAddr,
    /// The address for APNs, over HTTP/2 with TLS.
    #[serde(with = "listen")]
    pub(crate) apns_listen: SocketAddr,
    /// The certificate of its APNs, in PEM; without it, one is generated for this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) apns_certificate_pem: Option<String>,
    /// The private key of that certificate, in PEM.
    #[serde(with = "hidden", skip_serializing_if = "Option::is_none")]
    pub(crate) apns_certificate_key_pem: Option<Secret>,
    /// The key with which its APNs checks provider tokens; without it, signatures are not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) apns_public_key_pem: Option<String>,
    /// The most streams of one connection to its APNs.
    pub(crate) apns_max_streams: NonZeroU32,
    /// The folder of its memory; without it, the memory is not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The key with which FCM's token endpoint checks assertions; without it, they are not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service_account_public_key_pem: Option<String>,
    /// The SID of its Twilio account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) twilio_account_sid: Option<String>,
    /// The token of that account.
    #[serde(with = "hidden", skip_serializing_if = "Option::is_none")]
    pub(crate) twilio_auth_token: Option<Secret>,
    /// The API key of its SendGrid account.
    #[serde(with = "hidden", skip_serializing_if = "Option::is_none")]
    pub(crate) sendgrid_api_key: Option<Secret>,
    /// The region of its SES.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ses_region: Option<String>,
    /// The id of the access key of its SES.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ses_access_key_id: Option<String>,
    /// The secret of that key.
    #[serde(with = "hidden", skip_serializing_if = "Option::is_none")]
    pub(crate) ses_secret_access_key: Option<Secret>,
    /// The session token that requests to its SES must have.
    #[serde(with = "hidden", skip_serializing_if = "Option::is_none")]
    pub(crate) ses_session_token: Option<Secret>,
    /// The time from a message's receipt to the providers' reports of its fate; without it, there are none.
    #[serde(
        deserialize_with = "duration::between_or_none::<_, 0, 600_000>",
        serialize_with = "duration::option::serialize",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) receipts_after: Option<Duration>,
    /// The URL to which its Twilio posts the messages that recipients send; without it, it posts none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) twilio_inbound_url: Option<HttpUrl>,
    /// The URL to which its SendGrid reports; without it, SendGrid reports nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sendgrid_webhook_url: Option<HttpUrl>,
    /// The private key with which its SendGrid signs reports, PKCS #8 in PEM.
    #[serde(with = "hidden", skip_serializing_if = "Option::is_none")]
    pub(crate) sendgrid_webhook_key_pem: Option<Secret>,
    /// The secret with which requests to its endpoints have to be signed.
    #[serde(with = "hidden", skip_serializing_if = "Option::is_none")]
    pub(crate) webhook_secret: Option<Secret>,
    /// The SNS topic to which its SES publishes reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ses_topic: Option<String>,
    /// The URL to which its SNS passes SES's reports on; without it, SES reports nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sns_subscriber_url: Option<HttpUrl>,
    /// The URL at which the subscriber reaches the simulator; without it, `listen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sns_endpoint: Option<HttpUrl>,
    /// The version of its SNS's signatures: 1 (SHA-1) or 2 (SHA-256).
    #[serde(deserialize_with = "number::between::<_, _, 1, 2>")]
    pub(crate) sns_signature_version: u8,
    /// Whether its SMTP offers SMTPUTF8.
    pub(crate) smtp_utf8: bool,
}

impl Default for SimulatorSection {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 8081).into(),
            smtp_listen: ([127, 0, 0, 1], 8025).into(),
            apns_listen: ([127, 0, 0, 1], 8443).into(),
            apns_certificate_pem: None,
            apns_certificate_key_pem: None,
            apns_public_key_pem: None,
            apns_max_streams: NonZeroU32::MIN.saturating_add(999),
            data_dir: None,
            service_account_public_key_pem: None,
            twilio_account_sid: None,
            twilio_auth_token: None,
            sendgrid_api_key: None,
            ses_region: None,
            ses_access_key_id: None,
            ses_secret_access_key: None,
            ses_session_token: None,
            receipts_after: None,
            twilio_inbound_url: None,
            sendgrid_webhook_url: None,
            sendgrid_webhook_key_pem: None,
            webhook_secret: None,
            ses_topic: None,
            sns_subscriber_url: None,
            sns_endpoint: None,
            sns_signature_version: 2,
            smtp_utf8: true,
        }
    }
}

impl Config {
    /// The simulator's own configuration.
    pub(crate) fn simulator_config(&self) -> SimulatorConfig {
        let section = &self.simulator;
        let defaults = SimulatorConfig::default();
        let given = |secret: Option<&Secret>, default: String| {
            secret.map_or(default, |secret| secret.expose_secret().to_owned())
        };
        SimulatorConfig {
            listen: section.listen,
            smtp_listen: section.smtp_listen,
            apns_listen: section.apns_listen,
            apns_identity: match (&section.apns_certificate_pem, &section.apns_certificate_key_pem) {
                (Some(certificate), Some(key)) => Some(ApnsIdentity {
                    // Only clients need the authority; the server needs its own certificate.
                    authority_pem: String::new(),
                    certificate_pem: certificate.clone(),
                    key_pem: key.expose_secret().to_owned(),
                }),
                _ => None,
            },
            apns_public_key_pem: section.apns_public_key_pem.clone(),
            apns_team_id: defaults.apns_team_id,
            apns_key_id: defaults.apns_key_id,
            apns_topic: defaults.apns_topic,
            apns_max_streams: section.apns_max_streams.get(),
            data_dir: section.data_dir.clone(),
            service_account_public_key_pem: section.service_account_public_key_pem.clone(),
            twilio_account_sid: section
                .twilio_account_sid
                .clone()
                .unwrap_or(defaults.twilio_account_sid),
            twilio_auth_token: given(section.twilio_auth_token.as_ref(), defaults.twilio_auth_token),
            sendgrid_api_key: given(section.sendgrid_api_key.as_ref(), defaults.sendgrid_api_key),
            ses_region: section.ses_region.clone().unwrap_or(defaults.ses_region),
            ses_access_key_id: section
                .ses_access_key_id
                .clone()
                .unwrap_or(defaults.ses_access_key_id),
            ses_secret_access_key: given(
                section.ses_secret_access_key.as_ref(),
                defaults.ses_secret_access_key,
            ),
            ses_session_token: section
                .ses_session_token
                .as_ref()
                .map(|token| token.expose_secret().to_owned()),
            receipts_after: section.receipts_after,
            twilio_inbound_url: section
                .twilio_inbound_url
                .as_ref()
                .map(|url| url.as_str().to_owned()),
            sendgrid_webhook_url: section
                .sendgrid_webhook_url
                .as_ref()
                .map(|url| url.as_str().to_owned()),
            sendgrid_webhook_key_pem: given(
                section.sendgrid_webhook_key_pem.as_ref(),
                defaults.sendgrid_webhook_key_pem,
            ),
            webhook_secret: given(section.webhook_secret.as_ref(), defaults.webhook_secret),
            ses_topic: section.ses_topic.clone().unwrap_or(defaults.ses_topic),
            sns_subscriber_url: section
                .sns_subscriber_url
                .as_ref()
                .map(|url| url.as_str().to_owned()),
            sns_endpoint: section.sns_endpoint.as_ref().map(|url| url.as_str().to_owned()),
            sns_signature_version: section.sns_signature_version,
            smtp_user: None,
            smtp_utf8: section.smtp_utf8,
        }
    }
}
