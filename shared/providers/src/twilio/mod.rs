//! Twilio's Messages API.

mod answer;
mod callback;
mod check;
mod codes;
mod config;
mod inbound;
mod list;
mod receipt;
mod request;
mod signature;

pub use config::{AccountSid, SenderId, ServiceSid, TwilioConfig};
pub use request::TwilioRequests;

#[cfg(test)]
mod testing {
    use std::time::Duration;

    use super::TwilioConfig;

    pub(super) const SID: &str = "AC00000000000000000000000000000001";
    pub(super) const TOKEN: &str = "5ec0de5ec0de5ec0de5ec0de5ec0de00";

    pub(super) fn config() -> TwilioConfig {
        TwilioConfig {
            account_sid: SID.parse().unwrap(),
            auth_token: Some(TOKEN.to_owned().into()),
            secondary_auth_token: None,
            from: Some("+15550001111".parse().unwrap()),
            messaging_service_sid: None,
            callback_url: Some("https://carillon.example/".parse().unwrap()),
            base_url: "https://api.twilio.com/".parse().unwrap(),
            request_timeout: Duration::from_secs(8),
            rate_per_second: None,
        }
    }
}
