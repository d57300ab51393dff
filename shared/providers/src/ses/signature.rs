//! The signature of requests: AWS Signature Version 4, computed by AWS's own crate.

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use carillon_domain::Timestamp;
use http::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use super::SesConfig;
use crate::{http::ProviderRequest, setting::SettingError};

/// The name of SES in signatures (`signingName` of its service model).
const SERVICE: &str = "ses";
/// Where the credentials come from, as AWS's crate names it in its debug output.
const SOURCE: &str = "carillon";

/// Signs the requests of one account.
pub(super) struct Signer {
    credentials: Credentials,
    region: String,
}

/// A request that cannot be signed. AWS's error has no more to tell: each setting was checked when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unsigned;

impl Signer {
    pub(super) fn new(config: &SesConfig) -> Result<Self, SettingError> {
        let secret = config
            .secret_access_key
            .as_ref()
            .ok_or_else(|| SettingError::new("secret_access_key", "expected a secret, and none is set"))?;
        // A key's secret has no spaces; one copied from a web page may have them by mistake.
        if !secret.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
            let expected =
                "expected a secret of ASCII letters, digits and signs without spaces, as AWS shows it once";
            return Err(SettingError::new("secret_access_key", expected));
        }
        let token = config.session_token.as_ref().map(ExposeSecret::expose_secret);
        // The token is a header; the secret never leaves the process.
        if !token.is_none_or(|token| token.bytes().all(|byte| byte.is_ascii_graphic())) {
            let expected =
                "expected a token of ASCII letters, digits and signs without spaces, as AWS gives it";
            return Err(SettingError::new("session_token", expected));
        }
        let credentials = Credentials::new(
            config.access_key_id.as_str(),
            secret.expose_secret(),
            token.map(str::to_owned),
            None,
            SOURCE,
        );
        Ok(Self {
            credentials,
            region: config.region.as_str().to_owned(),
        })
    }

    /// Adds the time, the signature, and the session token if there is one. SES takes the request for 15 minutes after the
    /// time.
    pub(super) fn sign(&self, request: &mut ProviderRequest, now: Timestamp) -> Result<(), Unsigned> {
        // A copy shares the credentials.
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(now.into())
            .settings(SigningSettings::default())
            .build()
            .map_err(|_| Unsigned)?
            .into();
        let headers = request.headers.iter();
        let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let body = SignableBody::Bytes(&request.body);
        let signable = SignableRequest::new(request.method.as_str(), request.url.as_str(), headers, body)
            .map_err(|_| Unsigned)?;
        let (added, _) = sign(signable, &params).map_err(|_| Unsigned)?.into_parts();
        for (name, value) in added.headers() {
            let name = HeaderName::try_from(name).map_err(|_| Unsigned)?;
            let mut value = HeaderValue::try_from(value).map_err(|_| Unsigned)?;
            value.set_sensitive(true);
            request.headers.insert(name, value);
        }
        Ok(())
    }
}
