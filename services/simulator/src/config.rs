//! The configuration of a simulator: where it listens, and which clients it accepts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::DecodingKey;

use crate::ApnsIdentity;
use crate::error::SimulatorError;

/// The private key of SendGrid's event webhook. Like the simulator's other credentials, it is no secret. Its public key
/// is
/// `MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEyKRVIiN/VbUw0ergYWh/2ZVy/JmoPaaBs9j3PQ7f0wugvBW04/e3lVdGtiaoFMm1JbeGjdf3PFfVXbC+8re4Wg==`.
const SENDGRID_WEBHOOK_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgqaS2C7+EP84q0ACk
oieTkeDlDt7yyApQk0Al0tj4p+ehRANCAATIpFUiI39VtTDR6uBhaH/ZlXL8mag9
poGz2Pc9Dt/TC6C8FbTj97eVV0a2JqgUybUlt4aN1/c8V9VdsL7yt7ha
-----END PRIVATE KEY-----
";

/// The configuration for [`Simulator::start`](crate::Simulator::start). The default listens on free loopback ports
/// and keeps its data in memory, as tests need it.
#[derive(Clone)]
pub struct SimulatorConfig {
    /// The address for FCM, Twilio, SendGrid, SES, the API and the page over HTTP/1.1. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The address for SMTP. Port 0 takes a free one.
    pub smtp_listen: SocketAddr,
    /// The address for APNs over HTTP/2 with TLS. Port 0 takes a free one.
    pub apns_listen: SocketAddr,
    /// The certificate of APNs and its key; `None` generates one for this machine at the first start, and keeps it in the
    /// data folder, where `apns-authority.pem` is the authority that clients have to trust.
    pub apns_identity: Option<ApnsIdentity>,
    /// Public key (PEM) of the curve P-256 that verifies provider tokens; `None` checks their claims only.
    pub apns_public_key_pem: Option<String>,
    /// The id of APNs' only team.
    pub apns_team_id: String,
    /// The id of that team's only key.
    pub apns_key_id: String,
    /// The topic (bundle id) of that team's only app.
    pub apns_topic: String,
    /// The most streams of one connection to APNs.
    pub apns_max_streams: u32,
    /// The folder of `simulator.db`, created if missing; `None` keeps all data in memory.
    pub data_dir: Option<PathBuf>,
    /// RSA public key (PEM) that FCM assertions must be signed for; `None` checks their claims only.
    pub service_account_public_key_pem: Option<String>,
    /// The SID of the only Twilio account.
    pub twilio_account_sid: String,
    /// Its auth token.
    pub twilio_auth_token: String,
    /// The URL to which Twilio posts the messages that recipients send; `None`: it posts none.
    pub twilio_inbound_url: Option<String>,
    /// The API key of the only SendGrid account.
    pub sendgrid_api_key: String,
    /// The region of SES.
    pub ses_region: String,
    /// The id of the only access key of SES.
    pub ses_access_key_id: String,
    /// The secret of that key.
    pub ses_secret_access_key: String,
    /// The session token that requests to SES must have; `None` accepts none.
    pub ses_session_token: Option<String>,
    /// The time from a message's receipt to the provider's reports of its fate; `None`: there are no reports. Twilio reports to
    /// the message's `StatusCallback`.
    pub receipts_after: Option<Duration>,
    /// The URL to which SendGrid reports; `None`: it reports nothing.
    pub sendgrid_webhook_url: Option<String>,
    /// The private key with which SendGrid signs its reports, PKCS #8 in PEM.
    pub sendgrid_webhook_key_pem: String,
    /// The SNS topic to which SES publishes its reports.
    pub ses_topic: String,
    /// The URL to which SNS passes SES's reports on; `None`: there is no subscriber.
    pub sns_subscriber_url: Option<String>,
    /// The URL at which the subscriber reaches this simulator; `None`: the simulator's own HTTP address.
    pub sns_endpoint: Option<String>,
    /// The version of SNS's signatures: 1 (SHA-1) or 2 (SHA-256).
    pub sns_signature_version: u8,
    /// The secret with which requests to endpoints have to be signed, `whsec_` and base64.
    pub webhook_secret: String,
    /// User and password of the only SMTP account; if set, mail is accepted only after `AUTH`. `None` accepts mail
    /// from all clients, and any credentials.
    pub smtp_user: Option<(String, String)>,
    /// Whether SMTP offers SMTPUTF8; without it, addresses and headers have to be ASCII.
    pub smtp_utf8: bool,
}

impl SimulatorConfig {
    /// Checks the settings; nothing is opened.
    pub fn check(&self) -> Result<(), SimulatorError> {
        let key = self.service_account_public_key_pem.as_deref();
        let read = key
            .map(|pem| DecodingKey::from_rsa_pem(pem.as_bytes()))
            .transpose();
        read.map(drop).map_err(|_| SimulatorError::PublicKey)
    }
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        let free_port = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Self {
            listen: free_port,
            smtp_listen: free_port,
            apns_listen: free_port,
            apns_identity: None,
            apns_public_key_pem: None,
            apns_team_id: "SIMTEAM001".to_owned(),
            apns_key_id: "SIMKEY0001".to_owned(),
            apns_topic: "dev.carillon.shop".to_owned(),
            apns_max_streams: 1_000,
            data_dir: None,
            service_account_public_key_pem: None,
            twilio_account_sid: "AC00000000000000000000000000000000".to_owned(),
            twilio_auth_token: "0123456789abcdef0123456789abcdef".to_owned(),
            twilio_inbound_url: None,
            sendgrid_api_key: "SG.simulator-api-key".to_owned(),
            ses_region: "eu-central-1".to_owned(),
            ses_access_key_id: "AKIASIMULATOR0000000".to_owned(),
            ses_secret_access_key: "simulator-secret-access-key".to_owned(),
            ses_session_token: None,
            receipts_after: None,
            sendgrid_webhook_url: None,
            sendgrid_webhook_key_pem: SENDGRID_WEBHOOK_KEY.to_owned(),
            ses_topic: "arn:aws:sns:eu-central-1:000000000000:receipts".to_owned(),
            sns_subscriber_url: None,
            sns_endpoint: None,
            sns_signature_version: 2,
            webhook_secret: "whsec_c2ltdWxhdG9yLXdlYmhvb2stc2VjcmV0".to_owned(),
            smtp_user: None,
            smtp_utf8: true,
        }
    }
}

impl std::fmt::Debug for SimulatorConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatorConfig")
            .field("listen", &self.listen)
            .field("smtp_listen", &self.smtp_listen)
            .field("apns_listen", &self.apns_listen)
            .field("apns_topic", &self.apns_topic)
            .field("data_dir", &self.data_dir)
            .field(
                "verifies_assertions",
                &self.service_account_public_key_pem.is_some(),
            )
            .field("twilio_account_sid", &self.twilio_account_sid)
            .field("smtp_needs_auth", &self.smtp_user.is_some())
            .field("smtp_utf8", &self.smtp_utf8)
            .finish_non_exhaustive()
    }
}
